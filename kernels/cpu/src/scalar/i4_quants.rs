//! IQ4_NL and IQ4_XS: nibbles that index sixteen values on a curve.

use super::{bytes_at, f16_at, pairs, u16_at};

/// The sixteen values (ggml's `kvalues_iq4nl`).
pub(crate) const VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Bytes: scale (half), 16 × nibbles: low ones first. Value = scale × `VALUES[q]`.
pub(super) fn iq4_nl(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<18, 32>(blocks, out) {
        group(f16_at(block, 0), bytes_at(block, 2), out);
    }
}

/// Bytes: scale (half), 2 × upper scale bits, 4 × lower scale nibbles, 128 × nibbles.
///
/// Eight groups of 32 with scales of six bits, offset by 32.
pub(super) fn iq4_xs(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in pairs::<136, 256>(blocks, out) {
        let d = f16_at(block, 0);
        let high = u16_at(block, 2);
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let low_bits = i32::from((block[4 + i / 2] >> (i % 2 * 4)) & 0x0f);
            let high_bits = i32::from((high >> (2 * i)) & 3);
            let scale = d * ((low_bits | (high_bits << 4)) - 32) as f32;
            group(scale, bytes_at(block, 8 + 16 * i), out);
        }
    }
}

#[inline(always)]
fn group(scale: f32, q: &[u8; 16], out: &mut [f32; 32]) {
    for i in 0..16 {
        out[i] = scale * f32::from(VALUES[usize::from(q[i] & 0x0f)]);
        out[i + 16] = scale * f32::from(VALUES[usize::from(q[i] >> 4)]);
    }
}
