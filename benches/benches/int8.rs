//! Products of quantized matrices with rounded activations, in the shape of Qwen3-0.6B's
//! feed-forward layers, on one thread: bytes of weights, and multiplications and additions
//! (`item/s`), in a second.
//!
//! `cargo bench -p ponder-benches --bench int8`

use candle_core::quantized::{GgmlType, k_quants};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::{Arena, BlockFormat, Int8Matrix, Int8Rows, Isa, Threads};

/// Rows and inputs.
const SHAPE: [usize; 2] = [3072, 1024];

/// Bytes of the matrices that are used in turn: so many that each has left the processor's cache
/// when its turn comes again.
const BYTES_IN_TURN: usize = 128 << 20;

/// Rows of activations: decode, small batches, prefill.
const ROWS: [usize; 9] = [1, 2, 4, 6, 8, 16, 32, 128, 512];

fn main() {
    divan::main();
}

/// One thread multiplies `n` rows of activations.
fn time(bencher: Bencher<'_, '_>, isa: Isa, format: BlockFormat, n: usize) {
    let threads = Threads::new(1).expect("a thread");
    let n_bytes = SHAPE[0] * SHAPE[1] / format.block_len() * format.block_bytes();
    // Neither zeros nor numbers that are too small for half precision.
    let bytes = vec![0x11; n_bytes];
    let mut arena = Arena::default();
    let mut matrix =
        || Int8Matrix::pack(&threads, &mut arena, isa, format, &bytes, SHAPE).expect("memory");
    let matrices: Vec<_> = (0..BYTES_IN_TURN / n_bytes).map(|_| matrix()).collect();
    let panel_len = matrices[0].panel_len();
    let mut matrices = matrices.iter().cycle();
    let x: Vec<f32> = (0..n * SHAPE[1]).map(activation).collect();
    let mut rows = Int8Rows::default();
    rows.quantize(isa, &threads, &x, SHAPE[1]);
    let mut tile = vec![0.0; n * panel_len];
    let mut scratch = Vec::new();
    counted(bencher, n, n_bytes).bench_local(|| {
        let matrix = matrices.next().expect("a cycle");
        for panel in 0..matrix.n_panels() {
            matrix.panel(isa, panel, black_box(&rows), &mut tile, &mut scratch);
        }
    });
}

/// Three blocks of ten outweigh the others, as in real models.
fn activation(i: usize) -> f32 {
    let outweighs = (i / 32).wrapping_mul(0x9e37_79b9) >> 16 & 0xff < 77;
    ((i % 31) as f32 - 15.0) * if outweighs { 4.0 } else { 1.0 }
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, n: usize, n_bytes: usize) -> Bencher<'a, 'b> {
    let operations = ItemsCount::new(2 * n * SHAPE[0] * SHAPE[1]);
    bencher
        .counter(operations)
        .counter(BytesCount::new(n_bytes))
}

#[divan::bench(args = ROWS)]
fn q4_k(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), BlockFormat::Q4K, n);
}

#[divan::bench(args = ROWS)]
fn q6_k(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), BlockFormat::Q6K, n);
}

#[divan::bench(args = ROWS)]
fn q8_0(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), BlockFormat::Q8_0, n);
}

#[divan::bench(args = ROWS)]
fn q4_0(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), BlockFormat::Q4_0, n);
}

/// Decode and prefill in every format that has a kernel.
#[divan::bench(args = BlockFormat::ALL.into_iter().filter(|&format| Int8Matrix::supports(format)))]
fn one_row(bencher: Bencher<'_, '_>, format: BlockFormat) {
    time(bencher, Isa::best(), format, 1);
}

/// Decode and prefill in every format that has a kernel.
#[divan::bench(args = BlockFormat::ALL.into_iter().filter(|&format| Int8Matrix::supports(format)))]
fn many_rows(bencher: Bencher<'_, '_>, format: BlockFormat) {
    time(bencher, Isa::best(), format, 128);
}

#[divan::bench(args = [1, 8])]
fn q4_k_scalar(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::Scalar, BlockFormat::Q4K, n);
}

/// candle's product of the same shape and format, rounding of the activations included.
#[divan::bench(types = [k_quants::BlockQ4K, k_quants::BlockQ6K, k_quants::BlockQ8_0], args = [1, 128])]
fn candle<B: GgmlType>(bencher: Bencher<'_, '_>, n: usize) {
    let n_blocks = SHAPE[0] * SHAPE[1] / B::BLCK_SIZE;
    let n_bytes = n_blocks * size_of::<B>();
    let one = vec![B::zeros(); n_blocks];
    let matrices = vec![one; BYTES_IN_TURN / n_bytes];
    let mut matrices = matrices.iter().cycle();
    let x = vec![0.5; n * SHAPE[1]];
    let mut out = vec![0.0; n * SHAPE[0]];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("a thread");
    counted(bencher, n, n_bytes).bench_local(|| {
        let matrix = matrices.next().expect("a cycle");
        let sizes = (n, SHAPE[1], SHAPE[0]);
        pool.install(|| k_quants::matmul(sizes, black_box(&x), matrix, &mut out))
            .expect("sizes that fit");
    });
}
