//! MXFP4 and NVFP4: four-bit floating-point numbers (E2M1) with a shared scale.
//!
//! E2M1 and E8M0 are those of the OCP Microscaling Formats specification 1.0. The table holds
//! doubled values, which are whole numbers; the scales are halved to make up for it.

use super::{bytes_at, pairs};

/// Twice the value of each E2M1 code; code 8, minus zero, counts as zero.
pub(crate) const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Bytes: scale (E8M0), 16 × codes: low nibbles first.
pub(super) fn mxfp4(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<17, 32>(blocks, out) {
        codes::<16>(half_e8m0(block[0]), bytes_at(block, 1), out);
    }
}

/// Bytes: 4 × scale (unsigned E4M3), 4 × 8 × codes: low nibbles first in each group of 16.
pub(super) fn nvfp4(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<36, 64>(blocks, out) {
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            codes::<8>(half_ue4m3(block[i]), bytes_at(block, 4 + 8 * i), out);
        }
    }
}

#[inline(always)]
fn codes<const N: usize>(scale: f32, packed: &[u8; N], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(N);
    for ((low, high), q) in low.iter_mut().zip(high).zip(packed) {
        *low = scale * f32::from(DOUBLED[usize::from(q & 0x0f)]);
        *high = scale * f32::from(DOUBLED[usize::from(q >> 4)]);
    }
}

/// 2^(e − 128): half of the power of two that the byte stands for. The two smallest are
/// subnormal.
#[inline(always)]
pub(crate) fn half_e8m0(e: u8) -> f32 {
    let e = u32::from(e);
    f32::from_bits(if e < 2 {
        0x0020_0000 << e
    } else {
        (e - 1) << 23
    })
}

/// Half of an unsigned number with four exponent and three mantissa bits (bias 7). 0x7f, its
/// NaN, counts as zero; a set top bit is ignored.
#[inline(always)]
fn half_ue4m3(x: u8) -> f32 {
    let (exponent, mantissa) = (i32::from((x >> 3) & 0x0f), f32::from(x & 7));
    match (x, exponent) {
        (0x7f, _) => 0.0,
        (_, 0) => mantissa * 2f32.powi(-10),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 8),
    }
}
