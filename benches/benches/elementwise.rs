//! What happens between matrices: norms, rotations, gates, sums and caps, on one thread, in the shapes
//! of Qwen3-0.6B: values a second (`item/s`), and bytes that are read and written.
//!
//! `cargo bench -p ponder-benches --bench elementwise`

mod support;

use candle_core::{DType, Tensor};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::Isa;
use ponder_kernels_cpu::elementwise::{self as kernels, Activation, RopePairs};

use support::{counted, numbers, tensor};

/// Values of a token in the residual stream, between gate and down, and of a head.
const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const HEAD_DIM: usize = 128;
const N_HEADS: usize = 16;

/// Tokens: decode, prefill.
const TOKENS: [usize; 2] = [1, 128];

/// Values of a vocabulary whose logits are capped (Gemma 2).
const VOCAB: usize = 256_000;

const EPS: f32 = 1e-6;

fn main() {
    divan::main();
}

/// The kernel of a module for the best instruction set, and its scalar twin.
macro_rules! twins {
    ($args:expr, $arg:ty) => {
        #[divan::bench(args = $args)]
        fn kernel(bencher: Bencher<'_, '_>, arg: $arg) {
            time(bencher, Isa::best(), arg);
        }

        #[divan::bench(args = $args)]
        fn scalar(bencher: Bencher<'_, '_>, arg: $arg) {
            time(bencher, Isa::Scalar, arg);
        }
    };
}

mod rms_norm {
    use super::*;

    fn time(bencher: Bencher<'_, '_>, isa: Isa, n: usize) {
        let (x, weight) = (numbers(n * HIDDEN), numbers(HIDDEN));
        let mut out = vec![0.0; x.len()];
        counted(bencher, x.len(), 8 * x.len()).bench_local(|| {
            let rows = black_box(&x).chunks_exact(HIDDEN);
            for (x, out) in rows.zip(out.chunks_exact_mut(HIDDEN)) {
                kernels::rms_norm(isa, x, &weight, EPS, 0.0, out);
            }
        });
    }

    twins!(TOKENS, usize);

    #[divan::bench(args = TOKENS)]
    fn candle(bencher: Bencher<'_, '_>, n: usize) {
        let x = tensor((n, HIDDEN), DType::F32);
        let weight = tensor(HIDDEN, DType::F32);
        let bencher = counted(bencher, n * HIDDEN, 8 * n * HIDDEN);
        support::candle(bencher, || candle_nn::ops::rms_norm(&x, &weight, EPS));
    }
}

/// The norm of each head, in place.
mod rms_norm_heads {
    use super::*;

    fn time(bencher: Bencher<'_, '_>, isa: Isa, n: usize) {
        let mut x = numbers(n * N_HEADS * HEAD_DIM);
        let weight = vec![1.0; HEAD_DIM];
        counted(bencher, x.len(), 8 * x.len()).bench_local(|| {
            kernels::rms_norm_heads(isa, black_box(&mut x), &weight, EPS, 0.0);
        });
    }

    twins!(TOKENS, usize);

    #[divan::bench(args = TOKENS)]
    fn candle(bencher: Bencher<'_, '_>, n: usize) {
        let x = tensor((n * N_HEADS, HEAD_DIM), DType::F32);
        let weight = tensor(HEAD_DIM, DType::F32);
        let n_values = n * N_HEADS * HEAD_DIM;
        let bencher = counted(bencher, n_values, 8 * n_values);
        support::candle(bencher, || candle_nn::ops::rms_norm(&x, &weight, EPS));
    }
}

/// Queries of all heads are turned, in place.
mod rope {
    use super::*;

    const ARGS: [(RopePairs, usize); 4] = [
        (RopePairs::Halves, 1),
        (RopePairs::Halves, 128),
        (RopePairs::Interleaved, 1),
        (RopePairs::Interleaved, 128),
    ];

    fn time(bencher: Bencher<'_, '_>, isa: Isa, (pairs, n): (RopePairs, usize)) {
        let width = N_HEADS * HEAD_DIM;
        let mut heads = numbers(n * width);
        // An angle of 0.6 keeps the length of all vectors, however often they are turned.
        let (cos, sin) = ([0.8; HEAD_DIM / 2], [0.6; HEAD_DIM / 2]);
        counted(bencher, heads.len(), 8 * heads.len()).bench_local(|| {
            for token in black_box(&mut heads).chunks_exact_mut(width) {
                kernels::rope(isa, pairs, &cos, &sin, token, HEAD_DIM);
            }
        });
    }

    twins!(ARGS, (RopePairs, usize));

