//! Cutting a batch into tasks for threads.
//!
//! A unit is a tile of queries of one KV head. Where units are many, each is one task that goes
//! through all segments of its sequence; where they are too few to keep all threads busy, each
//! segment is a task of its own, and the segments are merged when all are done. Both do the same
//! arithmetic in the same order.

use std::marker::PhantomData;
use std::ops::Range;

use super::cell::for_format;
use super::merge::{finish, merge};
use super::scratch::ThreadScratch;
use super::segment::Segment;
use super::softmax::RowState;
use super::{
    Attention, AttentionBatch, AttentionScratch, BLOCK_LEN, KvFormat, SEGMENT_BLOCKS, Span,
};
use crate::simd::rows::WIDTH;
use crate::threads::SharedSlice;
use crate::{Isa, Threads, simd};

/// Query rows of a tile: enough that widening the cache to `f32` is a small part of the work, few
/// enough that a tile's queries and sums stay in the second-level cache.
const TILE_ROWS: usize = 96;

/// Where there are fewer units than this for each thread, sequences are split.
const UNITS_PER_THREAD: usize = 16;

/// Tokens of a tile.
pub(super) fn tile_tokens(attention: &Attention<'_>) -> usize {
    (TILE_ROWS / attention.group()).max(1)
}

/// Segments of a sequence.
pub(super) fn n_segments(n_tokens: usize) -> usize {
    n_tokens.div_ceil(BLOCK_LEN * SEGMENT_BLOCKS)
}

/// Units are split only if there are fewer than this.
pub(super) fn max_split_units(n_threads: usize) -> usize {
    if n_threads > 1 {
        UNITS_PER_THREAD * n_threads
    } else {
        0
    }
}

/// A tile of queries of one KV head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    span: u32,
    kv_head: u32,
    /// First token of the tile in its span, and how many there are.
    first_token: u32,
    n_tokens: u32,
    /// Segments that any of the tile's tokens sees.
    first_segment: u32,
    n_segments: u32,
    /// Where the rows of its first segment go, if it is split; those of the others follow.
    part_row: usize,
}

/// A unit, or one of its segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    unit: u32,
    segment: Option<u32>,
}

/// Everything that a task needs besides its own place.
struct Call<'a> {
    attention: &'a Attention<'a>,
    isa: Isa,
    batch: &'a AttentionBatch<'a>,
    out: SharedSlice<'a, f32>,
}

/// See [`Attention::run`].
pub(super) fn run(
    attention: &Attention<'_>,
    threads: &Threads,
    isa: Isa,
    batch: &AttentionBatch<'_>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    plan_units(attention, batch.spans, &mut scratch.units);
    let is_split = scratch.units.len() < max_split_units(threads.len());
    let n_part_rows = plan_tasks(attention, is_split, scratch);
    scratch.grow(attention, threads.len(), n_part_rows);

    let call = Call {
        attention,
        isa,
        batch,
        out: SharedSlice::new(out),
    };
    let AttentionScratch {
        units,
        tasks,
        part_states,
        part_sums,
        threads: of_threads,
    } = scratch;
    let of_threads = SharedSlice::new(of_threads);
    let width = attention.layout.n_chunks() * WIDTH;
    {
        let states = SharedSlice::new(part_states);
        let sums = SharedSlice::new(part_sums);
        threads.run(tasks.len(), &|task, thread| {
            let Task { unit, segment } = tasks[task];
            let unit = &units[unit as usize];
            // SAFETY: no two tasks run on one thread at the same time.
            let scratch = unsafe { &mut of_threads.part(thread..thread + 1)[0] };
            let Some(segment) = segment else {
                return call.whole(unit, scratch);
            };
            let n = unit.n_rows(attention);
            let first = unit.part_row + (segment - unit.first_segment) as usize * n;
            // SAFETY: each segment of each unit has its own rows.
            let part = unsafe {
                let sums = sums.part(first * width..(first + n) * width);
                (states.part(first..first + n), sums)
            };
            call.segment(unit, segment, scratch, part);
        });
    }
    if is_split {
        let states = SharedSlice::new(part_states);
        let sums = SharedSlice::new(part_sums);
        threads.run(units.len(), &|unit, _| {
            let unit = &units[unit];
            if unit.n_segments == 1 {
                return;
            }
            let n = unit.n_rows(attention);
            let rows = unit.part_row..unit.part_row + n * unit.n_segments as usize;
            // SAFETY: each unit has its own rows.
            let parts = unsafe {
                let sums = sums.part(rows.start * width..rows.end * width);
                (states.part(rows), sums)
            };
            call.merge_parts(unit, parts);
        });
    }
}

fn plan_units(attention: &Attention<'_>, spans: &[Span<'_>], units: &mut Vec<Unit>) {
    units.clear();
    let step = tile_tokens(attention);
    for (index, span) in spans.iter().enumerate() {
        for first_token in (0..span.n_rows).step_by(step) {
            let n_tokens = step.min(span.n_rows - first_token);
            let position = span.position + first_token;
            let first = attention.seen(position).start / (BLOCK_LEN * SEGMENT_BLOCKS);
            let end = n_segments(position + n_tokens);
            units.extend((0..attention.layout.n_kv_heads).map(|kv_head| Unit {
                span: index as u32,
                kv_head: kv_head as u32,
                first_token: first_token as u32,
                n_tokens: n_tokens as u32,
                first_segment: first as u32,
                n_segments: (end - first) as u32,
                part_row: 0,
            }));
        }
    }
}

