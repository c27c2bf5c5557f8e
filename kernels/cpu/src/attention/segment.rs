//! Attention of a tile of queries over one segment of their sequence: where the time goes.
//!
//! A tile's rows are the query heads of one KV head for consecutive tokens. Few rows (decode) read
//! the cache directly, all of them in one pass; many rows (prefill) widen each part of a block to
//! `f32` once, into memory that stays in the first-level cache.

use std::ops::Range;

use super::layout::Cell;
use super::softmax::{RowState, weigh};
use super::{Attention, BLOCK_LEN, Span};
use crate::simd::rows::{self, Ahead, Row, WIDTH, add_rows, add_wide_rows, in_groups};
use crate::simd::{Kernel, Simd};

/// Rows of 32 that are widened at a time: 16 kB.
pub(super) const WIDENED_ROWS: usize = 128;

/// Up to so many rows read the cache directly.
const DIRECT_ROWS: usize = 4;

/// The arguments; `C` stands for the format of the cache.
pub(super) struct Segment<'a, C> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) span: &'a Span<'a>,
    pub(super) storage: &'a [u8],
    pub(super) kv_head: usize,
    /// Position of the tile's first token.
    pub(super) position: usize,
    /// Tokens of the tile.
    pub(super) n_tokens: usize,
    /// Blocks of the sequence.
    pub(super) blocks: Range<usize>,
    /// `[n_tokens * group, head_dim]`
    pub(super) queries: &'a [f32],
    /// `[n_tokens * group]`, set to that of this segment.
    pub(super) states: &'a mut [RowState],
    /// `[n_tokens * group, n_chunks * 32]`, likewise: sums of values, not yet divided.
    pub(super) sums: &'a mut [f32],
    /// `[n_tokens * group]` blocks of scores, then of weights.
    pub(super) scores: &'a mut [[f32; BLOCK_LEN]],
    /// Factors for the sums of earlier blocks, `[n_tokens * group]`.
    pub(super) factors: &'a mut [f32],
    /// [`WIDENED_ROWS`] rows of 32.
    pub(super) widened: &'a mut [f32],
    pub(super) format: std::marker::PhantomData<C>,
}

/// A block as a tile sees it.
struct View {
    keys: *const u8,
    values: *const u8,
    /// Rows of the tile that see any of its tokens.
    rows: Range<usize>,
    /// Tokens that any of those rows sees.
    tokens: Range<usize>,
    /// From this block to the one that is read next, in bytes; 0 if there is none.
    ahead: isize,
}

impl View {
    /// What to ask for while a part of this block is used: the same part of the next one.
    #[inline(always)]
    fn ahead<C: Cell>(&self, part: *const u8) -> Ahead {
        let next = part.wrapping_offset(self.ahead);
        Ahead::rows::<C::Row>(next).only_if(self.ahead != 0)
    }
}

impl<C: Cell> Segment<'_, C> {
    /// Block tokens that the token of a row sees.
    #[inline(always)]
    fn seen(&self, block: usize, row: usize) -> Range<usize> {
        let seen = self
            .attention
            .seen(self.position + row / self.attention.group());
        let first = block * BLOCK_LEN;
        let clamp = |position: usize| position.clamp(first, first + BLOCK_LEN) - first;
        clamp(seen.start)..clamp(seen.end)
    }

    #[inline(always)]
    fn head(&self, block: usize) -> &[u8] {
        let layout = &self.attention.layout;
        let start =
            self.span.block(block) * layout.block_bytes() + self.kv_head * layout.head_bytes();
        &self.storage[start..start + layout.head_bytes()]
    }

    /// The block, unless no row sees it.
    #[inline(always)]
    fn view(&self, block: usize) -> Option<View> {
        let group = self.attention.group();
        let sees = |token: usize| !self.seen(block, token * group).is_empty();
        let first = (0..self.n_tokens).find(|&token| sees(token))?;
        let last = (first..self.n_tokens).rfind(|&token| sees(token))?;
        let tokens = self.seen(block, first * group).start..self.seen(block, last * group).end;
        let head = self.head(block);
        let next = block + 1 - self.span.dropped_blocks;
        let ahead = if next < self.span.blocks.len() {
            let next = self.head(block + 1).as_ptr();
            next.addr().wrapping_sub(head.as_ptr().addr()).cast_signed()
        } else {
            0
        };
        Some(View {
            keys: head.as_ptr(),
            values: head[self.attention.layout.key_bytes()..].as_ptr(),
            rows: first * group..(last + 1) * group,
            tokens,
            ahead,
        })
    }

    fn clear(&mut self) {
        self.states.fill(RowState::EMPTY);
        self.sums.fill(0.0);
    }

    /// Values between the sums of two rows.
    #[inline(always)]
    fn sums_stride(&self) -> usize {
        self.attention.layout.n_chunks() * WIDTH
    }
}

