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

/// As [`rms_norm`], in place, on each part of `x` that is as long as `weight`: the heads of a token.
///
/// # Panics
/// If `x` is not a whole number of such parts.
pub fn rms_norm_heads(isa: Isa, x: &mut [f32], weight: &[f32], eps: f32, offset: f32) {
    assert!(
        x.len().is_multiple_of(weight.len().max(1)),
        "a whole number of heads"
    );
    for head in x.chunks_exact_mut(weight.len().max(1)) {
        let factor = 1.0 / (simd::run(isa, MeanSquare(head)) + eps).sqrt();
        for (x, weight) in head.iter_mut().zip(weight) {
            *x = *x * factor * (weight + offset);
        }
    }
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
    fn scale(self, mean_square: f32) {
        let factor = 1.0 / (mean_square + self.eps).sqrt();
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
            *out = x * factor * (weight + self.offset);
        }
    }
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    fn scalar(self) {
        let mean_square = MeanSquare(self.x).scalar();
        self.scale(mean_square);
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        let mean_square = MeanSquare(self.x).simd(s);
        self.scale(mean_square);
    }
}

struct MeanSquare<'a>(&'a [f32]);

impl Kernel for MeanSquare<'_> {
    type Output = f32;

    fn scalar(self) -> f32 {
        // Eight sums, because one alone loses digits in a long row.
        let mut squares = [0.0f32; 8];
        for (i, x) in self.0.iter().enumerate() {
            squares[i % 8] += x * x;
        }
        squares.iter().sum::<f32>() / self.0.len() as f32
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) -> f32 {
        let n = self.0.len();
        let x = self.0.as_ptr();
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
        s.sum(sum) / n as f32
    }
}
