//! Q2_K to Q6_K: 256 values in 8 or 16 groups, whose small integer scales are multiplied by one
//! or two half-precision scales of the block.

use super::{bytes_at, f16_at, pairs};

/// Bytes: 16 × (scale | minimum << 4), 64 × four 2-bit values, scale, minimum (halves).
///
/// Each half of 128 values takes 32 bytes, which hold bits 0–1 of its first 32 values, bits 2–3
/// of the next 32, and so on. Value = scale × q − minimum, for groups of 16.
pub(super) fn q2_k(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<84, 256>(blocks, out) {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let dl = d * f32::from(block[group] & 0x0f);
            let ml = dmin * f32::from(block[group] >> 4);
            let (half, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
            let q: &[u8; 16] = bytes_at(block, 16 + 32 * half + 16 * side);
            for (out, q) in out.iter_mut().zip(q) {
                *out = dl * f32::from((q >> shift) & 3) - ml;
            }
        }
    }
}

/// Bytes: 32 × eight third bits, 64 × four 2-bit values, 12 × scales of 6 bits, scale (half).
///
/// The low bits are laid out as in Q2_K; bit k of byte i of the first 32 belongs to value
/// 32 k + i, and a *cleared* bit subtracts 4. Value = scale × (group scale − 32) × q.
pub(super) fn q3_k(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<110, 256>(blocks, out) {
        let d = f16_at(block, 108);
        let scales = q3_k_scales(bytes_at(block, 96));
        for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let dl = d * f32::from(scales[group]);
            let (half, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
            let q: &[u8; 16] = bytes_at(block, 32 + 32 * half + 16 * side);
            let high: &[u8; 16] = bytes_at(block, 16 * side);
            let high_shift = group / 2;
            for ((out, q), high) in out.iter_mut().zip(q).zip(high) {
                let q = i32::from((q >> shift) & 3) + i32::from((high >> high_shift) & 1) * 4;
                *out = dl * (q - 4) as f32;
            }
        }
    }
}

/// Sixteen scales of six bits: byte i of the first eight holds the low bits of scales i and
/// i + 8, byte j of the last four the high bits of scales j, j + 4, j + 8 and j + 12.
#[inline(always)]
fn q3_k_scales(packed: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let low = (packed[i % 8] >> (i / 8 * 4)) & 0x0f;
        let high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
        (low | (high << 4)) as i8 - 32
    })
}

/// Bytes: scale, minimum (halves), 12 × scales and minima of 6 bits, 128 × nibbles.
///
/// Each 32 bytes hold 32 values in their low nibbles and the next 32 in their high nibbles.
/// Value = scale × q − minimum, for groups of 32.
pub(super) fn q4_k(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<144, 256>(blocks, out) {
        let (scales, minima) = k_scales(f16_at(block, 0), f16_at(block, 2), bytes_at(block, 4));
        for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let q: &[u8; 32] = bytes_at(block, 16 + 32 * pair);
            let (d0, m0) = (scales[2 * pair], minima[2 * pair]);
            let (d1, m1) = (scales[2 * pair + 1], minima[2 * pair + 1]);
            for i in 0..32 {
                out[i] = d0 * f32::from(q[i] & 0x0f) - m0;
            }
            for i in 0..32 {
                out[i + 32] = d1 * f32::from(q[i] >> 4) - m1;
            }
        }
    }
}

/// Bytes: as Q4_K, with 32 × eight fifth bits between scales and nibbles.
///
/// Bit k of fifth-bit byte i belongs to value 32 k + i.
pub(super) fn q5_k(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<176, 256>(blocks, out) {
        let (scales, minima) = k_scales(f16_at(block, 0), f16_at(block, 2), bytes_at(block, 4));
        let high: &[u8; 32] = bytes_at(block, 16);
        for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let q: &[u8; 32] = bytes_at(block, 48 + 32 * pair);
            let (d0, m0) = (scales[2 * pair], minima[2 * pair]);
            let (d1, m1) = (scales[2 * pair + 1], minima[2 * pair + 1]);
            for i in 0..32 {
                let fifth = (high[i] >> (2 * pair)) & 1;
                out[i] = d0 * f32::from((q[i] & 0x0f) | (fifth << 4)) - m0;
            }
            for i in 0..32 {
                let fifth = (high[i] >> (2 * pair + 1)) & 1;
                out[i + 32] = d1 * f32::from((q[i] >> 4) | (fifth << 4)) - m1;
            }
        }
    }
}

/// Eight scales and eight minima of Q4_K and Q5_K, multiplied by those of the block.
///
/// Of the twelve bytes, the first four hold scales 0–3 and the next four minima 0–3 in their
/// low six bits; the last four hold the low nibbles of scales and minima 4–7, whose top two
/// bits are the top bits of the first eight bytes.
#[inline(always)]
fn k_scales(d: f32, dmin: f32, packed: &[u8; 12]) -> ([f32; 8], [f32; 8]) {
    let (mut scales, mut minima) = ([0.0; 8], [0.0; 8]);
    for i in 0..4 {
        let (s, m, both) = (packed[i], packed[i + 4], packed[i + 8]);
        scales[i] = d * f32::from(s & 0x3f);
        minima[i] = dmin * f32::from(m & 0x3f);
        scales[i + 4] = d * f32::from((both & 0x0f) | ((s >> 2) & 0x30));
        minima[i + 4] = dmin * f32::from((both >> 4) | ((m >> 2) & 0x30));
    }
    (scales, minima)
}

/// Bytes: 128 × nibbles, 64 × four upper bit pairs, 16 × signed scale, scale (half).
///
/// A half of 128 values has 64 bytes of nibbles (values 0–63 low, 64–127 high) and 32 bytes of
/// upper bits (two bits for each of values i, i + 32, i + 64, i + 96).
/// Value = scale × group scale × (q − 32), for groups of 16.
pub(super) fn q6_k(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<210, 256>(blocks, out) {
        let d = f16_at(block, 208);
        let scales: &[u8; 16] = bytes_at(block, 192);
        for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let low: &[u8; 64] = bytes_at(block, 64 * half);
            let high: &[u8; 32] = bytes_at(block, 128 + 32 * half);
            let dl: [f32; 8] = std::array::from_fn(|i| d * f32::from(scales[8 * half + i] as i8));
            for side in 0..2 {
                for i in 16 * side..16 * side + 16 {
                    let (l, l32, h) = (low[i], low[i + 32], high[i]);
                    let q0 = i32::from((l & 0x0f) | ((h & 3) << 4)) - 32;
                    let q1 = i32::from((l32 & 0x0f) | (((h >> 2) & 3) << 4)) - 32;
                    let q2 = i32::from((l >> 4) | (((h >> 4) & 3) << 4)) - 32;
                    let q3 = i32::from((l32 >> 4) | ((h >> 6) << 4)) - 32;
                    out[i] = dl[side] * q0 as f32;
                    out[i + 32] = dl[side + 2] * q1 as f32;
                    out[i + 64] = dl[side + 4] * q2 as f32;
                    out[i + 96] = dl[side + 6] * q3 as f32;
                }
            }
        }
    }
}
