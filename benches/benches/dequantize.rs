//! Blocks, and plain numbers, to `f32`, as embeddings are widened: the kernels beside candle's own
//! conversion of the same.
//!
//! `cargo bench -p ponder-benches --bench dequantize`

mod support;

use candle_core::DType;
use candle_core::quantized::{GgmlType, k_quants};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::{
    BlockFormat, FloatFormat, bf16_to_f32, dequantize, f16_to_f32, f32_from_le_bytes,
};

/// Values converted at once, about a row block that stays in the second-level cache.
const N_VALUES: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// Bytes without a pattern that a branch predictor could learn.
fn bytes(n: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// Reports values a second and bytes of blocks a second.
fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, n_bytes: usize) -> Bencher<'a, 'b> {
    let values = ItemsCount::new(N_VALUES);
    bencher.counter(values).counter(BytesCount::new(n_bytes))
}

#[divan::bench(args = BlockFormat::ALL)]
fn kernel(bencher: Bencher<'_, '_>, format: BlockFormat) {
    let blocks = bytes(N_VALUES / format.block_len() * format.block_bytes());
    let mut out = vec![0.0; N_VALUES];
    counted(bencher, blocks.len()).bench_local(|| dequantize(format, black_box(&blocks), &mut out));
}

/// candle knows the types that its quantizer can write.
#[divan::bench(types = [
    k_quants::BlockQ4_0, k_quants::BlockQ4_1, k_quants::BlockQ5_0, k_quants::BlockQ5_1,
    k_quants::BlockQ8_0, k_quants::BlockQ2K, k_quants::BlockQ3K, k_quants::BlockQ4K,
    k_quants::BlockQ5K, k_quants::BlockQ6K,
])]
fn candle<B: GgmlType>(bencher: Bencher<'_, '_>) {
    let values: Vec<f32> = bytes(N_VALUES)
        .iter()
        .map(|&byte| f32::from(byte) - 127.5)
        .collect();
    let mut blocks = vec![B::zeros(); N_VALUES / B::BLCK_SIZE];
    B::from_float(&values, &mut blocks);
    let mut out = vec![0.0; N_VALUES];
    counted(bencher, size_of_val(blocks.as_slice()))
        .bench_local(|| B::to_float(black_box(&blocks), &mut out));
}

/// Plain numbers as they lie in a file.
#[divan::bench(args = [FloatFormat::F32, FloatFormat::F16, FloatFormat::BF16])]
fn floats(bencher: Bencher<'_, '_>, format: FloatFormat) {
    let bytes = bytes(N_VALUES * format.n_bytes());
    let mut out = vec![0.0; N_VALUES];
    let widen = match format {
        FloatFormat::F32 => f32_from_le_bytes,
        FloatFormat::F16 => f16_to_f32,
        FloatFormat::BF16 => bf16_to_f32,
    };
    counted(bencher, bytes.len()).bench_local(|| widen(black_box(&bytes), &mut out));
}

#[divan::bench(args = [DType::F16, DType::BF16])]
fn floats_candle(bencher: Bencher<'_, '_>, dtype: DType) {
    let values = support::tensor(N_VALUES, dtype);
    let bencher = counted(bencher, N_VALUES * dtype.size_in_bytes());
    support::candle(bencher, || values.to_dtype(DType::F32));
}
