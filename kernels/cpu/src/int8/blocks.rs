//! Rounded blocks, laid out as kernels read them.

use std::ops::Range;

use super::layout::SUB;
use crate::threads::SharedSlice;

/// Rows that lie interleaved, so that a kernel for that many rows walks along one address.
pub(super) const GROUP: usize = 8;

/// 32 values as `scale × code`.
pub(super) struct Rounded {
    /// Four at a time, as they are stored. Within ±127.
    pub(super) codes: [[i8; 4]; 8],
    pub(super) scale: f32,
    /// Sums of the first and of the second 16 codes.
    pub(super) sums: [i32; 2],
}

/// Codes of a block, four at a time, their scale, and the sums of each 16 rounded values.
pub(super) type Block = ([[i8; 4]; 8], f32, [f32; 2]);

/// Any number of rounded blocks. [`Spot`] says which is where.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Eight words of a block.
    codes: Vec<[i8; 4]>,
    scales: Vec<f32>,
    /// The sums of the rounded values, by 16.
    sums_16: Vec<f32>,
    /// The same by 32.
    sums_32: Vec<f32>,
    /// Minus the sums of the codes, by 16. Where sums of products begin if their weights are larger
    /// by one than they should be.
    starts_16: Vec<i32>,
    /// The same by 32.
    starts_32: Vec<i32>,
}

/// What a group of rows, or one row of the rest, begins with.
#[derive(Clone, Copy)]
#[allow(dead_code)] // Not every instruction set reads all of them.
pub(super) struct Parts<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) sums_16: &'a [f32],
    pub(super) sums_32: &'a [f32],
    pub(super) starts_16: &'a [i32],
    pub(super) starts_32: &'a [i32],
}

impl Blocks {
    /// Makes room for so many. What they hold is not defined.
    pub(super) fn resize(&mut self, n: usize) {
        self.codes.resize(n * SUB / 4, [0; 4]);
        self.scales.resize(n, 0.0);
        self.sums_16.resize(n * 2, 0.0);
        self.sums_32.resize(n, 0.0);
        self.starts_16.resize(n * 2, 0);
        self.starts_32.resize(n, 0);
    }

    /// Everything from a block on: where a group begins, or one row of the rest.
    #[inline(always)]
    pub(super) fn parts(&self, first: usize) -> Parts<'_> {
        Parts {
            codes: self.codes[first * SUB / 4..].as_flattened(),
            scales: &self.scales[first..],
            sums_16: &self.sums_16[2 * first..],
            sums_32: &self.sums_32[first..],
            starts_16: &self.starts_16[2 * first..],
            starts_32: &self.starts_32[first..],
        }
    }

    #[inline(always)]
    pub(super) fn scale(&self, spot: Spot) -> f32 {
        self.scales[spot.at(0, 1)]
    }

    #[inline(always)]
    pub(super) fn get(&self, spot: Spot) -> Block {
        let codes = std::array::from_fn(|s| self.codes[spot.at(s, 8)]);
        let sums = [0, 1].map(|half| self.sums_16[spot.at(half, 2)]);
        (codes, self.scale(spot), sums)
    }

    /// For several threads, which write to blocks of their own.
    pub(super) fn shared(&mut self) -> SharedBlocks<'_> {
        SharedBlocks {
            codes: SharedSlice::new(&mut self.codes),
            scales: SharedSlice::new(&mut self.scales),
            sums_16: SharedSlice::new(&mut self.sums_16),
            sums_32: SharedSlice::new(&mut self.sums_32),
            starts_16: SharedSlice::new(&mut self.starts_16),
            starts_32: SharedSlice::new(&mut self.starts_32),
        }
    }
}

/// [`Blocks`] that several threads write to.
pub(super) struct SharedBlocks<'a> {
    codes: SharedSlice<'a, [i8; 4]>,
    scales: SharedSlice<'a, f32>,
    sums_16: SharedSlice<'a, f32>,
    sums_32: SharedSlice<'a, f32>,
    starts_16: SharedSlice<'a, i32>,
    starts_32: SharedSlice<'a, i32>,
}

impl SharedBlocks<'_> {
    /// # Safety
    /// Nobody else uses this block.
    ///
    /// # Panics
    /// If there is no such block.
    #[inline(always)]
    pub(super) unsafe fn put(&self, spot: Spot, rounded: &Rounded) {
        assert!(spot.at(0, 1) < self.scales.len(), "a block");
        let sums = rounded.sums.map(|sum| rounded.scale * sum as f32);
        // SAFETY: this function's own condition; spots share no element, and what there is of each
        // block is as long as its scale says, checked above.
        unsafe {
            for (s, &four) in rounded.codes.iter().enumerate() {
                self.codes.set(spot.at(s, 8), four);
            }
            self.scales.set(spot.at(0, 1), rounded.scale);
            self.sums_32.set(spot.at(0, 1), sums[0] + sums[1]);
            self.starts_32
                .set(spot.at(0, 1), -rounded.sums[0] - rounded.sums[1]);
            for (half, (sum, count)) in sums.into_iter().zip(rounded.sums).enumerate() {
                self.sums_16.set(spot.at(half, 2), sum);
                self.starts_16.set(spot.at(half, 2), -count);
            }
        }
    }

    /// The scales of a group of rows.
    ///
    /// # Safety
    /// Nobody writes to these blocks.
    #[inline(always)]
    pub(super) unsafe fn scales(&self, blocks: Range<usize>) -> &[f32] {
        // SAFETY: this function's own condition.
        unsafe { self.scales.part(blocks) }
    }
}

/// Where a block of rows is.
///
/// Every eight rows lie interleaved: four codes of each row in turn, one scale of each row in turn.
/// What is left over lies row after row.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Blocks before the one, or before all that it lies interleaved with.
    before: usize,
    /// Which of those it is.
    lane: usize,
    /// From one of its numbers to the next.
    stride: usize,
}

impl Spot {
    /// Of `n` rows with `n_subs` blocks each.
    #[inline(always)]
    pub(super) fn new([n, n_subs]: [usize; 2], row: usize, sub: usize) -> Self {
        let group = row / GROUP * GROUP;
        if n - group >= GROUP {
            Self {
                before: group * n_subs + sub * GROUP,
                lane: row - group,
                stride: GROUP,
            }
        } else {
            Self {
                before: row * n_subs + sub,
                lane: 0,
                stride: 1,
            }
        }
    }

    /// The same where so many blocks come before all of the rows.
    #[inline(always)]
    pub(super) fn behind(self, n: usize) -> Self {
        let before = self.before + n;
        Self { before, ..self }
    }

    /// The place of the `i`-th of the block's numbers, of which it has `len`.
    #[inline(always)]
    fn at(self, i: usize, len: usize) -> usize {
        self.before * len + self.lane + i * self.stride
    }
}
