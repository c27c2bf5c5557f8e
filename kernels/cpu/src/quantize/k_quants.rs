//! Q4_K, Q5_K, Q6_K: 256 values in groups with small integer scales. The layouts stand beside
//! their readers in `scalar::k_quants`.
//!
//! Each group is fitted alone first. Then the groups' scales are rounded to multiples of the
//! block's, where each may take the neighbour of the nearest multiple if its values fit better.

use super::fit::{self, Affine, Weighting};
use super::floats::{nearest, reciprocal, stored_scale_reaching};
use super::{pairs, put};

/// The largest scale and minimum of a group, of six bits.
const LARGEST: f32 = 63.0;

/// Steps 0 to 15, eight groups of 32 with a minimum each.
pub(super) fn q4_k(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<256, 144>(values, blocks) {
        let Encoded { head, q } = with_minima(x, 15.0);
        put(block, 0, head);
        for (pair, q) in q.as_chunks::<64>().0.iter().enumerate() {
            put(block, 16 + 32 * pair, low_nibbles(q));
        }
    }
}

/// Steps 0 to 31, eight groups of 32 with a minimum each.
pub(super) fn q5_k(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<256, 176>(values, blocks) {
        let Encoded { head, q } = with_minima(x, 31.0);
        put(block, 0, head);
        let mut high = [0; 32];
        for (k, q) in q.as_chunks::<32>().0.iter().enumerate() {
            for (high, q) in high.iter_mut().zip(q) {
                *high |= (q >> 4) << k;
            }
        }
        put(block, 16, high);
        for (pair, q) in q.as_chunks::<64>().0.iter().enumerate() {
            put(block, 48 + 32 * pair, low_nibbles(q));
        }
    }
}

/// Steps −32 to 31, sixteen groups of 16.
pub(super) fn q6_k(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<256, 210>(values, blocks) {
        let groups = x.as_chunks::<16>().0;
        let wanted: [f32; 16] =
            std::array::from_fn(|i| fit::symmetric(&groups[i], 32.0, Weighting::Square));
        // Steps of scales go one farther below zero, which the strongest group may take.
        let (bytes, d) = stored_scale_reaching(fit::peak(&wanted) / -128.0, 128.0);
        let inverse = reciprocal(d);
        let mut scales = [0; 16];
        let mut q = [0; 256];
        for (i, q) in q.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = best_scale(&groups[i], wanted[i] * inverse, d);
            scales[i] = scale as i8 as u8;
            let inverse = reciprocal(d * scale);
            *q = groups[i].map(|v| (steps_of_32(v, inverse) + 32.0) as u8);
        }
        for (half, q) in q.as_chunks::<128>().0.iter().enumerate() {
            let (low, high) = split_bits(q);
            put(block, 64 * half, low);
            put(block, 128 + 32 * half, high);
        }
        put(block, 192, scales);
        put(block, 208, bytes);
    }
}

/// The multiple of `d` that fits a group of Q6_K best, near the wanted one.
fn best_scale(x: &[f32; 16], wanted: f32, d: f32) -> f32 {
    let middle = nearest(wanted.clamp(-128.0, 127.0));
    let mut best = (middle, f32::INFINITY);
    for candidate in [middle, middle - 1.0, middle + 1.0] {
        let scale = d * candidate.clamp(-128.0, 127.0);
        let inverse = reciprocal(scale);
        let mut error = 0.0;
        for &v in x {
            let distance = (scale * steps_of_32(v, inverse) - v) * v;
            error += distance * distance;
        }
        if error < best.1 {
            best = (candidate.clamp(-128.0, 127.0), error);
        }
    }
    best.0
}

#[inline(always)]
fn steps_of_32(v: f32, inverse: f32) -> f32 {
    nearest((v * inverse).clamp(-32.0, 31.0))
}

/// 64 bytes of low nibbles and 32 of upper bit pairs, for 128 values.
fn split_bits(q: &[u8; 128]) -> ([u8; 64], [u8; 32]) {
    let low = std::array::from_fn(|i| (q[i] & 0x0f) | (q[i + 64] << 4));
    let high = std::array::from_fn(|i| {
        (q[i] >> 4) | (q[i + 32] >> 4) << 2 | (q[i + 64] >> 4) << 4 | (q[i + 96] >> 4) << 6
    });
    (low, high)
}

/// What Q4_K and Q5_K have in common.
struct Encoded {
    /// Scale, minimum, and the groups' scales and minima in six bits each.
    head: [u8; 16],
    q: [u8; 256],
}

fn with_minima(x: &[f32; 256], top: f32) -> Encoded {
    let groups = x.as_chunks::<32>().0;
    let wanted: [Affine; 8] = std::array::from_fn(|i| fit::affine(&groups[i], top, 0.0));
    let largest = |part: fn(&Affine) -> f32| wanted.iter().map(part).fold(0.0, f32::max);
    let (d_bytes, d) = stored_scale_reaching(largest(|fit| fit.scale) / LARGEST, LARGEST);
    let (dmin_bytes, dmin) = stored_scale_reaching(largest(|fit| fit.minimum) / LARGEST, LARGEST);
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    let mut q = [0; 256];
    for (i, q) in q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = best_pair(&groups[i], wanted[i], [d, dmin], top);
        (scales[i], minima[i]) = (scale as u8, minimum as u8);
        let (minimum, inverse) = (dmin * minimum, reciprocal(d * scale));
        *q = groups[i].map(|v| fit::step(v, minimum, inverse, top) as u8);
    }
    let mut head = [0; 16];
    put(&mut head, 0, d_bytes);
    put(&mut head, 2, dmin_bytes);
    put(&mut head, 4, packed(&scales, &minima));
    Encoded { head, q }
}

/// The multiples of the block's scale and minimum that fit a group best, near the wanted ones.
fn best_pair(x: &[f32; 32], wanted: Affine, [d, dmin]: [f32; 2], top: f32) -> (f32, f32) {
    let multiple = |value: f32, unit: f32| nearest((value * reciprocal(unit)).clamp(0.0, LARGEST));
    let scale = multiple(wanted.scale, d);
    let minimum = multiple(wanted.minimum, dmin);
    let near = |middle: f32| {
        [middle, middle - 1.0, middle + 1.0].map(|multiple| multiple.clamp(0.0, LARGEST))
    };
    let w = fit::affine_weights(x);
    let (mut best, mut best_error) = ((scale, minimum), f32::INFINITY);
    for scale in near(scale) {
        for minimum in near(minimum) {
            let steps = Affine {
                scale: d * scale,
                minimum: dmin * minimum,
            };
            let error = fit::error(x, &w, steps, top);
            if error < best_error {
                (best, best_error) = ((scale, minimum), error);
            }
        }
    }
    best
}

/// Eight scales and eight minima of six bits in twelve bytes; the inverse of the reader's
/// `k_scales`.
fn packed(scales: &[u8; 8], minima: &[u8; 8]) -> [u8; 12] {
    let mut out = [0; 12];
    for i in 0..4 {
        out[i] = scales[i] | (scales[i + 4] >> 4) << 6;
        out[i + 4] = minima[i] | (minima[i + 4] >> 4) << 6;
        out[i + 8] = (scales[i + 4] & 0x0f) | minima[i + 4] << 4;
    }
    out
}

/// The low four bits of 64 values: 32 in the low nibbles, 32 in the high ones.
#[inline(always)]
fn low_nibbles(q: &[u8; 64]) -> [u8; 32] {
    std::array::from_fn(|i| (q[i] & 0x0f) | (q[i + 32] << 4))
}
