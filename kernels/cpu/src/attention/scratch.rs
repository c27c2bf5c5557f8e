//! Memory that attention works in, kept from call to call.

use super::plan::{self, Plan};
use super::segment::{DIRECT_ROWS, WIDENED_ROWS};
use super::softmax::RowState;
use super::{Attention, BLOCK_LEN};
use crate::memory::AlignedFloats;
use crate::simd::pairs::Factors;
use crate::simd::rows::WIDTH;

/// Scratch memory for [`Attention::run`]. It grows to what the largest call so far needed.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    pub(super) plan: Plan,
    /// Of segments that are computed by themselves, a row each.
    pub(super) part_states: Vec<RowState>,
    pub(super) part_sums: AlignedFloats,
    pub(super) threads: Vec<ThreadScratch>,
}

impl AttentionScratch {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the memory now that a call with `n_sequences` decoding sequences of up to `n_tokens`
    /// tokens will need with `n_threads` threads, or a prefill with `n_rows` rows in all.
    pub fn reserve(
        &mut self,
        attention: &Attention<'_>,
        n_threads: usize,
        n_sequences: usize,
        n_rows: usize,
        n_tokens: usize,
    ) {
        let n_segments = plan::n_segments(n_tokens);
        let n_tiles = n_sequences + n_rows / plan::tile_tokens(attention);
        self.plan.reserve(n_tiles, n_segments);
        // Of sequences that share all of their segments, or of tiles that are split.
        let n_kv_heads = attention.layout.n_kv_heads;
        let n_split = plan::max_split_units(n_threads).min((n_sequences + n_rows) * n_kv_heads);
        let n_split_rows = n_split * plan::tile_tokens(attention);
        let n_part_rows = n_split_rows.max(n_sequences * n_kv_heads) * attention.group();
        self.grow(attention, n_threads, n_part_rows * n_segments);
    }

    /// Makes room for tiles of an attention layer on some threads, and for rows of parts.
    pub(super) fn grow(&mut self, attention: &Attention<'_>, n_threads: usize, n_part_rows: usize) {
        let width = attention.layout.n_chunks() * WIDTH;
        if self.threads.len() < n_threads {
            self.threads.resize_with(n_threads, ThreadScratch::default);
        }
        let rows = plan::tile_tokens(attention) * attention.group();
        for thread in &mut self.threads {
            thread.grow(rows, width);
        }
        if self.part_states.len() < n_part_rows {
            self.part_states.resize(n_part_rows, RowState::EMPTY);
        }
        self.part_sums.grow(n_part_rows * width);
    }
}

/// What one thread needs for a tile.
#[derive(Debug, Default)]
pub(super) struct ThreadScratch {
    /// `[rows, head_dim]`
    pub(super) queries: AlignedFloats,
    /// `[rows, n_chunks * 32]`
    pub(super) sums: AlignedFloats,
    /// `[rows, n_chunks * 32]`
    pub(super) total_sums: AlignedFloats,
    /// `[rows, 32]`
    pub(super) scores: AlignedFloats,
    pub(super) factors: AlignedFloats,
    pub(super) widened: AlignedFloats,
    pub(super) rounded: Vec<Factors>,
    pub(super) rounded_weights: Vec<Factors>,
    pub(super) states: Vec<RowState>,
    pub(super) total_states: Vec<RowState>,
}

impl ThreadScratch {
    fn grow(&mut self, rows: usize, width: usize) {
        self.queries.grow(rows * width);
        self.sums.grow(rows * width);
        self.total_sums.grow(rows * width);
        self.scores.grow(rows * BLOCK_LEN);
        self.factors.grow(rows);
        self.widened.grow(WIDENED_ROWS * WIDTH);
        let n_chunks = width / WIDTH;
        for (rounded, n) in [
            (&mut self.rounded, rows * n_chunks),
            (&mut self.rounded_weights, DIRECT_ROWS * n_chunks),
        ] {
            if rounded.len() < n {
                rounded.resize(n, Factors::ZERO);
            }
        }
        if self.states.len() < rows {
            self.states.resize(rows, RowState::EMPTY);
            self.total_states.resize(rows, RowState::EMPTY);
        }
    }
}
