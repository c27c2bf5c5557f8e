//! Attention of tiles of queries over one segment of their sequences: where the time goes.
//!
//! A tile's rows are the query heads of one KV head for consecutive tokens. Blocks that all tiles
//! have in common are used for all rows at once, then each tile goes on with its own. Few rows
//! (decode) read the cache directly, two of them in one pass; many rows (prefill) widen each part
//! of a block to `f32` once, into memory that stays in the first-level cache.

use std::ops::Range;

use super::cell::Cell;
use super::plan::Tile;
use super::softmax::{RowState, weigh};
use super::{Attention, BLOCK_LEN, SEGMENT_BLOCKS, Span};
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
    pub(super) spans: &'a [Span<'a>],
    pub(super) storage: &'a [u8],
    pub(super) kv_head: usize,
    pub(super) tiles: &'a [Tile],
    /// Which of the tiles the rows are of, one tile's after the other's. In formats with scales
    /// either all of them have few rows or none has.
    pub(super) members: &'a [usize],
    /// Which segment of their sequences it is.
    pub(super) index: usize,
    /// How many blocks the members have in common, and see the whole of, before their own.
    pub(super) n_shared: usize,
    /// `[n_rows, head_dim]`
    pub(super) queries: &'a [f32],
    /// `[n_rows]`, set to that of this segment.
    pub(super) states: &'a mut [RowState],
    /// `[n_rows, n_chunks * 32]`, likewise: sums of values, not yet divided.
    pub(super) sums: &'a mut [f32],
    /// `[n_rows]` blocks of scores, then of weights.
    pub(super) scores: &'a mut [[f32; BLOCK_LEN]],
    /// Factors for the sums of earlier blocks, `[n_rows]`.
    pub(super) factors: &'a mut [f32],
    /// [`WIDENED_ROWS`] rows of 32.
    pub(super) widened: &'a mut [f32],
    /// `[n_rows, n_chunks]`, for formats that multiply with rounded queries.
    pub(super) rounded: &'a mut [Factors],
    /// `[n_chunks, DIRECT_ROWS]`, likewise for weights.
    pub(super) rounded_weights: &'a mut [Factors],
    pub(super) format: std::marker::PhantomData<C>,
}

/// A block as some rows see it.
pub(super) struct View {
    pub(super) keys: *const u8,
    pub(super) values: *const u8,
    /// Rows that see any of its tokens.
    pub(super) rows: Range<usize>,
    /// Tokens that any of those rows sees.
    pub(super) tokens: Range<usize>,
    /// Position of the first row's token; nothing where all rows see the whole block.
    position: Option<usize>,
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
    /// Block tokens that a token sees.
    #[inline(always)]
    fn seen(&self, block: usize, position: usize) -> Range<usize> {
        let seen = self.attention.seen(position);
        let first = block * BLOCK_LEN;
        let clamp = |position: usize| position.clamp(first, first + BLOCK_LEN) - first;
        clamp(seen.start)..clamp(seen.end)
    }

    #[inline(always)]
    fn head(&self, tile: &Tile, block: usize) -> &[u8] {
        let layout = &self.attention.layout;
        let block = self.spans[tile.span].block(block);
        let start = block * layout.block_bytes() + self.kv_head * layout.head_bytes();
        &self.storage[start..start + layout.head_bytes()]
    }

    /// What of a block is seen by a tile whose rows begin with `first_row`; nothing if no row sees
    /// any of it.
    #[inline(always)]
    fn tile_view(&self, tile: &Tile, first_row: usize, block: usize) -> Option<View> {
        let group = self.attention.group();
        let seen = |token: usize| self.seen(block, tile.position + token);
        let first = (0..tile.n_tokens).find(|&token| !seen(token).is_empty())?;
        let last = (first..tile.n_tokens).rfind(|&token| !seen(token).is_empty())?;
        Some(View {
            rows: first_row + first * group..first_row + (last + 1) * group,
            tokens: seen(first).start..seen(last).end,
            position: Some(tile.position + first),
            ..self.whole_view(tile, block)
        })
    }

    /// A block that all rows see, from the first to the last token; a tile has it in its table.
    #[inline(always)]
    fn whole_view(&self, tile: &Tile, block: usize) -> View {
        let head = self.head(tile, block);
        let span = &self.spans[tile.span];
        let ahead = if block + 1 - span.dropped_blocks < span.blocks.len() {
            let next = self.head(tile, block + 1).as_ptr();
            next.addr().wrapping_sub(head.as_ptr().addr()).cast_signed()
        } else {
            0
        };
        View {
            keys: head.as_ptr(),
            values: head[self.attention.layout.key_bytes()..].as_ptr(),
            rows: 0..self.states.len(),
            tokens: 0..BLOCK_LEN,
            position: None,
            ahead,
        }
    }

    /// Whether rows read the cache directly. Formats without scales get the same sums either way.
    fn is_direct(&self) -> bool {
        let n_rows = if C::SCALED {
            self.tiles[self.members[0]].n_rows(self.attention)
        } else {
            self.states.len()
        };
        n_rows <= DIRECT_ROWS
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
        let group = self.attention.group();
        let mut first_row = 0;
        for &member in self.members {
            let tile = &self.tiles[member];
            for row in 0..tile.n_rows(self.attention) {
                self.scalar_row(tile, first_row + row, tile.position + row / group);
            }
            first_row += tile.n_rows(self.attention);
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(mut self, s: S) {
        self.clear();
        let is_direct = self.is_direct();
        if is_direct {
            C::begin(&mut self, s);
        }
        let shared = self.index * SEGMENT_BLOCKS..self.index * SEGMENT_BLOCKS + self.n_shared;
        let mut first_row = 0;
        // The blocks of all members together, then those of each. One loop, so that what it is
        // about is compiled once.
        for step in 0..=self.members.len() {
            let tile = &self.tiles[self.members[step.saturating_sub(1)]];
            let blocks = if step == 0 {
                shared.clone()
            } else {
                let blocks = tile.blocks(self.attention, self.index);
                blocks.start.max(shared.end)..blocks.end
            };
            for block in blocks {
                let view = if step == 0 {
                    Some(self.whole_view(tile, block))
                } else {
                    self.tile_view(tile, first_row, block)
                };
                let Some(view) = view else {
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
            if step > 0 {
                first_row += tile.n_rows(self.attention);
            }
        }
    }
}

impl<C: Cell> Segment<'_, C> {
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, block: usize, view: &View) {
        let group = self.attention.group();
        for row in view.rows.clone() {
            let seen = view.position.map_or(0..BLOCK_LEN, |first| {
                self.seen(block, first + (row - view.rows.start) / group)
            });
            let (scores, state) = (&mut self.scores[row], &mut self.states[row]);
            self.factors[row] = weigh(s, self.attention, seen, scores, state);
        }
    }

    fn scalar_row(&mut self, tile: &Tile, row: usize, position: usize) {
        let layout = self.attention.layout;
        let (dim, stride) = (layout.head_dim, self.sums_stride());
        let query = &self.queries[row * dim..][..dim];
        let tokens = || {
            let tokens = |block| self.seen(block, position).map(move |token| (block, token));
            tile.blocks(self.attention, self.index).flat_map(tokens)
        };
        let score = |block, token| {
            let keys = self.head(tile, block);
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
            let values = &self.head(tile, block)[layout.key_bytes()..];
            state.sum += weight;
            for (d, sum) in sums[..dim].iter_mut().enumerate() {
                *sum += weight * value_value::<C>(values, d, token);
            }
        }
        self.states[row] = state;
        self.sums[row * stride..][..stride].copy_from_slice(&sums);
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
