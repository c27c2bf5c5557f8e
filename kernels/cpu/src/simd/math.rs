//! Exponentials and their relatives.
//!
//! The polynomials are minimax fits of this project's own (reweighted least squares in double
//! precision over the stated interval); the error stated with each is that of the polynomial
//! before rounding to `f32`.

use super::Simd;

/// A polynomial, the constant term first.
#[inline(always)]
fn polynomial<S: Simd>(s: S, coefficients: &[f32], x: S::F32) -> S::F32 {
    let mut terms = coefficients.iter().rev();
    let mut sum = s.splat(terms.next().copied().unwrap_or(0.0));
    for &term in terms {
        sum = s.mul_add(sum, x, s.splat(term));
    }
    sum
}

/// `(eʳ - 1 - r) / r²` for |r| ≤ ln 2 / 2; relative error of eʳ 3.3e-9.
const EXP: [f32; 5] = [
    0.499_999_94,
    0.166_665_15,
    0.041_668_456,
    0.008_369_42,
    0.001_381_314_2,
];

/// eˣ, within 2e-7 relative. 0 below -87.3 (where `f32` has no normal number), infinity from
/// 88.4 on.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// ln 2 in two parts, the first so short that its product with any exponent is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    const LOWEST: f32 = -87.3;
    let high = s.splat(89.0);
    let clamped = s.max(s.splat(LOWEST), s.min(high, x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN_2[0]), clamped);
    let r = s.mul_add(n, s.splat(-LN_2[1]), r);
    let squares = s.mul(s.mul(r, r), polynomial(s, &EXP, r));
    let fraction = s.add(s.splat(1.0), s.add(r, squares));
    // An exponent of 128 becomes the bits of infinity.
    let value = s.mul(fraction, s.power_of_two(n));
    s.select_less(x, s.splat(LOWEST), s.splat(0.0), value)
}

/// `(tanh x / x - 1) / x²` over x² for |x| ≤ 0.625; absolute error of tanh x / x 4.1e-9.
const TANH: [f32; 5] = [
    -0.333_332_84,
    0.133_314_9,
    -0.053_743_493,
    0.020_650_573,
    -0.005_717_028_4,
];

/// tanh x, within 3e-7 relative.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    let square = s.mul(x, x);
    let small = s.mul_add(s.mul(size, square), polynomial(s, &TANH, square), size);
    let power = exp(s, s.add(size, size));
    let large = s.sub(
        s.splat(1.0),
        s.div(s.splat(2.0), s.add(power, s.splat(1.0))),
    );
    s.with_sign(s.select_less(size, s.splat(0.625), small, large), x)
}

/// `erf x / x` over x² for |x| ≤ 1; absolute error 1.2e-9.
pub(crate) const ERF_SMALL: [f32; 7] = [
    std::f32::consts::FRAC_2_SQRT_PI,
    -0.376_126_26,
    0.112_836,
    -0.026_854_444,
    0.005_189_535_7,
    -8.020_841_6e-4,
    7.889_12e-5,
];

/// `ln(1 - erf x)` for 1 ≤ x ≤ 4; absolute error of erf x 1.0e-9.
pub(crate) const ERF_LARGE: [f32; 7] = [
    -3.536_992_6e-4,
    -1.127_040_1,
    -0.638_225_56,
    -0.103_037_484,
    0.021_805_374,
    -0.002_939_621_2,
    1.855_754_4e-4,
];

/// The error function, within 1.5e-7 absolute.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let size = s.abs(x);
    let small = s.mul(size, polynomial(s, &ERF_SMALL, s.mul(x, x)));
    // Beyond 4 the error function is 1 to the last bit of an `f32`.
    let clamped = s.min(s.splat(4.0), size);
    let large = s.sub(one, exp(s, polynomial(s, &ERF_LARGE, clamped)));
    s.with_sign(s.select_less(size, one, small, large), x)
}
