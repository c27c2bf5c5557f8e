//! Cutting a batch into work for threads.
//!
//! 1. Spans are cut into [`Tile`]s, a few tokens each. A tile goes through the segments of its
//!    sequence in their order, for one KV head at a time.
//! 2. Where tables of several tiles name the same blocks, their common segments become
//!    [`Part`]s: the blocks are read once, for the rows of all of these tiles.
//! 3. Where tiles are too few to keep all threads busy, all of their segments become parts.
//!
//! Parts are computed first, then each tile merges its own and goes on behind them. Each way does
//! the same arithmetic on a row, in the same order.

use std::ops::Range;

use super::segment::DIRECT_ROWS;
use super::{Attention, BLOCK_LEN, SEGMENT_BLOCKS, Span};

/// Query rows of a tile: enough that widening the cache to `f32` is a small part of the work, few
/// enough that a tile's queries and sums stay in the second-level cache.
const TILE_ROWS: usize = 96;

/// Where there are fewer pairs of a tile and a KV head than this for each thread, sequences are
/// split.
const UNITS_PER_THREAD: usize = 16;

/// Rows that have a segment in common go together as far as this leaves so many tasks for each
/// thread.
const SHARED_PER_THREAD: usize = 2;

/// Tokens of a tile.
pub(super) fn tile_tokens(attention: &Attention<'_>) -> usize {
    (TILE_ROWS / attention.group()).max(1)
}

/// Segments of a sequence.
pub(super) fn n_segments(n_tokens: usize) -> usize {
    n_tokens.div_ceil(BLOCK_LEN * SEGMENT_BLOCKS)
}

/// Sequences are split only if there are fewer pairs of a tile and a KV head than this.
pub(super) fn max_split_units(n_threads: usize) -> usize {
    if n_threads > 1 {
        UNITS_PER_THREAD * n_threads
    } else {
        0
    }
}

/// Consecutive tokens of a span.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) span: usize,
    /// Row of its first token in the batch.
    pub(super) first_row: usize,
    /// Position of its first token in the sequence.
    pub(super) position: usize,
    pub(super) n_tokens: usize,
    /// The segments that any of its tokens sees.
    pub(super) segments: Range<usize>,
    /// Those of them that are computed with rows of other tiles.
    shared: Range<usize>,
    /// How many of `segments`, from the first one, are parts.
    pub(super) n_parts: usize,
    /// Where the rows of its first part go; those of the next parts follow, then other KV heads.
    part_row: usize,
}

/// A segment of one or several tiles that is computed by itself.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) segment: usize,
    /// Whose it is, among the plan's `members`.
    members: Range<usize>,
    /// Blocks at the beginning of the segment that all of them have in common.
    pub(super) n_shared: usize,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tiles: Vec<Tile>,
    pub(super) parts: Vec<Part>,
    /// Indices of tiles.
    members: Vec<usize>,
    /// Query rows of all parts and KV heads.
    pub(super) n_part_rows: usize,
    /// First block of a segment, and the tile that has it there.
    order: Vec<(u32, usize)>,
}

impl Tile {
    /// Query rows for one KV head: one for each token and query head.
    pub(super) fn n_rows(&self, attention: &Attention<'_>) -> usize {
        self.n_tokens * attention.group()
    }

    /// Where the rows of one of its parts are.
    pub(super) fn part_rows(
        &self,
        attention: &Attention<'_>,
        kv_head: usize,
        segment: usize,
    ) -> Range<usize> {
        let n_rows = self.n_rows(attention);
        let part = kv_head * self.n_parts + segment - self.segments.start;
        let start = self.part_row + part * n_rows;
        start..start + n_rows
    }

    /// The blocks of a segment that any of its tokens sees.
    #[inline(always)]
    pub(super) fn blocks(&self, attention: &Attention<'_>, segment: usize) -> Range<usize> {
        let first = segment * SEGMENT_BLOCKS;
        let seen = attention.seen(self.position).start / BLOCK_LEN;
        let end = (self.position + self.n_tokens).div_ceil(BLOCK_LEN);
        first.max(seen)..(first + SEGMENT_BLOCKS).min(end)
    }

    /// The first blocks of a segment as far as each of its tokens sees the whole of them.
    fn common_blocks<'a>(
        &self,
        attention: &Attention<'_>,
        spans: &'a [Span<'_>],
        segment: usize,
    ) -> &'a [u32] {
        let first = segment * SEGMENT_BLOCKS;
        let seen = attention.seen(self.position + self.n_tokens - 1).start;
        let end = (first + SEGMENT_BLOCKS).min((self.position + 1) / BLOCK_LEN);
        if seen > first * BLOCK_LEN || end <= first {
            return &[];
        }
        let span = &spans[self.span];
        &span.blocks[first - span.dropped_blocks..end - span.dropped_blocks]
    }

    /// Whether their rows may be computed together. Quantized formats multiply few rows otherwise
    /// than many, and it must not depend on others which way a row goes.
    fn goes_with(&self, other: &Self, attention: &Attention<'_>) -> bool {
        let is_direct = |tile: &Self| tile.n_rows(attention) <= DIRECT_ROWS;
        !attention.layout.format.has_scales() || is_direct(self) == is_direct(other)
    }

    /// Shared segments follow each other.
    fn may_share(&self, segment: usize) -> bool {
        self.shared.is_empty() || self.shared.end == segment
    }

    fn share(&mut self, segment: usize) {
        let start = if self.shared.is_empty() {
            segment
        } else {
            self.shared.start
        };
        self.shared = start..segment + 1;
    }
}

