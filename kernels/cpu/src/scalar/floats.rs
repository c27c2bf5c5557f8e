//! Plain little-endian numbers to `f32`.

/// One half-precision number, exactly; written without branches so that loops over it
/// vectorize (a NaN keeps its payload).
#[inline(always)]
pub(crate) fn f16_value(bits: u16) -> f32 {
    /// The exponent field of a half, moved to where `f32` has its own.
    const EXPONENT: u32 = 0x7c00 << 13;
    /// `f32` counts its exponent from 127, half precision from 15.
    const REBIAS: u32 = (127 - 15) << 23;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let exponent = magnitude & EXPONENT;
    let normal = magnitude + REBIAS;
    // Infinity and NaN have the largest exponent in both formats.
    let special = normal + ((128 - 16) << 23);
    // A subnormal is m × 2^-24: put m behind a leading one, then take the one away.
    let smallest = f32::from_bits(REBIAS + (1 << 23));
    let subnormal = (f32::from_bits(normal + (1 << 23)) - smallest).to_bits();
    let value = if exponent == EXPONENT {
        special
    } else {
        normal
    };
    let value = if exponent == 0 { subnormal } else { value };
    f32::from_bits(value | (u32::from(bits & 0x8000) << 16))
}

/// Converts half-precision values. `bytes` holds 2 bytes per value of `out`, little-endian and
/// without any alignment.
///
/// # Panics
/// If `bytes` is not twice as long as `out`.
pub fn f16_to_f32(bytes: &[u8], out: &mut [f32]) {
    convert(bytes, out, |b| f16_value(u16::from_le_bytes(b)));
}

/// Converts bfloat16 values. `bytes` holds 2 bytes per value of `out`, little-endian and
/// without any alignment.
///
/// # Panics
/// If `bytes` is not twice as long as `out`.
pub fn bf16_to_f32(bytes: &[u8], out: &mut [f32]) {
    convert(bytes, out, |b| {
        f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
    });
}

/// Reads `f32` values. `bytes` holds 4 bytes per value of `out`, little-endian and without any
/// alignment.
///
/// # Panics
/// If `bytes` is not four times as long as `out`.
pub fn f32_from_le_bytes(bytes: &[u8], out: &mut [f32]) {
    convert(bytes, out, f32::from_le_bytes);
}

#[inline(always)]
fn convert<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    assert!(
        bytes.len() == out.len() * N,
        "{} bytes do not make {} values of {N} bytes",
        bytes.len(),
        out.len()
    );
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = value(*bytes);
    }
}