impl<C: Cell> Kernel for Segment<'_, C> {
    type Output = ();

    /// Without blocks of scores: a pass for the largest score, one for the weights.
    fn scalar(mut self) {
        self.clear();
        let layout = self.attention.layout;
        let (dim, stride) = (layout.head_dim, self.sums_stride());
        for row in 0..self.states.len() {
            let query = &self.queries[row * dim..][..dim];
            let tokens = || {
                let tokens = |block| self.seen(block, row).map(move |token| (block, token));
                self.blocks.clone().flat_map(tokens)
            };
            let score = |block, token| {
                let keys = self.head(block);
                let key = |d: usize| key_value::<C>(keys, d, token);
                let product: f32 = (0..dim).map(|d| query[d] * key(d)).sum();
                let score = product * self.attention.scale;
                let cap = self.attention.softcap;
                cap.map_or(score, |cap| cap * (score / cap).tanh())
            };
            let max = tokens().map(|(block, token)| score(block, token));
            let max = max.fold(f32::NEG_INFINITY, f32::max);
            let mut state = RowState { max, sum: 0.0 };
            let mut sums = vec![0.0; stride];
            for (block, token) in tokens() {
                let weight = (score(block, token) - max).exp();
                let values = &self.head(block)[layout.key_bytes()..];
                state.sum += weight;
                for (d, sum) in sums[..dim].iter_mut().enumerate() {
                    *sum += weight * value_value::<C>(values, d, token);
                }
            }
            self.states[row] = state;
            self.sums[row * stride..][..stride].copy_from_slice(&sums);
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(mut self, s: S) {
        self.clear();
        for block in self.blocks.clone() {
            let Some(view) = self.view(block) else {
                continue;
            };
            // SAFETY: a view points to the keys and values of one head, whole.
            unsafe {
                if view.rows.len() <= DIRECT_ROWS {
                    self.direct_scores(s, &view);
                    self.weigh(s, block, &view);
                    self.direct_values(s, &view);
                } else {
                    self.widened_scores(s, &view);
                    self.weigh(s, block, &view);
                    self.widened_values(s, &view);
                }
            }
        }
    }
}

impl<C: Cell> Segment<'_, C> {
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, block: usize, view: &View) {
        for row in view.rows.clone() {
            let seen = self.seen(block, row);
            let (scores, state) = (&mut self.scores[row], &mut self.states[row]);
            self.factors[row] = weigh(s, self.attention, seen, scores, state);
        }
    }

    /// Scores of at most [`DIRECT_ROWS`] rows, straight from the cache.
    ///
    /// # Safety
    /// The view is that of a whole block.
    #[inline(always)]
    unsafe fn direct_scores<S: Simd>(&mut self, s: S, view: &View) {
        let dim = self.attention.layout.head_dim;
        let queries = self.queries[view.rows.start * dim..view.rows.end * dim].as_ptr();
        in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
            let mut scores = [s.splat_32(0.0); M];
            // SAFETY: `M` rows of `dim` queries follow, and the keys are `dim` rows, in chunks
            // that begin with their scales where the format has any.
            unsafe {
                let queries = queries.add(first * dim);
                if C::SCALED {
                    for d in (0..dim).step_by(WIDTH) {
                        let chunk = view.keys.add(d / WIDTH * C::CHUNK_BYTES);
                        let (rows, n) = (chunk.add(C::SCALE_BYTES), WIDTH.min(dim - d));
                        let mut part = [s.splat_32(0.0); M];
                        let factors = (queries.add(d), dim);
                        add_rows::<S, C::Row, M>(s, &mut part, factors, rows, n, view.ahead);
                        let scales = s.load_32_f16(chunk);
                        for (score, part) in scores.iter_mut().zip(part) {
                            *score = s.mul_add_32(part, scales, *score);
                        }
                    }
                } else {
                    let factors = (queries, dim);
                    add_rows::<S, C::Row, M>(s, &mut scores, factors, view.keys, dim, view.ahead);
                }
                for (row, score) in scores.into_iter().enumerate() {
                    let row = view.rows.start + first + row;
                    s.store_32(self.scores[row].as_mut_ptr(), score);
                }
            }
        });
    }

    /// Values of at most [`DIRECT_ROWS`] rows, straight from the cache.
    ///
    /// # Safety
    /// The view is that of a whole block.
    #[inline(always)]
    unsafe fn direct_values<S: Simd>(&mut self, s: S, view: &View) {
        let mut scaled = [[0.0; BLOCK_LEN]; DIRECT_ROWS];
        for chunk in 0..self.attention.layout.n_chunks() {
            // SAFETY: the values are whole chunks, each a row for every token.
            unsafe {
                let values = view.values.add(chunk * C::CHUNK_BYTES);
                if C::SCALED {
                    let scales = s.load_32_f16(values);
                    for (row, scaled) in view.rows.clone().zip(&mut scaled) {
                        let weights = s.load_32(self.scores[row].as_ptr());
                        let zero = s.splat_32(0.0);
                        s.store_32(scaled.as_mut_ptr(), s.mul_add_32(weights, scales, zero));
                    }
                }
                let weights = if C::SCALED {
                    scaled.as_ptr()
                } else {
                    self.scores[view.rows.start..].as_ptr()
                };
                let rows = values.add(C::SCALE_BYTES);
                self.direct_sums(s, view, chunk, weights, rows);
            }
        }
    }

    /// Adds a chunk's weighted values to the sums of all rows of a view.
    ///
    /// # Safety
    /// `weights` has a block for each of the rows, `values` a row of 32 for each token of a block.
    #[inline(always)]
    unsafe fn direct_sums<S: Simd>(
        &mut self,
        s: S,
        view: &View,
        chunk: usize,
        weights: *const [f32; BLOCK_LEN],
        values: *const u8,
    ) {
        let (sums, stride) = self.chunk_sums(view, chunk);
        let tokens = view.tokens.clone();
        let factors = &self.factors[view.rows.clone()];
        in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
            // SAFETY: the sums of a row are whole chunks; weights and values by this function's
            // own condition.
            unsafe {
                let mut local = [s.splat_32(0.0); M];
                for (m, local) in local.iter_mut().enumerate() {
                    let sums = s.load_32(sums.add((first + m) * stride));
                    *local = s.scale_32(factors[first + m], sums);
                }
                let weights = weights.add(first).cast::<f32>().add(tokens.start);
                let values = values.add(tokens.start * C::Row::BYTES);
                let factors = (weights, BLOCK_LEN);
                add_rows::<S, C::Row, M>(s, &mut local, factors, values, tokens.len(), view.ahead);
                for (m, local) in local.into_iter().enumerate() {
                    s.store_32(sums.add((first + m) * stride), local);
                }
            }
        });
    }

    /// The sums of a view's rows in a chunk, and from one row to the next.
    #[inline(always)]
    fn chunk_sums(&mut self, view: &View, chunk: usize) -> (*mut f32, usize) {
        let stride = self.sums_stride();
        let sums = &mut self.sums[view.rows.start * stride..view.rows.end * stride];
        (sums[chunk * WIDTH..].as_mut_ptr(), stride)
    }

    /// Scores of many rows: the keys become `f32` first.
    ///
    /// # Safety
    /// The view is that of a whole block.
    #[inline(always)]
    unsafe fn widened_scores<S: Simd>(&mut self, s: S, view: &View) {
        let dim = self.attention.layout.head_dim;
        let queries = self.queries[view.rows.start * dim..view.rows.end * dim].as_ptr();
        for begin in (0..dim).step_by(WIDENED_ROWS) {
            let n = WIDENED_ROWS.min(dim - begin);
            for d in (0..n).step_by(WIDTH) {
                let n = WIDTH.min(n - d);
                let to = &mut self.widened[d * WIDTH..(d + n) * WIDTH];
                // SAFETY: the chunk has its scales and `n` rows.
                unsafe {
                    let chunk = view.keys.add((begin + d) / WIDTH * C::CHUNK_BYTES);
                    widen_keys::<S, C>(s, chunk, n, to);
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
    unsafe fn widened_values<S: Simd>(&mut self, s: S, view: &View) {
        for chunk in 0..self.attention.layout.n_chunks() {
            // SAFETY: the values are whole chunks.
            unsafe {
                let values = view.values.add(chunk * C::CHUNK_BYTES);
                let to = &mut self.widened[..BLOCK_LEN * WIDTH];
                widen_values::<S, C>(s, values, view.tokens.clone(), to);
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

/// Widens the first `n` rows of a chunk of keys; scales are per lane.
///
/// # Safety
/// `chunk` has its scales and `n` rows.
#[inline(always)]
unsafe fn widen_keys<S: Simd, C: Cell>(s: S, chunk: *const u8, n: usize, to: &mut [f32]) {
    // SAFETY: this function's own condition; `to` is cut into whole rows.
    unsafe {
        let rows = chunk.add(C::SCALE_BYTES);
        let zero = s.splat_32(0.0);
        let scales = if C::SCALED {
            s.load_32_f16(chunk)
        } else {
            zero
        };
        for (i, to) in to.chunks_exact_mut(WIDTH).take(n).enumerate() {
            let from = rows.add(i * C::Row::BYTES);
            let mut row = C::Row::load(s, from);
            if C::SCALED {
                row = s.mul_add_32(row, scales, zero);
            }
            s.store_32(to.as_mut_ptr(), row);
        }
    }
}

/// Widens some tokens of a chunk of values; scales are per row.
///
/// # Safety
/// `chunk` has its scales and a row for every token.
#[inline(always)]
unsafe fn widen_values<S: Simd, C: Cell>(
    s: S,
    chunk: *const u8,
    tokens: Range<usize>,
    to: &mut [f32],
) {
    // SAFETY: this function's own condition; `to` is cut into whole rows.
    unsafe {
        let rows = chunk.add(C::SCALE_BYTES);
        let mut scales = [1.0; BLOCK_LEN];
        if C::SCALED {
            s.store_32(scales.as_mut_ptr(), s.load_32_f16(chunk));
        }
        for token in tokens {
            let from = rows.add(token * C::Row::BYTES);
            let mut row = C::Row::load(s, from);
            if C::SCALED {
                row = s.scale_32(scales[token], row);
            }
            s.store_32(to[token * WIDTH..][..WIDTH].as_mut_ptr(), row);
        }
    }
}

/// One number of a head's keys.
fn key_value<C: Cell>(keys: &[u8], dim: usize, token: usize) -> f32 {
    let chunk = &keys[dim / WIDTH * C::CHUNK_BYTES..];
    let row = &chunk[C::SCALE_BYTES + dim % WIDTH * C::Row::BYTES..][..C::Row::BYTES];
    C::Row::get(row, token) * scale::<C>(chunk, token)
}

/// One number of a head's values.
fn value_value<C: Cell>(values: &[u8], dim: usize, token: usize) -> f32 {
    let chunk = &values[dim / WIDTH * C::CHUNK_BYTES..];
    let row = &chunk[C::SCALE_BYTES + token * C::Row::BYTES..][..C::Row::BYTES];
    C::Row::get(row, dim % WIDTH) * scale::<C>(chunk, token)
}

fn scale<C: Cell>(chunk: &[u8], token: usize) -> f32 {
    if C::SCALED {
        rows::F16::get(&chunk[..C::SCALE_BYTES], token)
    } else {
        1.0
    }
}
