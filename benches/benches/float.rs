//! Products with matrices of plain numbers, in the shape of Qwen3-0.6B's feed-forward layers:
//! bytes of weights and floating-point operations (`item/s`) in a second.
//!
//! `cargo bench -p ponder-benches --bench float`

mod support;

use candle_core::DType;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::{Arena, Bf16Rows, FloatFormat, FloatMatrix, Isa, Threads};

/// Rows and inputs.
const SHAPE: [usize; 2] = [3072, 1024];

/// Matrices that are used in turn: with so many, each has left the cache of the processor when its
/// turn comes again.
const N_MATRICES: usize = 24;

fn main() {
    divan::main();
}

/// One thread multiplies `n` rows of activations.
fn time(bencher: Bencher<'_, '_>, isa: Isa, format: FloatFormat, n: usize) {
    let threads = Threads::new(2).expect("threads");
    let bytes = vec![1; SHAPE[0] * SHAPE[1] * format.n_bytes()];
    let matrix = || {
        FloatMatrix::pack(&threads, &mut Arena::default(), isa, format, &bytes, SHAPE)
            .expect("memory")
    };
    let matrices: Vec<_> = (0..N_MATRICES).map(|_| matrix()).collect();
    let mut matrices = matrices.iter().cycle();
    let x = vec![0.5; n * SHAPE[1]];
    let mut rounded = Bf16Rows::default();
    rounded.round(&threads, &x, SHAPE[1]);
    let mut tile = vec![0.0; n * FloatMatrix::PANEL];
    let flop = ItemsCount::new(2 * n * SHAPE[0] * SHAPE[1]);
    let bencher = bencher.counter(flop).counter(BytesCount::new(bytes.len()));
    bencher.bench_local(|| {
        let matrix = matrices.next().expect("a cycle");
        for panel in 0..matrix.n_panels() {
            if matrix.rounds_input() {
                matrix.rounded_panel(isa, panel, black_box(&rounded), &mut tile);
            } else {
                matrix.panel(isa, panel, black_box(&x), &mut tile);
            }
        }
    });
}

#[divan::bench(args = [1, 2, 4, 8, 16, 32, 128, 512])]
fn bf16(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), FloatFormat::BF16, n);
}

#[divan::bench(args = [1, 128])]
fn f16(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), FloatFormat::F16, n);
}

#[divan::bench(args = [1, 128])]
fn f32(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), FloatFormat::F32, n);
}

#[divan::bench(args = [1, 8])]
fn bf16_scalar(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::Scalar, FloatFormat::BF16, n);
}

/// candle's product of the same shape.
#[divan::bench(args = [(DType::F32, 1), (DType::F32, 128), (DType::F16, 1), (DType::F16, 128), (DType::BF16, 1), (DType::BF16, 128)])]
fn candle(bencher: Bencher<'_, '_>, (dtype, n): (DType, usize)) {
    let matrices: Vec<_> = (0..N_MATRICES)
        .map(|_| support::tensor((SHAPE[0], SHAPE[1]), dtype))
        .collect();
    let mut matrices = matrices.iter().cycle();
    let x = support::tensor((n, SHAPE[1]), dtype);
    let flop = ItemsCount::new(2 * n * SHAPE[0] * SHAPE[1]);
    let n_bytes = SHAPE[0] * SHAPE[1] * dtype.size_in_bytes();
    let bencher = bencher.counter(flop).counter(BytesCount::new(n_bytes));
    support::candle(bencher, || {
        x.matmul(&matrices.next().expect("a cycle").t()?)
    });
}
