//! IQ1_S and IQ1_M: groups of eight values −1, 0, 1 out of a code book, shifted by an eighth up
//! or down.

use super::codebook::{IQ1, Word8};
use super::{f16_at, floats::f16_value, pairs, u16_at};

/// How far a group is shifted from −1, 0, 1.
const DELTA: f32 = 0.125;

/// Bytes: scale (half), 32 × lower code byte, 8 × (12 upper code bits | 3 scale bits | shift).
pub(super) fn iq1_s(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<50, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let word = u16_at(block, 34 + 2 * i);
            let scale = d * f32::from(2 * ((word >> 12) & 7) + 1);
            let delta = if word & 0x8000 == 0 { DELTA } else { -DELTA };
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let high = usize::from((word >> (3 * j)) & 7);
                let code = usize::from(block[2 + 4 * i + j]) | (high << 8);
                shifted(scale, &IQ1[code], delta, out);
            }
        }
    }
}

/// Bytes: 32 × lower code byte, 16 × two of (3 upper code bits | shift), 4 × u16 of scales.
///
/// A u16 has four scales of three bits and, on top, four bits of the block's own scale.
pub(super) fn iq1_m(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<56, 256>(blocks, out) {
        let scales: [u16; 4] = std::array::from_fn(|i| u16_at(block, 48 + 2 * i));
        let d = f16_value(
            (scales[0] >> 12)
                | ((scales[1] >> 8) & 0x00f0)
                | ((scales[2] >> 4) & 0x0f00)
                | (scales[3] & 0xf000),
        );
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(2 * ((scales[i / 4] >> (i % 4 * 3)) & 7) + 1);
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let high = block[32 + i] >> (4 * j);
                let delta = if high & 8 == 0 { DELTA } else { -DELTA };
                let code = usize::from(block[2 * i + j]) | (usize::from(high & 7) << 8);
                shifted(scale, &IQ1[code], delta, out);
            }
        }
    }
}

#[inline(always)]
fn shifted(scale: f32, word: &Word8, delta: f32, out: &mut [f32; 8]) {
    for (out, &value) in out.iter_mut().zip(word) {
        *out = scale * (f32::from(value) + delta);
    }
}
