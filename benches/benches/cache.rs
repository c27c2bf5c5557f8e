//! New keys and values into the paged cache, a layer in the shape of Qwen3-0.6B, on one thread: values
//! a second (`item/s`), and bytes that are written.
//!
//! `cargo bench -p ponder-benches --bench cache`

mod support;

use candle_core::{DType, Device, Tensor};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::attention::{BLOCK_LEN, KvFormat, KvLayout, Span, append};
use ponder_kernels_cpu::{HugeBytes, Isa, Threads};

use support::{counted, numbers};

const N_KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const WIDTH: usize = N_KV_HEADS * HEAD_DIM;

/// New tokens: decode, prefill.
const TOKENS: [usize; 2] = [1, 512];

fn main() {
    divan::main();
}

fn time(bencher: Bencher<'_, '_>, isa: Isa, format: KvFormat, n: usize) {
    let threads = Threads::new(1).expect("a thread");
    let layout = KvLayout {
        format,
        n_kv_heads: N_KV_HEADS,
        head_dim: HEAD_DIM,
    };
    let blocks: Vec<u32> = (0..n.div_ceil(BLOCK_LEN) as u32).collect();
    let n_bytes = blocks.len() * layout.block_bytes();
    let mut storage = HugeBytes::zeroed(n_bytes).expect("memory");
    let (keys, values) = (numbers(n * WIDTH), numbers(n * WIDTH));
    let span = Span {
        first_row: 0,
        n_rows: n,
        position: 0,
        blocks: &blocks,
        dropped_blocks: 0,
    };
    let n_bytes = layout.block_bytes() * n / BLOCK_LEN;
    counted(bencher, 2 * n * WIDTH, n_bytes).bench_local(|| {
        let rows = [&keys[..], &values[..]].map(black_box);
        append(&threads, isa, &layout, &[span], rows, &mut storage);
    });
}

#[divan::bench(args = KvFormat::ALL, consts = TOKENS)]
fn kernel<const N: usize>(bencher: Bencher<'_, '_>, format: KvFormat) {
    time(bencher, Isa::best(), format, N);
}

#[divan::bench(args = KvFormat::ALL, consts = TOKENS)]
fn scalar<const N: usize>(bencher: Bencher<'_, '_>, format: KvFormat) {
    time(bencher, Isa::Scalar, format, N);
}

/// candle's tensors of keys and of values with room for more, head by head, written in place.
#[divan::bench(args = [DType::F32, DType::F16, DType::BF16], consts = TOKENS)]
fn candle<const N: usize>(bencher: Bencher<'_, '_>, dtype: DType) {
    let storage = [0, 1].map(|_| {
        let storage = Tensor::zeros((N_KV_HEADS, 512, HEAD_DIM), dtype, &Device::Cpu);
        storage.expect("memory")
    });
    let new = [0, 1].map(|_| support::tensor((N, N_KV_HEADS, HEAD_DIM), DType::F32));
    let n_bytes = 2 * N * WIDTH * dtype.size_in_bytes();
    support::candle(counted(bencher, 2 * N * WIDTH, n_bytes), || {
        for (storage, new) in storage.iter().zip(&new) {
            let heads = new.transpose(0, 1)?.to_dtype(dtype)?.contiguous()?;
            storage.slice_set(&heads, 1, 0)?;
        }
        Ok(storage[0].clone())
    });
}
