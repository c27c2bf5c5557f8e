//! Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 values with one scale, and in the `_1` types one minimum.
//!
//! Low nibbles are the first 16 values, high nibbles the last 16. The fifth bits of the Q5
//! types lie together in four bytes, value 0 in the lowest bit.

use super::{bytes_at, f16_at, pairs};

/// Bytes: scale (half), 16 × nibbles. Value = scale × (q − 8).
pub(super) fn q4_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<18, 32>(blocks, out) {
        let d = f16_at(block, 0);
        let q = nibbles(bytes_at(block, 2));
        for (out, q) in out.iter_mut().zip(q) {
            *out = d * (i32::from(q) - 8) as f32;
        }
    }
}

/// Bytes: scale, minimum (halves), 16 × nibbles. Value = scale × q + minimum.
pub(super) fn q4_1(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<20, 32>(blocks, out) {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        let q = nibbles(bytes_at(block, 4));
        for (out, q) in out.iter_mut().zip(q) {
            *out = d * f32::from(q) + m;
        }
    }
}

/// Bytes: scale (half), 4 × fifth bits, 16 × nibbles. Value = scale × (q − 16).
pub(super) fn q5_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<22, 32>(blocks, out) {
        let d = f16_at(block, 0);
        let q = with_fifth_bits(nibbles(bytes_at(block, 6)), bytes_at(block, 2));
        for (out, q) in out.iter_mut().zip(q) {
            *out = d * (i32::from(q) - 16) as f32;
        }
    }
}

/// Bytes: scale, minimum (halves), 4 × fifth bits, 16 × nibbles. Value = scale × q + minimum.
pub(super) fn q5_1(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<24, 32>(blocks, out) {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        let q = with_fifth_bits(nibbles(bytes_at(block, 8)), bytes_at(block, 4));
        for (out, q) in out.iter_mut().zip(q) {
            *out = d * f32::from(q) + m;
        }
    }
}

/// Bytes: scale (half), 32 × signed byte. Value = scale × q.
pub(super) fn q8_0(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<34, 32>(blocks, out) {
        let d = f16_at(block, 0);
        let q: &[u8; 32] = bytes_at(block, 2);
        for (out, &q) in out.iter_mut().zip(q) {
            *out = d * f32::from(q as i8);
        }
    }
}

#[inline(always)]
fn nibbles(packed: &[u8; 16]) -> [u8; 32] {
    let mut q = [0; 32];
    for i in 0..16 {
        q[i] = packed[i] & 0x0f;
        q[i + 16] = packed[i] >> 4;
    }
    q
}

/// Adds bit 4 to each of 32 values, eight at a time in one 64-bit word: a multiplication copies
/// the byte eight times, a mask leaves bit j in byte j, an addition carries it to bit 7 of its
/// byte, and a shift brings it down to bit 4.
#[inline(always)]
fn with_fifth_bits(mut q: [u8; 32], bits: &[u8; 4]) -> [u8; 32] {
    for (q, &bits) in q.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
        let spread = (u64::from(bits) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
        let at_bit_7 = (spread + 0x0040_6070_787c_7e7f) & 0x8080_8080_8080_8080;
        *q = (u64::from_le_bytes(*q) | (at_bit_7 >> 3)).to_le_bytes();
    }
    q
}
