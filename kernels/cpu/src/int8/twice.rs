//! Blocks of activations that are rounded a second time.
//!
//! Some tokens, the first of a text above all, have a few activations that are hundreds of times
//! larger than the others (Sun et al. 2024, <https://arxiv.org/abs/2402.17762>). Whatever else is in
//! a block with one of them is lost when the block is rounded to its scale, and every later token
//! attends to these. So what rounding took from such a block is rounded in turn, to a scale of its
//! own, and its product is added to that of the row.
//!
//! Such blocks lie by their place in the row, so that a kernel which has the weights of that place
//! at hand multiplies them with all of them, of whatever rows they are: eight at a time, which lie
//! interleaved like a group of eight rows. Their products are added up apart from those of the first
//! rounding, in the order of places, and the two sums of a row are added at the end. So it makes no
//! difference what else is computed between them.
//!
//! 1. [`Twice::find`] counts them, for each group of rows.
//! 2. [`Twice::make_room`] gives each group its places.
//! 3. [`Twice::again`] rounds them.

use std::ops::Range;

use super::blocks::{Block, Blocks, GROUP, Parts, Rounded, SharedBlocks, Spot};
use crate::threads::SharedSlice;

/// A block is rounded twice if its largest value is so many times that of the row's other blocks,
/// on the average.
///
/// The lower, the more exact and the slower. At 1.5 three in ten blocks of SmolLM2 are, and its
/// logits are half as far from those of exact activations as at 4, where one in fifty is. That is
/// what it takes for a small model to give the same answers.
const OUTWEIGHS: f32 = 1.5;

/// What the first rounding took, as `scale × code`.
#[derive(Debug, Default)]
pub(super) struct Twice {
    /// `[n]`: blocks with a larger scale are rounded twice.
    limits: Vec<f32>,
    /// `[groups, k / 32]`: how many there are, then which is the first.
    counts: Vec<usize>,
    /// `[k / 32 + 1]`: the first with this place in its row.
    starts: Vec<usize>,
    /// The row of each block.
    rows: Vec<u32>,
    /// By place in the row, then by row. Those of a place lie like rows of one block.
    blocks: Blocks,
}

impl Twice {
    /// To look for the blocks of `[n, n_subs]`.
    pub(super) fn find(&mut self, [n, n_subs]: [usize; 2]) -> Find<'_> {
        self.limits.resize(n, 0.0);
        self.counts.resize(n.div_ceil(GROUP) * n_subs, 0);
        Find {
            n_subs,
            limits: SharedSlice::new(&mut self.limits),
            counts: SharedSlice::new(&mut self.counts),
        }
    }

    /// Gives every block that was found its place, and returns how many there are.
    pub(super) fn make_room(&mut self, [n, n_subs]: [usize; 2]) -> usize {
        let mut total = 0;
        self.starts.clear();
        for sub in 0..n_subs {
            self.starts.push(total);
            for group in 0..n.div_ceil(GROUP) {
                let first = &mut self.counts[group * n_subs + sub];
                total += std::mem::replace(first, total);
            }
        }
        self.starts.push(total);
        self.rows.resize(total, 0);
        self.blocks.resize(total);
        total
    }

    /// To round the blocks that were found.
    pub(super) fn again(&mut self) -> Again<'_> {
        Again {
            n_subs: self.starts.len() - 1,
            limits: &self.limits,
            firsts: &self.counts,
            starts: &self.starts,
            rows: SharedSlice::new(&mut self.rows),
            blocks: self.blocks.shared(),
        }
    }

    /// The blocks at a place in the row: groups of eight and the rest, by row.
    #[inline(always)]
    pub(super) fn at(&self, sub: usize) -> Range<usize> {
        self.starts[sub]..self.starts[sub + 1]
    }

    /// Whether the first of these blocks is that of a row, of `n` in all.
    #[inline(always)]
    pub(super) fn next_is(&self, blocks: &Range<usize>, row: usize, n: usize) -> bool {
        !blocks.is_empty() && (n == 1 || self.rows[blocks.start] as usize == row)
    }

    /// The row of each block.
    #[inline(always)]
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Everything from a block on, as if every block were a row: the first of a group, or one of the
    /// rest.
    #[inline(always)]
    pub(super) fn parts(&self, first: usize) -> Parts<'_> {
        self.blocks.parts(first)
    }

    /// The blocks at a place in the row, each with its row.
    pub(super) fn get(&self, sub: usize) -> impl Iterator<Item = (usize, Block)> {
        let blocks = self.at(sub);
        let shape = [blocks.len(), 1];
        blocks.clone().enumerate().map(move |(i, block)| {
            let spot = Spot::new(shape, i, 0).behind(blocks.start);
            (self.rows[block] as usize, self.blocks.get(spot))
        })
    }
}

/// Looks for blocks that outweigh their rows.
pub(super) struct Find<'a> {
    n_subs: usize,
    limits: SharedSlice<'a, f32>,
    counts: SharedSlice<'a, usize>,
}

