//! Numbers to the codes of the cache's formats.
//!
//! Loops rather than `map`: what `map` calls is not always compiled for the instruction set.

use crate::simd::rows::WIDTH;

/// Up to 32 numbers, zeros behind.
#[inline(always)]
pub(super) fn padded(x: &[f32]) -> [f32; WIDTH] {
    let mut all = [0.0; WIDTH];
    all[..x.len()].copy_from_slice(x);
    all
}

/// Codes from -127 to 127, and the bits of their scale.
#[inline(always)]
pub(super) fn eight_bits(x: &[f32]) -> ([u32; WIDTH], u16) {
    let x = padded(x);
    let [lowest, highest] = range(&x);
    let (scale, inverse) = half_scale(highest.max(-lowest) / 127.0);
    let mut codes = [0; WIDTH];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i32 as u32;
    }
    (codes, scale)
}

/// Codes from 0 to 15 for -8 to 7, and the bits of their scale. The number that is farthest from 0
/// becomes -8, whatever its sign: so all 16 codes are used.
#[inline(always)]
pub(super) fn four_bits(x: &[f32]) -> ([u32; WIDTH], u16) {
    let x = padded(x);
    let [lowest, highest] = range(&x);
    let farthest = if -lowest > highest { lowest } else { highest };
    let (scale, inverse) = half_scale(farthest / -8.0);
    let mut codes = [0; WIDTH];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse + 8.0).round_ties_even().clamp(0.0, 15.0) as u32;
    }
    (codes, scale)
}

/// The lowest and the highest number, 0 among them. Eight lanes, so that it vectorizes.
#[inline(always)]
fn range(x: &[f32; WIDTH]) -> [f32; 2] {
    let mut lowest = [0.0; 8];
    let mut highest = [0.0; 8];
    for x in x.as_chunks::<8>().0 {
        for ((lowest, highest), &x) in lowest.iter_mut().zip(&mut highest).zip(x) {
            *lowest = if x < *lowest { x } else { *lowest };
            *highest = if x > *highest { x } else { *highest };
        }
    }
    let lowest = lowest.into_iter().fold(0.0, f32::min);
    [lowest, highest.into_iter().fold(0.0, f32::max)]
}

/// A scale in half precision, and the inverse of what it has become by that.
#[inline(always)]
fn half_scale(scale: f32) -> (u16, f32) {
    let bits = f16_bits(scale) as u16;
    let rounded = half::f16::from_bits(bits).to_f32();
    let inverse = if rounded == 0.0 { 0.0 } else { 1.0 / rounded };
    (bits, inverse)
}

/// The bits of the nearest half-precision number, ties to even; the largest one for what is
/// beyond. Without branches, so that loops over it vectorize.
#[inline(always)]
pub(super) fn f16_bits(x: f32) -> u32 {
    /// The exponent of `f32` is 112 larger.
    const REBIAS: u32 = 112 << 23;
    const LARGEST: u32 = 65504.0f32.to_bits();
    let bits = x.to_bits();
    let sign = bits >> 16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let is_number = magnitude <= f32::INFINITY.to_bits();
    let magnitude = if magnitude > LARGEST {
        LARGEST
    } else {
        magnitude
    };
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    let normal = rounded.wrapping_sub(REBIAS) >> 13;
    // Half precision counts its subnormals in steps of 2^-24, as `f32` counts next to 0.5.
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5f32.to_bits());
    let is_normal = magnitude >= REBIAS + (1 << 23);
    let value = if is_normal { normal } else { subnormal };
    let value = if is_number { value } else { 0x7e00 };
    sign | value
}

#[cfg(test)]
mod tests {
    use super::f16_bits;

    #[test]
    fn half_precision_is_rounded_as_it_should() {
        let mut bits = 0u32;
        while let Some(next) = bits.checked_add(4099) {
            let x = f32::from_bits(bits);
            let want = half::f16::from_f32(x);
            let want = if want.is_infinite() {
                half::f16::MAX.to_f32().copysign(x)
            } else {
                want.to_f32()
            };
            let got = half::f16::from_bits(f16_bits(x) as u16).to_f32();
            assert!(
                got == want || got.is_nan() && x.is_nan(),
                "{x}: {got}, not {want}"
            );
            bits = next;
        }
    }
}
