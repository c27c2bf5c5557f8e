//! Blocks of activations that are rounded a second time.
//!
//! Some tokens, the first of a text above all, have a few activations that are hundreds of times
//! larger than the others (Sun et al. 2024, <https://arxiv.org/abs/2402.17762>). Whatever else is in
//! a block with one of them is lost when the block is rounded to its scale, and every later token
//! attends to these. So what rounding took from such a block is rounded in turn, to a scale of its
//! own, and its product is added to that of the row. This costs as much as one more block.

use super::layout::SUB;
use super::rows::{Parts, Rounded};

/// A block is rounded twice if its largest value is so many times that of the row's other blocks,
/// on the average.
///
/// The lower, the more exact and the slower. At 1.5 three in ten blocks of SmolLM2 are, and its
/// logits are half as far from those of exact activations as at 4, where one in fifty is. That is
/// what it takes for a small model to give the same answers.
const OUTWEIGHS: f32 = 1.5;

/// Where a block is among the activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: usize,
    /// Which 32 values.
    pub(super) sub: usize,
}

/// What the first rounding took, as `scale × code`.
#[derive(Debug, Default)]
pub(super) struct Twice {
    /// By row, then by place in the row.
    places: Vec<Place>,
    codes: Vec<[i8; SUB]>,
    scales: Vec<f32>,
    /// The sums of the rounded values, by 16.
    sums_16: Vec<[f32; 2]>,
    /// The same by 32.
    sums_32: Vec<f32>,
    /// Minus the sums of the codes, by 16.
    starts_16: Vec<[i32; 2]>,
    /// The same by 32.
    starts_32: Vec<i32>,
}

impl Twice {
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.codes.clear();
        self.scales.clear();
        self.sums_16.clear();
        self.sums_32.clear();
        self.starts_16.clear();
        self.starts_32.clear();
    }

    pub(super) fn push(&mut self, place: Place, rounded: &Rounded) {
        let sums = rounded.sums.map(|sum| rounded.scale * sum as f32);
        self.places.push(place);
        let mut codes = [0; SUB];
        codes.copy_from_slice(rounded.codes.as_flattened());
        self.codes.push(codes);
        self.scales.push(rounded.scale);
        self.sums_16.push(sums);
        self.sums_32.push(sums[0] + sums[1]);
        self.starts_16.push(rounded.sums.map(|sum| -sum));
        self.starts_32.push(-rounded.sums[0] - rounded.sums[1]);
    }

    /// Every block, as if it were a row of its own.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (Place, Parts<'_>)> {
        self.places.iter().enumerate().map(|(i, &place)| {
            let parts = Parts {
                codes: &self.codes[i],
                scales: &self.scales[i..],
                sums_16: &self.sums_16[i],
                sums_32: &self.sums_32[i..],
                starts_16: &self.starts_16[i],
                starts_32: &self.starts_32[i..],
            };
            (place, parts)
        })
    }
}

/// The scale from which a block of a row is rounded twice; `scales` are those of its blocks.
///
/// The average is taken over what is left when the blocks above the limit are out, until none is:
/// one enormous value does not hide another that is merely large.
pub(super) fn limit(scales: impl Iterator<Item = f32> + Clone) -> f32 {
    let mut limit = f32::INFINITY;
    loop {
        let small = scales.clone().filter(|&scale| scale > 0.0 && scale < limit);
        let (sum, n) = small.fold((0.0, 0), |(sum, n), scale| (sum + scale, n + 1));
        let lower = OUTWEIGHS * sum / n as f32;
        // Also where there is nothing, or no number, to compare with.
        if n == 0 || lower.is_nan() || lower >= limit {
            return limit;
        }
        limit = lower;
    }
}