impl Find<'_> {
    /// Counts those of a group, or of the rest, whose scales these are.
    ///
    /// # Safety
    /// Nobody else has this group.
    #[inline(always)]
    pub(super) unsafe fn count(&self, group: usize, scales: &[f32]) {
        let (first, n) = (group * GROUP, scales.len() / self.n_subs.max(1));
        // SAFETY: this function's own condition.
        let (limits, counts) = unsafe {
            (
                self.limits.part(first..first + n),
                self.counts
                    .part(group * self.n_subs..(group + 1) * self.n_subs),
            )
        };
        if n == GROUP {
            let scales = scales.as_chunks::<GROUP>().0;
            let own = limits_of(scales);
            limits.copy_from_slice(&own);
            for (count, scales) in counts.iter_mut().zip(scales) {
                *count = (0..GROUP).filter(|&row| scales[row] > own[row]).count();
            }
        } else {
            counts.fill(0);
            for (limit, scales) in limits.iter_mut().zip(scales.chunks(self.n_subs)) {
                [*limit] = limits_of(scales.as_chunks::<1>().0);
                for (count, &scale) in counts.iter_mut().zip(scales) {
                    *count += usize::from(scale > *limit);
                }
            }
        }
    }
}

/// Rounds blocks a second time.
pub(super) struct Again<'a> {
    n_subs: usize,
    limits: &'a [f32],
    /// `[groups, k / 32]`
    firsts: &'a [usize],
    starts: &'a [usize],
    rows: SharedSlice<'a, u32>,
    blocks: SharedBlocks<'a>,
}

impl Again<'_> {
    /// Whether a block with this scale, after the first rounding, is rounded again.
    #[inline(always)]
    pub(super) fn is_due(&self, row: usize, scale: f32) -> bool {
        scale > self.limits[row]
    }

    /// Where the blocks of a group go that have a place in the row.
    #[inline(always)]
    pub(super) fn places(&self, group: usize, sub: usize) -> Places<'_> {
        Places {
            next: self.firsts[group * self.n_subs + sub],
            all: self.starts[sub]..self.starts[sub + 1],
            rows: &self.rows,
            blocks: &self.blocks,
        }
    }
}

/// Where the blocks of a group go, row by row.
pub(super) struct Places<'a> {
    next: usize,
    all: Range<usize>,
    rows: &'a SharedSlice<'a, u32>,
    blocks: &'a SharedBlocks<'a>,
}

impl Places<'_> {
    /// # Safety
    /// Nobody else has the group, and the block is one of those that were counted.
    #[inline(always)]
    pub(super) unsafe fn put(&mut self, row: usize, rounded: &Rounded) {
        let spot = Spot::new([self.all.len(), 1], self.next - self.all.start, 0);
        // SAFETY: each block that was counted has a place of its own.
        unsafe {
            self.blocks.put(spot.behind(self.all.start), rounded);
            self.rows.set(self.next, row as u32);
        }
        self.next += 1;
    }
}

/// The scales above which blocks of rows are rounded twice; `scales` are those of their blocks.
///
/// The average is taken over what is left when the blocks above the limit are out, until none is:
/// one enormous value does not hide another that is merely large.
#[inline(always)]
fn limits_of<const ROWS: usize>(scales: &[[f32; ROWS]]) -> [f32; ROWS] {
    let mut limits = [f32::INFINITY; ROWS];
    loop {
        let (sums, counts) = below(scales, &limits);
        let mut done = true;
        for row in 0..ROWS {
            let lower = OUTWEIGHS * sums[row] / counts[row];
            // Not where there is nothing, or no number, to compare with.
            if lower < limits[row] {
                limits[row] = lower;
                done = false;
            }
        }
        if done {
            return limits;
        }
    }
}

/// The sum of each row's scales below its limit, and how many they are.
#[inline(always)]
fn below<const ROWS: usize>(
    scales: &[[f32; ROWS]],
    limits: &[f32; ROWS],
) -> ([f32; ROWS], [f32; ROWS]) {
    /// Partial sums, so that the compiler may use vectors: as many for any number of rows.
    const LANES: usize = 4;
    let mut sums = [[0.0f32; ROWS]; LANES];
    let mut counts = [[0.0f32; ROWS]; LANES];
    let (fours, rest) = scales.as_chunks::<LANES>();
    let mut last = [[0.0; ROWS]; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for scales in fours.iter().chain([&last]) {
        for lane in 0..LANES {
            for row in 0..ROWS {
                let scale = scales[lane][row];
                let small = (scale > 0.0) & (scale < limits[row]);
                sums[lane][row] += if small { scale } else { 0.0 };
                counts[lane][row] += if small { 1.0 } else { 0.0 };
            }
        }
    }
    let total = |lanes: [[f32; ROWS]; LANES]| {
        std::array::from_fn(|row| (lanes[0][row] + lanes[1][row]) + (lanes[2][row] + lanes[3][row]))
    };
    (total(sums), total(counts))
}
