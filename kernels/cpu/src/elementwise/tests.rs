//! Every instruction set against double precision.

use super::*;
use crate::Isa;
use crate::simd::tests::{SIZES, random};

fn assert_close(got: &[f32], want: impl IntoIterator<Item = f64>, tolerance: f64, what: &str) {
    let want: Vec<f64> = want.into_iter().collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        let allowed = tolerance * want.abs().max(1.0);
        assert!(error <= allowed, "{what}, value {i}: {got} for {want}");
    }
}

#[test]
fn rms_norm_agrees() {
    for isa in Isa::available() {
        for n in SIZES {
            let (x, weight) = (random(n, 1), random(n, 2));
            let mut out = vec![f32::NAN; n];
            rms_norm(isa, &x, &weight, 1e-5, 1.0, &mut out);
            let squares: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            let factor = 1.0 / (squares / n as f64 + 1e-5).sqrt();
            let want = x.iter().zip(&weight);
            let want = want.map(|(&x, &w)| f64::from(x) * factor * (f64::from(w) + 1.0));
            assert_close(&out, want, 1e-6, &format!("{isa:?} {n}"));
        }
    }
}

#[test]
fn rope_agrees_and_leaves_the_rest() {
    for isa in Isa::available() {
        for (head_dim, n_pairs) in [
            (2, 1),
            (16, 8),
            (24, 7),
            (80, 40),
            (128, 64),
            (100, 33),
            (8, 0),
        ] {
            let angles = random(n_pairs, 3);
            let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
            let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
            let before = random(3 * head_dim, 4);
            for pairs in [RopePairs::Halves, RopePairs::Interleaved] {
                let mut heads = before.clone();
                rope(isa, pairs, &cos, &sin, &mut heads, head_dim);
                let mut want: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
                for head in want.chunks_exact_mut(head_dim) {
                    for i in 0..n_pairs {
                        let [a, b] = match pairs {
                            RopePairs::Halves => [i, i + n_pairs],
                            RopePairs::Interleaved => [2 * i, 2 * i + 1],
                        };
                        let (cos, sin) = (f64::from(cos[i]), f64::from(sin[i]));
                        let (x, y) = (head[a], head[b]);
                        (head[a], head[b]) = (x * cos - y * sin, x * sin + y * cos);
                    }
                }
                assert_close(&heads, want, 1e-6, &format!("{isa:?} {pairs:?} {head_dim}"));
            }
        }
    }
}

#[test]
fn gates_agree() {
    let exact = |activation, x: f64| match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * (1.0 + erf(x / 2f64.sqrt())) / 2.0,
        Activation::GeluTanh => {
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x * (1.0 + y.tanh()) / 2.0
        }
    };
    for isa in Isa::available() {
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
            for n in SIZES {
                let mut gate: Vec<f32> = random(n, 5).iter().map(|x| x * 6.0).collect();
                gate.iter_mut()
                    .zip([0.0, -0.0, 100.0, -100.0, 1e-6])
                    .for_each(|(g, x)| *g = x);
                let up = random(n, 6);
                let want: Vec<f64> = gate
                    .iter()
                    .zip(&up)
                    .map(|(&gate, &up)| exact(activation, f64::from(gate)) * f64::from(up))
                    .collect();
                gated(isa, activation, &mut gate, &up);
                assert_close(&gate, want, 1e-6, &format!("{isa:?} {activation:?} {n}"));
            }
        }
    }
}

/// The Taylor series; enough terms for |x| < 6, beyond which the function is 1.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn sums_and_caps_agree() {
    for isa in Isa::available() {
        for n in SIZES {
            let (a, b) = (random(n, 7), random(n, 8));
            let exact = || {
                a.iter()
                    .zip(&b)
                    .map(|(&a, &b)| (f64::from(a), f64::from(b)))
            };
            let what = format!("{isa:?} {n}");

            let mut sum = a.clone();
            add(isa, &mut sum, &b);
            assert_close(&sum, exact().map(|(a, b)| a + b), 1e-7, &what);

            let mut sum = a.clone();
            scale_add(isa, &mut sum, 0.25, &b, -3.0);
            assert_close(&sum, exact().map(|(a, b)| a * 0.25 - 3.0 * b), 5e-7, &what);

            let mut capped = a.clone();
            softcap(isa, &mut capped, 1.5);
            assert_close(
                &capped,
                exact().map(|(a, _)| 1.5 * (a / 1.5).tanh()),
                3e-7,
                &what,
            );
        }
    }
}

#[test]
fn small_values_keep_their_digits_under_a_cap() {
    for isa in Isa::available() {
        let mut x = [1e-3, -1e-5, 0.0, f32::INFINITY, f32::NEG_INFINITY];
        softcap(isa, &mut x, 50.0);
        assert!(
            (x[0] - 1e-3).abs() < 1e-9 && (x[1] + 1e-5).abs() < 1e-11,
            "{isa:?} {x:?}"
        );
        assert_eq!(x[2..], [0.0, 50.0, -50.0], "{isa:?}");
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for isa in Isa::available() {
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
            let mut gate = [f32::NAN; 9];
            gated(isa, activation, &mut gate, &[1.0; 9]);
            assert!(gate.iter().all(|x| x.is_nan()), "{isa:?} {activation:?}");
        }
    }
}
