//! Sums and caps.

use crate::Isa;
use crate::simd::{self, Kernel, Simd, math};

/// `sum += x`.
///
/// # Panics
/// If the lengths differ.
pub fn add(isa: Isa, sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len(), "as many values as sums");
    simd::run(isa, Add { sum, x });
}

/// `sum = sum * factor + x * x_factor`.
///
/// # Panics
/// If the lengths differ.
pub fn scale_add(isa: Isa, sum: &mut [f32], factor: f32, x: &[f32], x_factor: f32) {
    assert_eq!(sum.len(), x.len(), "as many values as sums");
    let kernel = ScaleAdd {
        sum,
        factor,
        x,
        x_factor,
    };
    simd::run(isa, kernel);
}

/// `x = cap * tanh(x / cap)`: keeps logits between `-cap` and `cap`.
pub fn softcap(isa: Isa, x: &mut [f32], cap: f32) {
    simd::run(isa, Softcap { x, cap });
}

struct Add<'a> {
    sum: &'a mut [f32],
    x: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        for (sum, x) in self.sum.iter_mut().zip(self.x) {
            *sum += x;
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

struct ScaleAdd<'a> {
    sum: &'a mut [f32],
    factor: f32,
    x: &'a [f32],
    x_factor: f32,
}

impl Kernel for ScaleAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        for (sum, x) in self.sum.iter_mut().zip(self.x) {
            *sum = *sum * self.factor + x * self.x_factor;
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

struct Softcap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for Softcap<'_> {
    type Output = ();

    fn scalar(self) {
        for x in self.x {
            *x = self.cap * (*x / self.cap).tanh();
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        let (n, x) = (self.x.len(), self.x.as_mut_ptr());
        for i in (0..n).step_by(S::LANES) {
            // SAFETY: `n - i` values follow.
            unsafe {
                let value = s.load_upto(x.add(i), n - i);
                s.store_upto(x.add(i), softcapped(s, value, self.cap), n - i);
            }
        }
    }
}

/// `cap * tanh(x / cap)`
#[inline(always)]
pub(crate) fn softcapped<S: Simd>(s: S, x: S::F32, cap: f32) -> S::F32 {
    let cap = s.splat(cap);
    s.mul(cap, math::tanh(s, s.div(x, cap)))
}
