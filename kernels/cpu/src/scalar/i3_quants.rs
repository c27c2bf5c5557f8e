//! IQ3_XXS and IQ3_S: groups of four magnitudes out of a code book, with signs beside them.

use super::codebook::{IQ3_S, IQ3_XXS, even_signs, signed};
use super::{f16_at, pairs, u32_at};

/// Bytes: scale (half), 64 × code, 8 × (28 sign bits | 4 scale bits).
///
/// Each 32 values have eight codes and one word of signs and scale.
pub(super) fn iq3_xxs(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<98, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let word = u32_at(block, 66 + 4 * i);
            let scale = d * (0.5 + (word >> 28) as f32) * 0.5;
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let signs = even_signs(word >> (7 * j));
                let code = |k: usize| usize::from(block[2 + 8 * i + 2 * j + k]);
                signed(scale, &IQ3_XXS[code(0)], signs, &mut out[..4]);
                signed(scale, &IQ3_XXS[code(1)], signs >> 4, &mut out[4..]);
            }
        }
    }
}

/// Bytes: scale (half), 64 × lower code byte, 8 × ninth code bits, 32 × signs, 4 × scale nibbles.
pub(super) fn iq3_s(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<110, 256>(blocks, out) {
        let d = f16_at(block, 0);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let nibble = (block[106 + i / 2] >> (i % 2 * 4)) & 0x0f;
            let scale = d * f32::from(1 + 2 * nibble);
            let ninth = usize::from(block[66 + i]);
            for (j, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let signs = block[74 + 4 * i + j];
                let code = |k: usize| {
                    let low = usize::from(block[2 + 8 * i + 2 * j + k]);
                    low | (((ninth >> (2 * j + k)) & 1) << 8)
                };
                signed(scale, &IQ3_S[code(0)], signs, &mut out[..4]);
                signed(scale, &IQ3_S[code(1)], signs >> 4, &mut out[4..]);
            }
        }
    }
}
