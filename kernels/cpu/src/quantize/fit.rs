//! The search for scales: which steps fit some values best.
//!
//! Rounding to q steps of size d costs Σ w (d·q − x)². For given q the best d follows from least
//! squares, d = Σ w·x·q / Σ w·q², and the cost falls by (Σ w·x·q)² / Σ w·q². For given d the best q
//! is the nearest. Neither search alone finds the best pair, so several d around the obvious one
//! are tried. With a minimum, x ≈ d·q − m, the same holds with two unknowns.
//!
//! Everything works on values divided by their largest magnitude, so that no sum overflows or
//! vanishes.

use super::floats::nearest;

/// Blocks that are weaker than this are zeros: half precision ends at 2^-24 ≈ 6e-8, and scales
/// are no smaller than a two-hundredth of what they stand for.
const VANISHING: f32 = 1e-12;

/// How far candidates reach around the obvious number of steps, and in what strides.
const STRIDE: f32 = 0.125;
const N_STRIDES: i32 = 8;

/// What an error counts for each value.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Weighting {
    /// x²: large weights move results most. Best where every group has its own scale only.
    Square,
    /// |x| + rms(x): the same, milder, as a minimum serves the small values too.
    Magnitude,
}

impl Weighting {
    #[inline(always)]
    fn of<const N: usize>(self, x: &[f32; N]) -> [f32; N] {
        let mean = x.iter().map(|v| v * v).sum::<f32>() / N as f32;
        match self {
            Self::Square => x.map(|v| v * v),
            Self::Magnitude => {
                let rms = mean.sqrt();
                x.map(|v| v.abs() + rms)
            }
        }
    }
}

/// The value of the largest magnitude, with its sign.
#[inline(always)]
pub(super) fn peak<const N: usize>(x: &[f32; N]) -> f32 {
    let (lowest, highest) = range(x);
    if -lowest > highest { lowest } else { highest }
}

#[inline(always)]
fn range<const N: usize>(x: &[f32; N]) -> (f32, f32) {
    x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |r, &v| {
        (r.0.min(v), r.1.max(v))
    })
}

/// The scale d with which steps q from −n to n − 1 fit `x` best. It may be negative: of the two
/// ends of the steps one reaches farther, and the largest value may want it.
pub(super) fn symmetric<const N: usize>(x: &[f32; N], n: f32, weighting: Weighting) -> f32 {
    let peak = peak(x);
    if !(peak.abs() >= VANISHING && peak.is_finite()) {
        return 0.0;
    }
    let unit = peak.recip();
    let y = x.map(|v| v * unit);
    let w = weighting.of(&y);
    let (mut best, mut best_gain) = (0.0, 0.0);
    for end in [-n, n - 1.0] {
        for stride in -N_STRIDES..=N_STRIDES {
            let inverse = end + end.signum() * STRIDE * stride as f32;
            let (mut xq, mut qq) = (0.0, 0.0);
            for i in 0..N {
                let q = nearest(y[i] * inverse).clamp(-n, n - 1.0);
                xq += w[i] * y[i] * q;
                qq += w[i] * q * q;
            }
            if xq * xq > best_gain * qq {
                (best, best_gain) = (xq / qq, xq * xq / qq);
            }
        }
    }
    best * peak
}

/// Steps with a minimum: values are `scale × q − minimum`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: f32,
    pub(super) minimum: f32,
}

/// The best steps from 0 to `top` with a minimum. `minimum_at_least` is 0 where the format has no
/// sign for it, else −∞.
pub(super) fn affine<const N: usize>(x: &[f32; N], top: f32, minimum_at_least: f32) -> Affine {
    let (lowest, highest) = range(x);
    let largest = highest.abs().max(lowest.abs());
    if !(largest >= VANISHING && largest.is_finite()) {
        return Affine::default();
    }
    let y = x.map(|v| v / largest);
    let w = Weighting::Magnitude.of(&y);
    // A minimum that must not be negative means that zero is among the values.
    let low = (lowest / largest).min(-minimum_at_least);
    let width = highest / largest - low;
    let start = Affine {
        scale: width.max(0.0) / top,
        minimum: -low,
    };
    if width * top <= VANISHING {
        return start.times(largest);
    }
    let (mut best, mut best_error) = (start, f32::INFINITY);
    for stride in -N_STRIDES..=N_STRIDES {
        let inverse = (top + STRIDE * stride as f32) / width;
        let steps = Affine {
            scale: inverse.recip(),
            minimum: -low,
        };
        let fitted = refit(&y, &w, steps, top, minimum_at_least);
        let error = error(&y, &w, fitted, top);
        if error < best_error {
            (best, best_error) = (fitted, error);
        }
    }
    refit(&y, &w, best, top, minimum_at_least).times(largest)
}

/// Rounds to `steps` and fits scale and minimum to the rounded values.
#[inline(always)]
fn refit<const N: usize>(
    y: &[f32; N],
    w: &[f32; N],
    steps: Affine,
    top: f32,
    minimum_at_least: f32,
) -> Affine {
    let (mut sw, mut sq, mut sqq, mut sy, mut sqy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let inverse = steps.scale.recip();
    for i in 0..N {
        let q = step(y[i], steps.minimum, inverse, top);
        sw += w[i];
        sq += w[i] * q;
        sqq += w[i] * q * q;
        sy += w[i] * y[i];
        sqy += w[i] * q * y[i];
    }
    let determinant: f32 = sw * sqq - sq * sq;
    let mut fitted = Affine {
        scale: (sw * sqy - sq * sy) / determinant,
        minimum: (sq * sqy - sqq * sy) / determinant,
    };
    if fitted.minimum < minimum_at_least {
        fitted = Affine {
            scale: sqy / sqq,
            minimum: minimum_at_least,
        };
    }
    // All values in one step determine no scale; a negative one would turn the steps around.
    if fitted.scale.is_finite() && fitted.minimum.is_finite() && fitted.scale > 0.0 {
        fitted
    } else {
        steps
    }
}

/// The weighted error of values rounded to `steps`.
#[inline(always)]
pub(super) fn error<const N: usize>(y: &[f32; N], w: &[f32; N], steps: Affine, top: f32) -> f32 {
    let inverse = super::floats::reciprocal(steps.scale);
    let mut sum = 0.0;
    for i in 0..N {
        let q = step(y[i], steps.minimum, inverse, top);
        let distance = steps.scale * q - steps.minimum - y[i];
        sum += w[i] * distance * distance;
    }
    sum
}

/// The weights that [`affine`] uses, for comparing errors afterwards.
#[inline(always)]
pub(super) fn affine_weights<const N: usize>(x: &[f32; N]) -> [f32; N] {
    Weighting::Magnitude.of(x)
}

/// The step of a value, with the reciprocal of the scale.
#[inline(always)]
pub(super) fn step(value: f32, minimum: f32, inverse: f32, top: f32) -> f32 {
    nearest(((value + minimum) * inverse).clamp(0.0, top))
}

impl Affine {
    fn times(self, factor: f32) -> Self {
        Self {
            scale: self.scale * factor,
            minimum: self.minimum * factor,
        }
    }
}
