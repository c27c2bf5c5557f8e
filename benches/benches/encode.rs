//! Numbers into blocks, as weights are quantized and activations rounded, on one thread: values a
//! second (`item/s`), and bytes of blocks.
//!
//! `cargo bench -p ponder-benches --bench encode`

mod support;

use candle_core::quantized::{GgmlType, k_quants};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::{Bf16Rows, BlockFormat, Encoder, Int8Rows, Isa, Threads};

use support::{counted, numbers};

/// Weights that are encoded at once.
const N_WEIGHTS: usize = 16 * 1024;

/// Values of a row of activations.
const WIDTH: usize = 3072;

/// Rows of activations: decode, prefill.
const ROWS: [usize; 2] = [1, 128];

fn main() {
    divan::main();
}

/// The encoder looks for the scales with the least error; there is one, on every machine.
#[divan::bench(args = BlockFormat::ALL.into_iter().filter(|&format| Encoder::of(format).is_some()))]
fn weights(bencher: Bencher<'_, '_>, format: BlockFormat) {
    let encoder = Encoder::of(format).expect("an encoder");
    let values = numbers(N_WEIGHTS);
    let mut blocks = vec![0; N_WEIGHTS / format.block_len() * format.block_bytes()];
    counted(bencher, N_WEIGHTS, blocks.len())
        .bench_local(|| encoder.encode(black_box(&values), &mut blocks));
}

#[divan::bench(types = [
    k_quants::BlockQ4_0, k_quants::BlockQ5_0, k_quants::BlockQ5_1, k_quants::BlockQ8_0,
    k_quants::BlockQ4K, k_quants::BlockQ5K, k_quants::BlockQ6K,
])]
fn weights_candle<B: GgmlType>(bencher: Bencher<'_, '_>) {
    let values = numbers(N_WEIGHTS);
    let mut blocks = vec![B::zeros(); N_WEIGHTS / B::BLCK_SIZE];
    counted(bencher, N_WEIGHTS, size_of_val(blocks.as_slice()))
        .bench_local(|| B::from_float(black_box(&values), &mut blocks));
}

/// Activations to eight bits.
mod activations {
    use super::*;

    fn time(bencher: Bencher<'_, '_>, isa: Isa, n: usize) {
        let threads = Threads::new(1).expect("a thread");
        let x = numbers(n * WIDTH);
        let mut rows = Int8Rows::default();
        counted(bencher, x.len(), x.len())
            .bench_local(|| rows.quantize(isa, &threads, black_box(&x), WIDTH));
    }

    #[divan::bench(args = ROWS)]
    fn kernel(bencher: Bencher<'_, '_>, n: usize) {
        time(bencher, Isa::best(), n);
    }

    #[divan::bench(args = ROWS)]
    fn scalar(bencher: Bencher<'_, '_>, n: usize) {
        time(bencher, Isa::Scalar, n);
    }

    /// The two types to which candle rounds activations before its products.
    #[divan::bench(types = [k_quants::BlockQ8_0, k_quants::BlockQ8K], args = ROWS)]
    fn candle<B: GgmlType>(bencher: Bencher<'_, '_>, n: usize) {
        let x = numbers(n * WIDTH);
        let mut blocks = vec![B::zeros(); x.len() / B::BLCK_SIZE];
        counted(bencher, x.len(), size_of_val(blocks.as_slice()))
            .bench_local(|| B::from_float(black_box(&x), &mut blocks));
    }

    /// To bfloat16.
    #[divan::bench(args = ROWS)]
    fn bf16(bencher: Bencher<'_, '_>, n: usize) {
        let threads = Threads::new(1).expect("a thread");
        let x = numbers(n * WIDTH);
        let mut rows = Bf16Rows::default();
        counted(bencher, x.len(), 2 * x.len())
            .bench_local(|| rows.round(&threads, black_box(&x), WIDTH));
    }

    #[divan::bench(args = ROWS)]
    fn bf16_candle(bencher: Bencher<'_, '_>, n: usize) {
        let x = support::tensor((n, WIDTH), candle_core::DType::F32);
        let bencher = counted(bencher, n * WIDTH, 2 * n * WIDTH);
        support::candle(bencher, || x.to_dtype(candle_core::DType::BF16));
    }
}
