//! `f32` to plain little-endian halves and bfloat16, and rounding of scales.

use half::{bf16, f16};

/// Converts to half precision, to the nearest and ties to even; beyond ±65,519 to infinity.
/// `bytes` takes 2 bytes per value, little-endian.
///
/// # Panics
/// If `bytes` is not twice as long as `values`.
pub fn f32_to_f16(values: &[f32], bytes: &mut [u8]) {
    convert(values, bytes, |v| f16::from_f32(v).to_le_bytes());
}

/// Converts to bfloat16, to the nearest and ties to even. `bytes` takes 2 bytes per value,
/// little-endian.
///
/// # Panics
/// If `bytes` is not twice as long as `values`.
pub fn f32_to_bf16(values: &[f32], bytes: &mut [u8]) {
    convert(values, bytes, |v| bf16::from_f32(v).to_le_bytes());
}

fn convert(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; 2]) {
    assert!(
        bytes.len() == values.len() * 2,
        "{} values do not fill {} bytes",
        values.len(),
        bytes.len()
    );
    for (value, bytes) in values.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = encode(*value);
    }
}

/// A scale as blocks store it: its bytes, and the value that a reader will see.
///
/// A scale is never stored as infinity: it is cut off at the largest half.
pub(super) fn stored_scale(scale: f32) -> ([u8; 2], f32) {
    let largest = f16::MAX.to_f32();
    let half = f16::from_f32(scale.clamp(-largest, largest));
    (half.to_le_bytes(), half.to_f32())
}

/// As [`stored_scale`], rounded away from zero where rounding to the nearest would cut off values
/// at `reach` steps: among subnormal halves one step is a large part of the scale.
pub(super) fn stored_scale_reaching(scale: f32, reach: f32) -> ([u8; 2], f32) {
    let (bytes, stored) = stored_scale(scale);
    if scale.abs() * reach <= stored.abs() * (reach + 0.5) || stored.abs() == f16::MAX.to_f32() {
        return (bytes, stored);
    }
    let next = f16::from_bits(u16::from_le_bytes(bytes) + 1);
    (next.to_le_bytes(), next.to_f32())
}

/// The reciprocal, and 0 for 0: a block without a scale has no steps.
#[inline(always)]
pub(super) fn reciprocal(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { scale.recip() }
}

/// The nearest whole number, ties to even, for magnitudes below 2^22: adding 1.5 × 2^23 leaves no
/// bits for a fraction. `f32::round` is a function call per value where the instruction set's
/// baseline cannot round.
#[inline(always)]
pub(super) fn nearest(value: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (value + MAGIC) - MAGIC
}