    #[divan::bench(args = ARGS)]
    fn candle(bencher: Bencher<'_, '_>, (pairs, n): (RopePairs, usize)) {
        let heads = tensor((1, N_HEADS, n, HEAD_DIM), DType::F32);
        let [cos, sin] = [0, 1].map(|_| tensor((n, HEAD_DIM / 2), DType::F32));
        let n_values = n * N_HEADS * HEAD_DIM;
        let bencher = counted(bencher, n_values, 8 * n_values);
        support::candle(bencher, || match pairs {
            RopePairs::Halves => candle_nn::rotary_emb::rope(&heads, &cos, &sin),
            RopePairs::Interleaved => candle_nn::rotary_emb::rope_i(&heads, &cos, &sin),
        });
    }
}

/// `activation(gate) * up`
mod gated {
    use super::*;

    const ARGS: [(Activation, usize); 4] = [
        (Activation::Silu, 1),
        (Activation::Silu, 128),
        (Activation::Gelu, 128),
        (Activation::GeluTanh, 128),
    ];

    fn time(bencher: Bencher<'_, '_>, isa: Isa, (activation, n): (Activation, usize)) {
        let (gate, up) = (numbers(n * INNER), numbers(n * INNER));
        // In place, and so on a copy of what is cached all the same.
        counted(bencher, gate.len(), 12 * gate.len())
            .with_inputs(|| gate.clone())
            .bench_local_refs(|gate| kernels::gated(isa, activation, gate, black_box(&up)));
    }

    twins!(ARGS, (Activation, usize));

    #[divan::bench(args = ARGS)]
    fn candle(bencher: Bencher<'_, '_>, (activation, n): (Activation, usize)) {
        let [gate, up] = [0, 1].map(|_| tensor((n, INNER), DType::F32));
        let bencher = counted(bencher, n * INNER, 12 * n * INNER);
        support::candle(bencher, || {
            let active = match activation {
                Activation::Silu => gate.silu()?,
                Activation::Gelu => gate.gelu_erf()?,
                Activation::GeluTanh => gate.gelu()?,
            };
            active * &up
        });
    }
}

/// `sum += x`
mod add {
    use super::*;

    fn time(bencher: Bencher<'_, '_>, isa: Isa, n: usize) {
        let (mut sum, x) = (vec![0.0; n * HIDDEN], numbers(n * HIDDEN));
        counted(bencher, x.len(), 12 * x.len())
            .bench_local(|| kernels::add(isa, black_box(&mut sum), &x));
    }

    twins!(TOKENS, usize);

    #[divan::bench(args = TOKENS)]
    fn candle(bencher: Bencher<'_, '_>, n: usize) {
        let [sum, x] = [0, 1].map(|_| tensor((n, HIDDEN), DType::F32));
        let bencher = counted(bencher, n * HIDDEN, 12 * n * HIDDEN);
        support::candle(bencher, || &sum + &x);
    }
}

/// `sum * factor + x * x_factor`
mod scale_add {
    use super::*;

    fn time(bencher: Bencher<'_, '_>, isa: Isa, n: usize) {
        let (mut sum, x) = (vec![0.0; n * HIDDEN], numbers(n * HIDDEN));
        counted(bencher, x.len(), 12 * x.len())
            .bench_local(|| kernels::scale_add(isa, black_box(&mut sum), 0.5, &x, 0.25));
    }

    twins!(TOKENS, usize);

    #[divan::bench(args = TOKENS)]
    fn candle(bencher: Bencher<'_, '_>, n: usize) {
        let [sum, x] = [0, 1].map(|_| tensor((n, HIDDEN), DType::F32));
        let bencher = counted(bencher, n * HIDDEN, 12 * n * HIDDEN);
        support::candle(bencher, || -> candle_core::Result<Tensor> {
            (&sum * 0.5)? + (&x * 0.25)?
        });
    }
}

/// `cap * tanh(x / cap)` over a vocabulary.
mod softcap {
    use super::*;

    const CAP: f32 = 30.0;

    fn time(bencher: Bencher<'_, '_>, isa: Isa) {
        let logits = numbers(VOCAB);
        counted(bencher, VOCAB, 8 * VOCAB)
            .with_inputs(|| logits.clone())
            .bench_local_refs(|logits| kernels::softcap(isa, logits, CAP));
    }

    #[divan::bench]
    fn kernel(bencher: Bencher<'_, '_>) {
        time(bencher, Isa::best());
    }

    #[divan::bench]
    fn scalar(bencher: Bencher<'_, '_>) {
        time(bencher, Isa::Scalar);
    }

    #[divan::bench]
    fn candle(bencher: Bencher<'_, '_>) {
        let logits = tensor(VOCAB, DType::F32);
        let bencher = counted(bencher, VOCAB, 8 * VOCAB);
        support::candle(bencher, || {
            (&logits / f64::from(CAP))?.tanh()? * f64::from(CAP)
        });
    }
}
