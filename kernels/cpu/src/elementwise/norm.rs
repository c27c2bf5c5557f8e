//! Root mean square norm.

use crate::Isa;
use crate::simd::{self, Kernel, Simd};

/// `out = x / sqrt(mean(x²) + eps) * (weight + offset)`, all of the same length.
///
/// # Panics
/// If the lengths differ.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], eps: f32, offset: f32, out: &mut [f32]) {
    assert_eq!(x.len(), weight.len(), "one weight for each value");
    assert_eq!(x.len(), out.len(), "as many values out as in");
    let kernel = RmsNorm {
        x,
        weight,
        eps,
        offset,
        out,
    };
    simd::run(isa, kernel);
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    offset: f32,
    out: &'a mut [f32],
}

impl RmsNorm<'_> {
    #[inline(always)]
    fn factor(&self, squares: f32) -> f32 {
        1.0 / (squares / self.x.len() as f32 + self.eps).sqrt()
    }

    #[inline(always)]
    fn scale(self, factor: f32) {
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
            *out = x * factor * (weight + self.offset);
        }
    }
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    fn scalar(self) {
        // Eight sums, because one alone loses digits in a long row.
        let mut squares = [0.0f32; 8];
        for (i, x) in self.x.iter().enumerate() {
            squares[i % 8] += x * x;
        }
        let factor = self.factor(squares.iter().sum());
        self.scale(factor);
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        let n = self.x.len();
        let x = self.x.as_ptr();
        let mut sums = [s.splat(0.0); 4];
        let mut i = 0;
        while i < n {
            for (part, sum) in sums.iter_mut().enumerate() {
                let i = (i + part * S::LANES).min(n);
                // SAFETY: `x` has `n - i` values from `i` on.
                let x = unsafe { s.load_upto(x.add(i), n - i) };
                *sum = s.mul_add(x, x, *sum);
            }
            i += sums.len() * S::LANES;
        }
        let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
        let factor = self.factor(s.sum(sum));
        self.scale(factor);
    }
}
