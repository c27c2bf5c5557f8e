//! Many queries: keys and values become `f32` first, once for all of them.

use super::BLOCK_LEN;
use super::cell::Cell;
use super::segment::{Segment, View, WIDENED_ROWS};
use crate::simd::Simd;
use crate::simd::rows::{WIDTH, add_wide_rows, in_groups};

impl<C: Cell> Segment<'_, C> {
    /// Scores of many rows: the keys become `f32` first.
    ///
    /// # Safety
    /// The view is that of a whole block.
    #[inline(always)]
    pub(super) unsafe fn widened_scores<S: Simd>(&mut self, s: S, view: &View) {
        let dim = self.attention.layout.head_dim;
        let queries = self.queries[view.rows.start * dim..view.rows.end * dim].as_ptr();
        for begin in (0..dim).step_by(WIDENED_ROWS) {
            let n = WIDENED_ROWS.min(dim - begin);
            for d in (0..n).step_by(WIDTH) {
                let n = WIDTH.min(n - d);
                let to = self.widened[d * WIDTH..(d + n).next_multiple_of(2) * WIDTH].as_mut_ptr();
                // SAFETY: the chunk has its scales and `n` rows.
                unsafe {
                    let chunk = view.keys.add((begin + d) / WIDTH * C::CHUNK_BYTES);
                    C::widen_keys(s, chunk, n, to);
                }
            }
            let scores = &mut self.scores[view.rows.clone()];
            if begin == 0 {
                scores.fill([0.0; BLOCK_LEN]);
            }
            let (scores, keys) = (scores.as_mut_ptr(), self.widened.as_ptr());
            let ahead = view.ahead::<C>(view.keys.wrapping_add(begin / WIDTH * C::CHUNK_BYTES));
            in_groups!(view.rows.len(), WIDE_GROUP, |M, first| {
                // SAFETY: `M` rows of queries follow, and `n` rows of keys were widened.
                unsafe {
                    let scores = (scores.add(first).cast(), BLOCK_LEN);
                    let factors = (queries.add(first * dim + begin), dim);
                    add_wide_rows::<S, M>(
                        s,
                        scores,
                        None,
                        factors,
                        keys,
                        n,
                        ahead.only_if(first == 0),
                    );
                }
            });
        }
    }

    /// Values of many rows: they become `f32` first.
    ///
    /// # Safety
    /// The view is that of a whole block.
    #[inline(always)]
    pub(super) unsafe fn widened_values<S: Simd>(&mut self, s: S, view: &View) {
        for chunk in 0..self.attention.layout.n_chunks() {
            // SAFETY: the values are whole chunks.
            unsafe {
                let values = view.values.add(chunk * C::CHUNK_BYTES);
                let to = self.widened[..BLOCK_LEN * WIDTH].as_mut_ptr();
                C::widen_values(s, values, view.tokens.clone(), to);
            }
            let (sums, stride) = self.chunk_sums(view, chunk);
            let ahead = view.ahead::<C>(view.values.wrapping_add(chunk * C::CHUNK_BYTES));
            let weights = self.scores[view.rows.clone()].as_ptr();
            let scales = self.factors[view.rows.clone()].as_ptr();
            let tokens = view.tokens.clone();
            in_groups!(view.rows.len(), WIDE_GROUP, |M, first| {
                // SAFETY: there are a block of weights, a factor and whole chunks of sums for each
                // row; the tokens' values were widened.
                unsafe {
                    let sums = (sums.add(first * stride), stride);
                    let weights = weights.add(first).cast::<f32>().add(tokens.start);
                    let values = self.widened.as_ptr().add(tokens.start * WIDTH);
                    let (scales, n) = (Some(scales.add(first)), tokens.len());
                    let weights = (weights, BLOCK_LEN);
                    add_wide_rows::<S, M>(
                        s,
                        sums,
                        scales,
                        weights,
                        values,
                        n,
                        ahead.only_if(first == 0),
                    );
                }
            });
        }
    }
}