/// Returns how many rows of parts there are.
fn plan_tasks(attention: &Attention<'_>, is_split: bool, scratch: &mut AttentionScratch) -> usize {
    scratch.tasks.clear();
    let mut n_part_rows = 0;
    for (index, unit) in scratch.units.iter_mut().enumerate() {
        let task = |segment| Task {
            unit: index as u32,
            segment,
        };
        if is_split && unit.n_segments > 1 {
            unit.part_row = n_part_rows;
            n_part_rows += unit.n_segments as usize * unit.n_rows(attention);
            let segments = unit.first_segment..unit.first_segment + unit.n_segments;
            scratch
                .tasks
                .extend(segments.map(|segment| task(Some(segment))));
        } else {
            scratch.tasks.push(task(None));
        }
    }
    n_part_rows
}

impl Unit {
    /// Query rows: one for each token and query head.
    fn n_rows(&self, attention: &Attention<'_>) -> usize {
        self.n_tokens as usize * attention.group()
    }
}

impl Call<'_> {
    /// All segments of a unit, one after the other, and the output.
    fn whole(&self, unit: &Unit, scratch: &mut ThreadScratch) {
        let n = unit.n_rows(self.attention);
        let width = self.attention.layout.n_chunks() * WIDTH;
        self.gather_queries(unit, scratch);
        let mut states = std::mem::take(&mut scratch.states);
        let mut sums = std::mem::take(&mut scratch.sums);
        scratch.total_states[..n].fill(RowState::EMPTY);
        for segment in unit.first_segment..unit.first_segment + unit.n_segments {
            let part = (&mut states[..n], &mut sums[..n * width]);
            self.attend(unit, segment, scratch, part);
            for row in 0..n {
                let total = &mut scratch.total_sums[row * width..][..width];
                let part = &sums[row * width..][..width];
                merge(
                    self.isa,
                    (&mut scratch.total_states[row], total),
                    (states[row], part),
                );
            }
        }
        scratch.states = states;
        scratch.sums = sums;
        self.finish(unit, &scratch.total_states[..n], &scratch.total_sums);
    }

    /// One segment of a unit, into its part.
    fn segment(
        &self,
        unit: &Unit,
        segment: u32,
        scratch: &mut ThreadScratch,
        part: (&mut [RowState], &mut [f32]),
    ) {
        self.gather_queries(unit, scratch);
        self.attend(unit, segment, scratch, part);
    }

    fn merge_parts(&self, unit: &Unit, (states, sums): (&mut [RowState], &mut [f32])) {
        let n = unit.n_rows(self.attention);
        let width = self.attention.layout.n_chunks() * WIDTH;
        let (total_states, states) = states.split_at_mut(n);
        let (total_sums, sums) = sums.split_at_mut(n * width);
        for (part, (state, sums)) in states.iter().zip(sums.chunks_exact(width)).enumerate() {
            let row = part % n;
            let total = &mut total_sums[row * width..][..width];
            merge(self.isa, (&mut total_states[row], total), (*state, sums));
        }
        self.finish(unit, total_states, total_sums);
    }

    /// The place of a token's query heads of one KV head in a row-major buffer.
    fn place(&self, unit: &Unit, token: usize) -> Range<usize> {
        let Attention {
            layout, n_heads, ..
        } = self.attention;
        let span = &self.batch.spans[unit.span as usize];
        let row = span.first_row + unit.first_token as usize + token;
        let width = self.attention.group() * layout.head_dim;
        let start = row * n_heads * layout.head_dim + unit.kv_head as usize * width;
        start..start + width
    }

    fn gather_queries(&self, unit: &Unit, scratch: &mut ThreadScratch) {
        let width = self.attention.group() * self.attention.layout.head_dim;
        let to = scratch.queries.chunks_exact_mut(width);
        for (token, to) in (0..unit.n_tokens as usize).zip(to) {
            to.copy_from_slice(&self.batch.queries[self.place(unit, token)]);
        }
    }

    fn attend(
        &self,
        unit: &Unit,
        segment: u32,
        scratch: &mut ThreadScratch,
        (states, sums): (&mut [RowState], &mut [f32]),
    ) {
        let span = &self.batch.spans[unit.span as usize];
        let position = span.position + unit.first_token as usize;
        let first = segment as usize * SEGMENT_BLOCKS;
        let seen = self.attention.seen(position).start / BLOCK_LEN;
        let end = (position + unit.n_tokens as usize).div_ceil(BLOCK_LEN);
        for_format!(self.attention.layout.format, |Format| {
            let segment = Segment::<Format> {
                attention: self.attention,
                span,
                storage: self.batch.storage,
                kv_head: unit.kv_head as usize,
                position,
                n_tokens: unit.n_tokens as usize,
                blocks: first.max(seen)..(first + SEGMENT_BLOCKS).min(end),
                queries: &scratch.queries,
                states,
                sums,
                scores: scratch.scores.as_chunks_mut().0,
                factors: &mut scratch.factors,
                widened: &mut scratch.widened,
                rounded: &mut scratch.rounded,
                format: PhantomData,
            };
            simd::run(self.isa, segment);
        });
    }

    /// `states` and `sums` are those of all segments together.
    fn finish(&self, unit: &Unit, states: &[RowState], sums: &[f32]) {
        let Attention { layout, sinks, .. } = self.attention;
        let width = layout.n_chunks() * WIDTH;
        let group = self.attention.group();
        let rows = states.iter().zip(sums.chunks_exact(width)).enumerate();
        for (row, (state, sums)) in rows {
            let start = self.place(unit, row / group).start + row % group * layout.head_dim;
            // SAFETY: no other unit has this token and KV head, for spans do not overlap.
            let out = unsafe { self.out.part(start..start + layout.head_dim) };
            let head = unit.kv_head as usize * group + row % group;
            finish(*state, sums, sinks.map(|sinks| sinks[head]), out);
        }
    }
}
