//! Online softmax: a block of scores at a time.

use super::{Attention, BLOCK_LEN};
use crate::elementwise::softcapped;
use crate::simd::{Simd, math};

/// What is known of a row's softmax so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowState {
    /// The largest score.
    pub(super) max: f32,
    /// The sum of `exp(score - max)`.
    pub(super) sum: f32,
}

impl RowState {
    /// Of no scores.
    pub(super) const EMPTY: Self = Self {
        max: f32::NEG_INFINITY,
        sum: 0.0,
    };

    pub(super) fn is_empty(self) -> bool {
        self.max == f32::NEG_INFINITY
    }
}

/// Turns the products of a block's keys with one query into weights `exp(score - max)`, and
/// returns the factor that makes what was summed up before comparable.
///
/// `seen` are the block's tokens that the query sees, at least one; the others' weights are 0.
#[inline(always)]
pub(super) fn weigh<S: Simd>(
    s: S,
    attention: &Attention<'_>,
    seen: std::ops::Range<usize>,
    products: &mut [f32; BLOCK_LEN],
    state: &mut RowState,
) -> f32 {
    let at = products.as_mut_ptr();
    let scale = s.splat(attention.scale);
    for i in (0..BLOCK_LEN).step_by(S::LANES) {
        // SAFETY: a block is a whole number of registers.
        unsafe {
            let mut score = s.mul(s.load(at.add(i)), scale);
            if let Some(cap) = attention.softcap {
                score = softcapped(s, score, cap);
            }
            s.store(at.add(i), score);
        }
    }
    if seen.len() < BLOCK_LEN {
        products[..seen.start].fill(f32::NEG_INFINITY);
        products[seen.end..].fill(f32::NEG_INFINITY);
    }
    let at = products.as_mut_ptr();
    let mut max = s.splat(f32::NEG_INFINITY);
    for i in (0..BLOCK_LEN).step_by(S::LANES) {
        // SAFETY: as above.
        max = s.max(max, unsafe { s.load(at.add(i)) });
    }
    let new_max = state.max.max(s.largest(max));
    let lanes = s.splat(new_max);
    let mut sum = s.splat(0.0);
    for i in (0..BLOCK_LEN).step_by(S::LANES) {
        // SAFETY: as above.
        unsafe {
            let weight = math::exp(s, s.sub(s.load(at.add(i)), lanes));
            sum = s.add(sum, weight);
            s.store(at.add(i), weight);
        }
    }
    let factor = if state.max == new_max {
        1.0
    } else {
        (state.max - new_max).exp()
    };
    state.sum = state.sum * factor + s.sum(sum);
    state.max = new_max;
    factor
}
