//! Running what was planned, on all threads.

use std::marker::PhantomData;
use std::ops::Range;

use super::cell::for_format;
use super::merge::{finish, merge};
use super::plan::{Part, Plan, Tile};
use super::scratch::ThreadScratch;
use super::segment::Segment;
use super::softmax::RowState;
use super::{Attention, AttentionBatch, AttentionScratch, KvFormat};
use crate::simd::rows::WIDTH;
use crate::threads::SharedSlice;
use crate::{Isa, Threads, simd};

/// Everything that a task needs besides its own place.
struct Call<'a> {
    attention: &'a Attention<'a>,
    isa: Isa,
    batch: &'a AttentionBatch<'a>,
    plan: &'a Plan,
    out: SharedSlice<'a, f32>,
}

/// States and sums of all rows of parts, each of which one task writes.
type PartMemory<'a> = (SharedSlice<'a, RowState>, SharedSlice<'a, f32>);

/// See [`Attention::run`].
pub(super) fn run(
    attention: &Attention<'_>,
    threads: &Threads,
    isa: Isa,
    batch: &AttentionBatch<'_>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    scratch.plan.make(attention, batch.spans, threads.len());
    let n_part_rows = scratch.plan.n_part_rows;
    scratch.grow(attention, threads.len(), n_part_rows);

    let AttentionScratch {
        plan,
        part_states,
        part_sums,
        threads: of_threads,
    } = scratch;
    let call = Call {
        attention,
        isa,
        batch,
        plan,
        out: SharedSlice::new(out),
    };
    let of_threads = SharedSlice::new(of_threads);
    let (n_parts, n_tiles) = (plan.parts.len(), plan.tiles.len());
    let n_kv_heads = attention.layout.n_kv_heads;
    if n_parts > 0 {
        let states = SharedSlice::new(part_states);
        let sums = SharedSlice::new(part_sums);
        threads.run(n_parts * n_kv_heads, &|task, thread| {
            // SAFETY: no two tasks run on one thread at the same time.
            let scratch = unsafe { &mut of_threads.part(thread..thread + 1)[0] };
            // One head after the other: so a thread reads on where it ended.
            let (kv_head, part) = (task / n_parts, &plan.parts[task % n_parts]);
            call.part(part, kv_head, scratch, (states, sums));
        });
    }
    threads.run(n_tiles * n_kv_heads, &|task, thread| {
        // SAFETY: no two tasks run on one thread at the same time.
        let scratch = unsafe { &mut of_threads.part(thread..thread + 1)[0] };
        let (kv_head, tile) = (task % n_kv_heads, task / n_kv_heads);
        call.tile(tile, kv_head, scratch, (part_states, part_sums));
    });
}

