//! TQ1_0 and TQ2_0: values −1, 0, 1 times one scale.

use super::{bytes_at, f16_at, pairs};

/// Bytes: 48 × five base-3 digits, 4 × four base-3 digits, scale (half).
///
/// A byte is the number 0.d₀d₁d₂d₃d₄ in base 3, scaled to 256: multiplying by 3ᵏ and dropping
/// what overflows leaves digit k in front, and × 3 / 256 reads it. The first 32 bytes give
/// values 0–159 (digit 0 of each, then digit 1 …), the next 16 give 80 more, the last 4 give 16.
pub(super) fn tq1_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<54, 256>(blocks, out) {
        let d = f16_at(block, 52);
        let (first, rest) = out.split_at_mut(160);
        let (second, third) = rest.split_at_mut(80);
        digits::<32>(d, bytes_at(block, 0), first);
        digits::<16>(d, bytes_at(block, 32), second);
        digits::<4>(d, bytes_at(block, 48), third);
    }
}

#[inline(always)]
fn digits<const N: usize>(d: f32, packed: &[u8; N], out: &mut [f32]) {
    let mut power = 1u8;
    for out in out.as_chunks_mut::<N>().0 {
        for (out, byte) in out.iter_mut().zip(packed) {
            let digit = (u16::from(byte.wrapping_mul(power)) * 3) >> 8;
            *out = d * (i32::from(digit) - 1) as f32;
        }
        power = power.wrapping_mul(3);
    }
}

/// Bytes: 64 × four 2-bit values, scale (half). Value = scale × (q − 1).
///
/// Each half of 128 values takes 32 bytes: bits 0–1 are its first 32 values, and so on.
pub(super) fn tq2_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<66, 256>(blocks, out) {
        let d = f16_at(block, 64);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let q: &[u8; 32] = bytes_at(block, i / 4 * 32);
            let shift = i % 4 * 2;
            for (out, q) in out.iter_mut().zip(q) {
                *out = d * (i32::from((q >> shift) & 3) - 1) as f32;
            }
        }
    }
}
