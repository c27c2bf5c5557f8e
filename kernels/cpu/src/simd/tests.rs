//! Vector functions against double precision, over the whole range of `f32`.

use super::{Kernel, Simd, math, run};
use crate::Isa;

/// Lengths around the widths of registers and rows.
pub(crate) const SIZES: [usize; 15] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000];

/// `n` values between -2 and 2, the same for the same seed.
pub(crate) fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 * 4.0 - 2.0
    };
    (0..n).map(|_| next()).collect()
}

struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();

    fn scalar(self) {
        self.0.iter_mut().for_each(|x| *x = x.exp());
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        for i in (0..self.0.len()).step_by(S::LANES) {
            let part = &mut self.0[i..];
            // SAFETY: the pointer is that of a slice, with its length.
            unsafe {
                let x = s.load_upto(part.as_ptr(), part.len());
                s.store_upto(part.as_mut_ptr(), math::exp(s, x), part.len());
            }
        }
    }
}

#[test]
fn exponentials_are_right_to_the_last_digits() {
    let x: Vec<f32> = (-870_000..880_000)
        .step_by(7)
        .map(|x| x as f32 * 1e-4)
        .collect();
    for isa in Isa::available() {
        let mut out = x.clone();
        run(isa, Exp(&mut out));
        for (x, out) in x.iter().zip(out) {
            let want = f64::from(*x).exp();
            let error = (f64::from(out) - want).abs() / want;
            assert!(error < 2e-7, "{isa:?}: exp({x}) = {out}, not {want}");
        }
    }
}

#[test]
fn exponentials_end_well() {
    for isa in Isa::available() {
        let mut x = [
            f32::NEG_INFINITY,
            -1e30,
            -110.0,
            0.0,
            89.0,
            1e30,
            f32::INFINITY,
            f32::NAN,
        ];
        run(isa, Exp(&mut x));
        let infinity = f32::INFINITY;
        assert_eq!(
            x[..7],
            [0.0, 0.0, 0.0, 1.0, infinity, infinity, infinity],
            "{isa:?}"
        );
        assert!(x[7].is_nan(), "{isa:?}");
    }
}