impl Call<'_> {
    /// A part, for one KV head.
    fn part(
        &self,
        part: &Part,
        kv_head: usize,
        scratch: &mut ThreadScratch,
        (states, sums): PartMemory<'_>,
    ) {
        let width = self.attention.layout.n_chunks() * WIDTH;
        let members = self.plan.members(part);
        self.gather_queries(members, kv_head, scratch);
        self.attend(members, (part.segment, part.n_shared), kv_head, scratch);
        let mut first = 0;
        for &member in members {
            let tile = &self.plan.tiles[member];
            let rows = tile.part_rows(self.attention, kv_head, part.segment);
            let end = first + rows.len();
            // SAFETY: each segment of each tile and KV head has its own rows.
            let (states, sums) = unsafe {
                let sums = sums.part(rows.start * width..rows.end * width);
                (states.part(rows), sums)
            };
            states.copy_from_slice(&scratch.states[first..end]);
            sums.copy_from_slice(&scratch.sums[first * width..end * width]);
            first = end;
        }
    }

    /// What parts hold of a tile, its segments behind them, and the output, for one KV head.
    fn tile(
        &self,
        index: usize,
        kv_head: usize,
        scratch: &mut ThreadScratch,
        (states, sums): (&[RowState], &[f32]),
    ) {
        let tile = &self.plan.tiles[index];
        let n = tile.n_rows(self.attention);
        let width = self.attention.layout.n_chunks() * WIDTH;
        scratch.total_states[..n].fill(RowState::EMPTY);
        let behind = tile.segments.start + tile.n_parts;
        for segment in tile.segments.start..behind {
            let rows = tile.part_rows(self.attention, kv_head, segment);
            let sums = &sums[rows.start * width..rows.end * width];
            let totals = (&mut scratch.total_states[..], &mut scratch.total_sums[..]);
            self.merge(totals, (&states[rows], sums));
        }
        if behind < tile.segments.end {
            self.gather_queries(&[index], kv_head, scratch);
        }
        for segment in behind..tile.segments.end {
            self.attend(&[index], (segment, 0), kv_head, scratch);
            let totals = (&mut scratch.total_states[..], &mut scratch.total_sums[..]);
            self.merge(totals, (&scratch.states[..n], &scratch.sums[..n * width]));
        }
        let totals = (&scratch.total_states[..n], &scratch.total_sums[..]);
        self.finish(tile, kv_head, totals);
    }

    /// Adds a segment to what came before it.
    fn merge(
        &self,
        (total_states, total_sums): (&mut [RowState], &mut [f32]),
        (states, sums): (&[RowState], &[f32]),
    ) {
        let width = self.attention.layout.n_chunks() * WIDTH;
        let totals = total_states
            .iter_mut()
            .zip(total_sums.chunks_exact_mut(width));
        let rows = states.iter().zip(sums.chunks_exact(width));
        for (total, (state, sums)) in totals.zip(rows) {
            merge(self.isa, total, (*state, sums));
        }
    }

    /// The place of a token's query heads of one KV head in a row-major buffer.
    fn place(&self, tile: &Tile, token: usize, kv_head: usize) -> Range<usize> {
        let Attention {
            layout, n_heads, ..
        } = self.attention;
        let width = self.attention.group() * layout.head_dim;
        let start = (tile.first_row + token) * n_heads * layout.head_dim + kv_head * width;
        start..start + width
    }

    fn gather_queries(&self, members: &[usize], kv_head: usize, scratch: &mut ThreadScratch) {
        let width = self.attention.group() * self.attention.layout.head_dim;
        let tiles = members.iter().map(|&member| &self.plan.tiles[member]);
        let tokens = tiles.flat_map(|tile| (0..tile.n_tokens).map(move |token| (tile, token)));
        for ((tile, token), to) in tokens.zip(scratch.queries.chunks_exact_mut(width)) {
            to.copy_from_slice(&self.batch.queries[self.place(tile, token, kv_head)]);
        }
    }

    /// A segment of some tiles, of which they have `n_shared` blocks in common.
    fn attend(
        &self,
        members: &[usize],
        (index, n_shared): (usize, usize),
        kv_head: usize,
        scratch: &mut ThreadScratch,
    ) {
        let tiles = members.iter().map(|&member| &self.plan.tiles[member]);
        let n: usize = tiles.map(|tile| tile.n_rows(self.attention)).sum();
        let width = self.attention.layout.n_chunks() * WIDTH;
        for_format!(self.attention.layout.format, |Format| {
            let segment = Segment::<Format> {
                attention: self.attention,
                spans: self.batch.spans,
                storage: self.batch.storage,
                kv_head,
                tiles: &self.plan.tiles,
                members,
                index,
                n_shared,
                queries: &scratch.queries,
                states: &mut scratch.states[..n],
                sums: &mut scratch.sums[..n * width],
                scores: scratch.scores.as_chunks_mut().0,
                factors: &mut scratch.factors,
                widened: &mut scratch.widened,
                rounded: &mut scratch.rounded,
                rounded_weights: &mut scratch.rounded_weights,
                format: PhantomData,
            };
            simd::run(self.isa, segment);
        });
    }

    /// `states` and `sums` are those of all segments together.
    fn finish(&self, tile: &Tile, kv_head: usize, (states, sums): (&[RowState], &[f32])) {
        let Attention { layout, sinks, .. } = self.attention;
        let width = layout.n_chunks() * WIDTH;
        let group = self.attention.group();
        let rows = states.iter().zip(sums.chunks_exact(width)).enumerate();
        for (row, (state, sums)) in rows {
            let head = row % group;
            let start = self.place(tile, row / group, kv_head).start + head * layout.head_dim;
            // SAFETY: no other tile has this token and KV head, for spans do not overlap.
            let out = unsafe { self.out.part(start..start + layout.head_dim) };
            let sink = sinks.map(|sinks| sinks[kv_head * group + head]);
            finish(*state, sums, sink, out);
        }
    }
}
