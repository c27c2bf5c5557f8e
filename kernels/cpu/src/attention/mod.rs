//! Softmax attention over a paged cache: many sequences, prefill and decode, in one pass.
//!
//! 1. [`KvLayout`] says how keys and values lie in the blocks of a layer's storage.
//! 2. [`append`] writes those of new tokens.
//! 3. [`Attention::run`] computes the outputs of all queries of a batch.
//!
//! All query heads that share a KV head go together, so that each cache line is read from memory
//! once; so do the sequences whose tables begin with the same blocks, as those of forks do. The
//! positions of a sequence are cut into segments of a few blocks; within a segment softmax is
//! computed online, block after block, and segments are merged in their order. Each step's order of
//! additions depends on the query's position alone: results are the same bit for bit with any number
//! of threads, in any batch, and (without quantization) whether a token came in a prefill of any size
//! or alone.

mod append;
mod cell;
mod encode;
mod layout;
mod merge;
mod plain;
mod plan;
mod quantized;
mod scratch;
mod segment;
mod softmax;
#[cfg(test)]
mod tests;
mod widened;
mod work;

pub use append::append;
pub use layout::{BLOCK_LEN, KvFormat, KvLayout};
pub use scratch::AttentionScratch;

use crate::{Isa, Threads};

/// Blocks of a segment: few enough that one long sequence occupies many threads, many enough that
/// merging costs little.
const SEGMENT_BLOCKS: usize = 8;

/// Consecutive tokens of one sequence, the newest it has.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Row of the first token in the batch.
    pub first_row: usize,
    /// Tokens.
    pub n_rows: usize,
    /// Position of the first token in its sequence.
    pub position: usize,
    /// The blocks of the sequence, in order.
    pub blocks: &'a [u32],
    /// How many blocks before the first of `blocks` are no longer there, because no window
    /// reaches them.
    pub dropped_blocks: usize,
}

impl Span<'_> {
    /// The storage block that holds block `index` of the sequence.
    #[inline(always)]
    fn block(&self, index: usize) -> usize {
        self.blocks[index - self.dropped_blocks] as usize
    }

    /// # Panics
    /// If the rows are not in a buffer of `len` values, `width` for each row.
    fn check(&self, len: usize, width: usize) {
        let end = self.first_row.checked_add(self.n_rows);
        let fits = end.is_some_and(|end| end <= len / width.max(1));
        assert!(
            fits,
            "rows {}+{} of {len} values",
            self.first_row, self.n_rows
        );
    }
}

/// An attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Keys and values.
    pub layout: KvLayout,
    /// Query heads, a multiple of the KV heads; head `i` reads KV head `i * n_kv_heads / n_heads`.
    pub n_heads: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// A query sees this many keys, its own included; all of them without.
    pub window: Option<usize>,
    /// `[n_heads]`: a logit of each head that takes part in the softmax and has no value.
    pub sinks: Option<&'a [f32]>,
}

/// Queries of many sequences.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBatch<'a> {
    /// Whose the rows are, in their order.
    pub spans: &'a [Span<'a>],
    /// `[n_rows, n_heads * head_dim]`
    pub queries: &'a [f32],
    /// Blocks with the keys and values of all tokens up to the last of each span.
    pub storage: &'a [u8],
}

impl Attention<'_> {
    /// `out[row] = softmax(scale * query · keys) · values`, over the keys that the row's token sees.
    ///
    /// `out` is `[n_rows, n_heads * head_dim]`; rows that no span names are left as they are.
    ///
    /// # Panics
    /// If a length does not fit, a block that is seen is missing from a table or lies outside of
    /// `storage`, spans overlap, or query heads are no multiple of KV heads.
    pub fn run(
        &self,
        threads: &Threads,
        isa: Isa,
        batch: &AttentionBatch<'_>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        self.check(batch.spans, batch.queries, out);
        work::run(self, threads, isa, batch, scratch, out);
    }

    /// Query heads of each KV head.
    fn group(&self) -> usize {
        self.n_heads / self.layout.n_kv_heads
    }

    /// Positions that a query sees.
    #[inline(always)]
    fn seen(&self, position: usize) -> std::ops::Range<usize> {
        let first = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        first..position + 1
    }

    /// # Panics
    /// If anything about the shapes does not fit.
    fn check(&self, spans: &[Span<'_>], queries: &[f32], out: &[f32]) {
        let KvLayout {
            n_kv_heads,
            head_dim,
            ..
        } = self.layout;
        assert!(
            n_kv_heads > 0 && self.n_heads.is_multiple_of(n_kv_heads) && head_dim > 0,
            "{} heads for {n_kv_heads} KV heads of {head_dim} dimensions",
            self.n_heads
        );
        assert!(self.window != Some(0), "a window of no keys");
        assert!(
            self.sinks.is_none_or(|sinks| sinks.len() == self.n_heads),
            "a sink for each head"
        );
        assert_eq!(queries.len(), out.len(), "an output for each query");
        let mut end = 0;
        for span in spans {
            span.check(queries.len(), self.n_heads * head_dim);
            assert!(span.first_row >= end, "spans overlap or are out of order");
            end = span.first_row + span.n_rows;
            if span.n_rows > 0 {
                let first = self.seen(span.position).start / BLOCK_LEN;
                let n_blocks = (span.position + span.n_rows).div_ceil(BLOCK_LEN);
                let held = span.dropped_blocks..span.dropped_blocks + span.blocks.len();
                assert!(
                    held.start <= first && n_blocks <= held.end,
                    "blocks {first} to {n_blocks} are seen, {held:?} are there"
                );
            }
        }
    }
}
