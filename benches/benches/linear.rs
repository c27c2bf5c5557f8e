//! A feed-forward layer's gate and up in one, in the shape of Qwen3-0.6B and Q8_0, with the rounding of
//! the activations: bytes of weights, and multiplications and additions (`item/s`), in a second.
//!
//! `cargo bench -p ponder-benches --bench linear`

mod support;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Module};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::elementwise::Activation;
use ponder_kernels_cpu::linear::{Encoding, Input, Matrix, Product, Team};
use ponder_kernels_cpu::{Arena, BlockFormat, Encoder, Int8Rows, Isa};

use support::{counted, numbers};

/// Rows and inputs of each of the two matrices.
const SHAPE: [usize; 2] = [3072, 1024];

/// Bytes of both.
const N_BYTES: usize = 2 * SHAPE[0] * SHAPE[1] / 32 * 34;

/// Layers that are used in turn, so that each has left the cache of the processor.
const N_LAYERS: usize = 20;

/// Tokens: decode, a few together, prefill.
const TOKENS: [usize; 3] = [1, 8, 128];

fn main() {
    divan::main();
}

fn time(bencher: Bencher<'_, '_>, isa: Isa, n_threads: usize, n: usize) {
    let team = Team::new(isa, n_threads).expect("threads");
    let encoder = Encoder::of(BlockFormat::Q8_0).expect("an encoder");
    let mut bytes = vec![0; N_BYTES / 2];
    encoder.encode(&numbers(SHAPE[0] * SHAPE[1]), &mut bytes);
    let mut arena = Arena::default();
    let encoding = Encoding::Block(BlockFormat::Q8_0);
    let mut matrix = || {
        let source = bytes.clone();
        Matrix::pack(team.threads(), &mut arena, isa, encoding, source, SHAPE).expect("memory")
    };
    let layers: Vec<[Matrix; 2]> = (0..N_LAYERS).map(|_| [matrix(), matrix()]).collect();
    let mut layers = layers.iter().cycle();
    let x = numbers(n * SHAPE[1]);
    let mut rows = Int8Rows::default();
    let mut out = vec![0.0; n * SHAPE[0]];
    let n_operations = 4 * n * SHAPE[0] * SHAPE[1];
    counted(bencher, n_operations, N_BYTES).bench_local(|| {
        rows.quantize(isa, team.threads(), black_box(&x), SHAPE[1]);
        let input = Input {
            values: &x,
            int8: Some(&rows),
            bf16: None,
        };
        let [gate, up] = layers.next().expect("a cycle");
        let products = [gate, up].map(|matrix| Product { matrix, bias: None });
        team.multiply_gated(n, input, products, Activation::Silu, &mut out);
    });
}

#[divan::bench(args = TOKENS, consts = [1, 2])]
fn kernel<const THREADS: usize>(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::best(), THREADS, n);
}

#[divan::bench(args = [1, 8])]
fn scalar(bencher: Bencher<'_, '_>, n: usize) {
    time(bencher, Isa::Scalar, 1, n);
}

/// The two products, the activation and the gate as four of candle's operations.
#[divan::bench(args = TOKENS)]
fn candle(bencher: Bencher<'_, '_>, n: usize) {
    let weights = support::tensor((SHAPE[0], SHAPE[1]), DType::F32);
    let matrix = || {
        let quantized = QTensor::quantize(&weights, GgmlDType::Q8_0);
        QMatMul::from_qtensor(quantized.expect("blocks that fit")).expect("a matrix")
    };
    let layers: Vec<[QMatMul; 2]> = (0..N_LAYERS).map(|_| [matrix(), matrix()]).collect();
    let mut layers = layers.iter().cycle();
    let x = support::tensor((n, SHAPE[1]), DType::F32);
    let n_operations = 4 * n * SHAPE[0] * SHAPE[1];
    support::candle(counted(bencher, n_operations, N_BYTES), || {
        let [gate, up] = layers.next().expect("a cycle");
        gate.forward(&x)?.silu()? * up.forward(&x)?
    });
}