impl Plan {
    /// Takes the memory now for so many tiles of so many segments.
    pub(super) fn reserve(&mut self, n_tiles: usize, n_segments: usize) {
        // Members of parts are tiles, each with all of its segments at most.
        let n_parts = n_tiles * n_segments;
        self.tiles.reserve(n_tiles);
        self.order.reserve(n_tiles);
        self.parts.reserve(n_parts);
        self.members.reserve(n_parts);
    }

    pub(super) fn make(&mut self, attention: &Attention<'_>, spans: &[Span<'_>], n_threads: usize) {
        self.tiles.clear();
        self.parts.clear();
        self.members.clear();
        self.n_part_rows = 0;
        self.cut(attention, spans);
        if self.tiles.len() > 1 {
            self.share(attention, spans, n_threads);
        }
        self.place_parts(attention, n_threads);
    }

    /// The tiles that a part is of.
    pub(super) fn members(&self, part: &Part) -> &[usize] {
        &self.members[part.members.clone()]
    }

    fn cut(&mut self, attention: &Attention<'_>, spans: &[Span<'_>]) {
        let step = tile_tokens(attention);
        for (index, span) in spans.iter().enumerate() {
            for first_token in (0..span.n_rows).step_by(step) {
                let n_tokens = step.min(span.n_rows - first_token);
                let position = span.position + first_token;
                let first = attention.seen(position).start / (BLOCK_LEN * SEGMENT_BLOCKS);
                self.tiles.push(Tile {
                    span: index,
                    first_row: span.first_row + first_token,
                    position,
                    n_tokens,
                    segments: first..n_segments(position + n_tokens),
                    shared: 0..0,
                    n_parts: 0,
                    part_row: 0,
                });
            }
        }
    }

    /// Makes parts of segments that tables have in common.
    fn share(&mut self, attention: &Attention<'_>, spans: &[Span<'_>], n_threads: usize) {
        let rows = |tile: &Tile| tile.n_rows(attention);
        let n_tasks = SHARED_PER_THREAD * n_threads;
        let n_rows = self.tiles.iter().map(rows).sum::<usize>() * attention.layout.n_kv_heads;
        let most = tile_tokens(attention) * attention.group();
        let limit = (n_rows / n_tasks).clamp(DIRECT_ROWS.min(most), most);

        let n_segments = self.tiles.iter().map(|tile| tile.segments.end).max();
        let mut order = std::mem::take(&mut self.order);
        for segment in 0..n_segments.unwrap_or(0) {
            let first = |(index, tile): (usize, &Tile)| {
                if rows(tile) >= limit || !tile.may_share(segment) {
                    return None;
                }
                let blocks = tile.common_blocks(attention, spans, segment);
                blocks.first().map(|&block| (block, index))
            };
            order.clear();
            order.extend(self.tiles.iter().enumerate().filter_map(first));
            order.sort_unstable();
            for run in order.chunk_by(|a, b| a.0 == b.0) {
                for (place, &(_, leader)) in run.iter().enumerate() {
                    let others = run[place + 1..].iter().map(|&(_, tile)| tile);
                    self.gather(attention, spans, (leader, others), segment, limit);
                }
            }
        }
        self.order = order;
    }

    /// Makes a part of a tile's segment and of those of others, if any, that have at least as many
    /// blocks in common with it as the first of them.
    fn gather(
        &mut self,
        attention: &Attention<'_>,
        spans: &[Span<'_>],
        (leader, others): (usize, impl Iterator<Item = usize>),
        segment: usize,
        limit: usize,
    ) {
        let tile = self.tiles[leader].clone();
        if !tile.may_share(segment) {
            return;
        }
        let start = self.members.len();
        let blocks = tile.common_blocks(attention, spans, segment);
        let mut n_shared = 0;
        let mut n_rows = tile.n_rows(attention);
        for member in others {
            let other = &mut self.tiles[member];
            let n = other.n_rows(attention);
            let fits = n_rows + n <= limit && tile.goes_with(other, attention);
            if !fits || !other.may_share(segment) {
                continue;
            }
            let theirs = other.common_blocks(attention, spans, segment);
            let n_equal = blocks.iter().zip(theirs).take_while(|(a, b)| a == b);
            let n_equal = n_equal.count();
            if n_equal == 0 || n_equal < n_shared {
                continue;
            }
            if n_shared == 0 {
                n_shared = n_equal;
                self.members.push(leader);
            }
            n_rows += n;
            other.share(segment);
            self.members.push(member);
        }
        if n_shared > 0 {
            self.tiles[leader].share(segment);
            self.parts.push(Part {
                segment,
                members: start..self.members.len(),
                n_shared,
            });
        }
    }

    /// Makes parts of the segments before shared ones, or of all, and gives all their places.
    fn place_parts(&mut self, attention: &Attention<'_>, n_threads: usize) {
        let n_kv_heads = attention.layout.n_kv_heads;
        let is_split = self.tiles.len() * n_kv_heads < max_split_units(n_threads);
        for (index, tile) in self.tiles.iter_mut().enumerate() {
            let start = tile.segments.start;
            let end = if is_split && tile.segments.len() > 1 {
                tile.segments.end
            } else {
                tile.shared.end.max(start)
            };
            tile.n_parts = end - start;
            tile.part_row = self.n_part_rows;
            self.n_part_rows += tile.n_parts * n_kv_heads * tile.n_rows(attention);
            for segment in (start..end).filter(|segment| !tile.shared.contains(segment)) {
                self.parts.push(Part {
                    segment,
                    members: self.members.len()..self.members.len() + 1,
                    n_shared: 0,
                });
                self.members.push(index);
            }
        }
    }
}
