//! Activations of gated feed-forward networks.

use crate::Isa;
use crate::simd::math::{ERF_LARGE, ERF_SMALL};
use crate::simd::{self, Kernel, Simd, math};

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x * (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// [`Gelu`](Self::Gelu) with its usual approximation,
    /// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³))) / 2`.
    GeluTanh,
}

/// `gate = activation(gate) * up`.
///
/// # Panics
/// If the lengths differ.
pub fn gated(isa: Isa, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "one value of `up` for each gate");
    match activation {
        Activation::Silu => run::<Silu>(isa, gate, up),
        Activation::Gelu => run::<Gelu>(isa, gate, up),
        Activation::GeluTanh => run::<GeluTanh>(isa, gate, up),
    }
}

fn run<F: Function>(isa: Isa, gate: &mut [f32], up: &[f32]) {
    let function = std::marker::PhantomData::<F>;
    simd::run(isa, Gated { gate, up, function });
}

trait Function {
    fn scalar(x: f32) -> f32;
    fn simd<S: Simd>(s: S, x: S::F32) -> S::F32;
}

struct Gated<'a, F> {
    gate: &'a mut [f32],
    up: &'a [f32],
    function: std::marker::PhantomData<F>,
}

impl<F: Function> Kernel for Gated<'_, F> {
    type Output = ();

    fn scalar(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = F::scalar(*gate) * up;
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        let n = self.gate.len();
        let (gate, up) = (self.gate.as_mut_ptr(), self.up.as_ptr());
        for i in (0..n).step_by(S::LANES) {
            // SAFETY: both have `n - i` values from `i` on.
            unsafe {
                let active = F::simd(s, s.load_upto(gate.add(i), n - i));
                let value = s.mul(active, s.load_upto(up.add(i), n - i));
                s.store_upto(gate.add(i), value, n - i);
            }
        }
    }
}

/// `x / (1 + exp(-y))`
#[inline(always)]
fn times_sigmoid<S: Simd>(s: S, x: S::F32, y: S::F32) -> S::F32 {
    let power = math::exp(s, s.sub(s.splat(0.0), y));
    s.div(x, s.add(s.splat(1.0), power))
}

enum Silu {}

impl Function for Silu {
    fn scalar(x: f32) -> f32 {
        x / (1.0 + (-x).exp())
    }

    #[inline(always)]
    fn simd<S: Simd>(s: S, x: S::F32) -> S::F32 {
        times_sigmoid(s, x, x)
    }
}

enum Gelu {}

impl Function for Gelu {
    fn scalar(x: f32) -> f32 {
        x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) * 0.5
    }

    #[inline(always)]
    fn simd<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let erf = math::erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
        s.mul(s.mul(x, s.add(s.splat(1.0), erf)), s.splat(0.5))
    }
}

/// The error function; the standard library has none.
fn erf(x: f32) -> f32 {
    let polynomial =
        |terms: &[f32], x: f32| terms.iter().rev().fold(0.0, |sum, term| sum * x + term);
    let size = x.abs();
    let value = if size < 1.0 {
        size * polynomial(&ERF_SMALL, x * x)
    } else {
        1.0 - polynomial(&ERF_LARGE, size.min(4.0)).exp()
    };
    value.copysign(x)
}

/// sqrt(2 / pi) and 0.044715 times that, both doubled as (1 + tanh y) / 2 is the sigmoid of 2 y.
const GELU_TANH: [f32; 2] = {
    let linear = std::f32::consts::SQRT_2 * std::f32::consts::FRAC_2_SQRT_PI;
    [linear, 0.044_715 * linear]
};

enum GeluTanh {}

impl Function for GeluTanh {
    fn scalar(x: f32) -> f32 {
        let y = x * (GELU_TANH[0] + GELU_TANH[1] * x * x);
        x / (1.0 + (-y).exp())
    }

    #[inline(always)]
    fn simd<S: Simd>(s: S, x: S::F32) -> S::F32 {
        let [linear, cubic] = GELU_TANH.map(|factor| s.splat(factor));
        let y = s.mul(x, s.mul_add(cubic, s.mul(x, x), linear));
        times_sigmoid(s, x, y)
    }
}
