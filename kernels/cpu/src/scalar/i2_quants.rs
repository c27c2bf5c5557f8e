//! IQ2_XXS, IQ2_XS and IQ2_S: groups of eight magnitudes out of a code book, with signs.

use super::codebook::{IQ2_S, IQ2_XS, IQ2_XXS, even_signs, signed};
use super::{f16_at, pairs, u16_at, u32_at};

/// Bytes: scale (half), 8 × (4 × code, 28 sign bits | 4 scale bits).
pub(super) fn iq2_xxs(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<66, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let word = u32_at(block, 2 + 8 * i + 4);
            let scale = d * (0.5 + (word >> 28) as f32) * 0.25;
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let code = usize::from(block[2 + 8 * i + j]);
                signed(scale, &IQ2_XXS[code], even_signs(word >> (7 * j)), out);
            }
        }
    }
}

/// Bytes: scale (half), 32 × (9 code bits | 7 sign bits), 8 × two scale nibbles.
pub(super) fn iq2_xs(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<74, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = nibble_scale(d, block[66 + i / 2], i);
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let word = u16_at(block, 2 + 2 * (2 * i + j));
                let code = usize::from(word & 511);
                signed(scale, &IQ2_XS[code], even_signs(u32::from(word >> 9)), out);
            }
        }
    }
}

/// Bytes: scale (half), 32 × lower code byte, 32 × signs, 8 × upper code bits, 8 × two scale
/// nibbles.
pub(super) fn iq2_s(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<82, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = nibble_scale(d, block[74 + i / 2], i);
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let word = 2 * i + j;
                let high = usize::from((block[66 + word / 4] >> (word % 4 * 2)) & 3);
                let code = usize::from(block[2 + word]) | (high << 8);
                signed(scale, &IQ2_S[code], block[34 + word], out);
            }
        }
    }
}

/// The scale of group `i`: the low nibble serves even groups, the high one odd groups.
#[inline(always)]
fn nibble_scale(d: f32, nibbles: u8, i: usize) -> f32 {
    d * (0.5 + f32::from((nibbles >> (i % 2 * 4)) & 0x0f)) * 0.25
}
