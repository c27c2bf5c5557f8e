//! Q4_0, Q5_0, Q5_1, Q8_0: 32 values with one scale, and in Q5_1 one minimum. The layouts stand
//! beside their readers in `scalar::legacy`.

use super::fit::{self, Weighting};
use super::floats::{nearest, reciprocal, stored_scale, stored_scale_reaching};
use super::{pairs, put};

/// Steps −127 to 127. The largest magnitude takes the last one: with so many steps a search
/// would gain nothing.
pub(super) fn q8_0(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<32, 34>(values, blocks) {
        let (bytes, scale) = stored_scale_reaching(fit::peak(x).abs() / 127.0, 127.0);
        let inverse = reciprocal(scale);
        put(block, 0, bytes);
        let q = x.map(|v| nearest((v * inverse).clamp(-127.0, 127.0)) as i8 as u8);
        put(block, 2, q);
    }
}

/// Steps −8 to 7.
pub(super) fn q4_0(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<32, 18>(values, blocks) {
        let (bytes, q) = symmetric(x, 8.0);
        put(block, 0, bytes);
        put(block, 2, nibbles(&q));
    }
}

/// Steps −16 to 15.
pub(super) fn q5_0(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<32, 22>(values, blocks) {
        let (bytes, q) = symmetric(x, 16.0);
        put(block, 0, bytes);
        put(block, 2, fifth_bits(&q));
        put(block, 6, nibbles(&q));
    }
}

/// Steps 0 to 31 and a minimum of either sign.
pub(super) fn q5_1(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<32, 24>(values, blocks) {
        let fitted = fit::affine(x, 31.0, f32::NEG_INFINITY);
        let (scale_bytes, scale) = stored_scale(fitted.scale);
        let (minimum_bytes, minimum) = stored_scale(-fitted.minimum);
        let inverse = reciprocal(scale);
        let q = x.map(|v| fit::step(v, -minimum, inverse, 31.0) as u8);
        put(block, 0, scale_bytes);
        put(block, 2, minimum_bytes);
        put(block, 4, fifth_bits(&q));
        put(block, 8, nibbles(&q));
    }
}

/// The stored scale and the steps, counted from 0.
#[inline(always)]
fn symmetric(x: &[f32; 32], n: f32) -> ([u8; 2], [u8; 32]) {
    let (bytes, scale) = stored_scale(fit::symmetric(x, n, Weighting::Magnitude));
    let inverse = reciprocal(scale);
    let q = x.map(|v| (nearest((v * inverse).clamp(-n, n - 1.0)) + n) as u8);
    (bytes, q)
}

/// The first 16 values in the low nibbles, the others in the high ones.
#[inline(always)]
fn nibbles(q: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| (q[i] & 0x0f) | (q[i + 16] << 4))
}

/// Bit 4 of each value, value 0 in the lowest bit.
fn fifth_bits(q: &[u8; 32]) -> [u8; 4] {
    let bit = |bits, (i, q): (usize, &u8)| bits | (u32::from(q >> 4) & 1) << i;
    q.iter().enumerate().fold(0, bit).to_le_bytes()
}
