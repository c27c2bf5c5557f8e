//! Attention of a tile of queries over one segment of their sequence: where the time goes.
//!
//! A tile's rows are the query heads of one KV head for consecutive tokens. Few rows (decode) read
//! the cache directly, all of them in one pass; many rows (prefill) widen each part of a block to
//! `f32` once, into memory that stays in the first-level cache.

use std::ops::Range;

use super::cell::Cell;
use super::softmax::{RowState, weigh};
use super::{Attention, BLOCK_LEN, Span};
use crate::simd::pairs::Factors;
use crate::simd::rows::{self, Ahead, Row, WIDTH};
use crate::simd::{Kernel, Simd};

/// Rows of 32 that are widened at a time: 16 kB.
pub(super) const WIDENED_ROWS: usize = 128;

/// Up to so many rows read the cache directly.
pub(super) const DIRECT_ROWS: usize = 4;

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
    /// `[DIRECT_ROWS, n_chunks]`, for formats that multiply with rounded queries.
    pub(super) rounded: &'a mut [Factors],
    pub(super) format: std::marker::PhantomData<C>,
}

/// A block as a tile sees it.
pub(super) struct View {
    pub(super) keys: *const u8,
    pub(super) values: *const u8,
    /// Rows of the tile that see any of its tokens.
    pub(super) rows: Range<usize>,
    /// Tokens that any of those rows sees.
    pub(super) tokens: Range<usize>,
    /// From this block to the one that is read next, in bytes; 0 if there is none.
    pub(super) ahead: isize,
}

impl View {
    /// What to ask for while a part of this block is used: the same part of the next one.
    #[inline(always)]
    pub(super) fn ahead<C: Cell>(&self, part: *const u8) -> Ahead {
        let next = part.wrapping_offset(self.ahead);
        Ahead::rows(next, C::ROW_BYTES).only_if(self.ahead != 0)
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
        let is_direct = self.states.len() <= DIRECT_ROWS;
        if is_direct {
            C::begin(&mut self, s);
        }
        for block in self.blocks.clone() {
            let Some(view) = self.view(block) else {
                continue;
            };
            // SAFETY: a view points to the keys and values of one head, whole.
            unsafe {
                if is_direct {
                    C::scores(&mut self, s, &view);
                    self.weigh(s, block, &view);
                    C::values(&mut self, s, &view);
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

    /// The sums of a view's rows in a chunk, and from one row to the next.
    #[inline(always)]
    pub(super) fn chunk_sums(&mut self, view: &View, chunk: usize) -> (*mut f32, usize) {
        let stride = self.sums_stride();
        let sums = &mut self.sums[view.rows.start * stride..view.rows.end * stride];
        (sums[chunk * WIDTH..].as_mut_ptr(), stride)
    }
}

/// One number of a head's keys.
fn key_value<C: Cell>(keys: &[u8], dim: usize, token: usize) -> f32 {
    let chunk = &keys[dim / WIDTH * C::CHUNK_BYTES..];
    C::get(&chunk[C::SCALE_BYTES..], dim % WIDTH, token) * scale::<C>(chunk, token)
}

/// One number of a head's values.
fn value_value<C: Cell>(values: &[u8], dim: usize, token: usize) -> f32 {
    let chunk = &values[dim / WIDTH * C::CHUNK_BYTES..];
    C::get(&chunk[C::SCALE_BYTES..], token, dim % WIDTH) * scale::<C>(chunk, token)
}

fn scale<C: Cell>(chunk: &[u8], token: usize) -> f32 {
    if C::SCALED {
        rows::F16::get(&chunk[..C::SCALE_BYTES], token)
    } else {
        1.0
    }
}
