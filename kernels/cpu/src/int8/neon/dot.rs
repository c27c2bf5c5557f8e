//! Products of bytes, summed by fours: what instruction sets differ in.

use std::arch::aarch64::*;
use std::arch::asm;

use super::formats::Format;
use super::product::{self, SubBlock};
use crate::int8::Int8Rows;
use crate::int8::layout::PANEL;
use crate::int8::twice::Twice;

/// A way to multiply.
pub(in crate::int8) trait Dot {
    /// [`product::panel`], compiled for what this needs.
    ///
    /// # Safety
    /// The machine has it; `panel` holds `x.k()` values of eight rows; `tile` has as many rows as
    /// `x`.
    unsafe fn panel<F: Format>(
        panel: &[u8],
        x: &Int8Rows,
        tile: &mut [[f32; PANEL]],
        scratch: &mut Vec<u8>,
    );

    /// [`product::again`], likewise.
    ///
    /// # Safety
    /// The machine has it; `twice` and the tile belong to the same rows, and the block is theirs.
    unsafe fn again<F: Format>(
        block: impl SubBlock,
        twice: &Twice,
        sub_idx: usize,
        tile: &mut [[f32; PANEL]],
    );

    /// `sums[row] += Σ codes[row][i] × x[LANE][i]`, four rows, four activations.
    ///
    /// Activations are within ±127, see [`Rounded`](crate::int8::blocks::Rounded).
    ///
    /// # Safety
    /// It is inlined into [`panel`](Self::panel).
    unsafe fn add_four<const LANE: i32>(
        sums: int32x4_t,
        codes: int8x16_t,
        x: int8x16_t,
    ) -> int32x4_t;
}

/// With instructions that every processor has.
pub(in crate::int8) enum Smull {}

impl Dot for Smull {
    #[target_feature(enable = "neon")]
    unsafe fn panel<F: Format>(
        panel: &[u8],
        x: &Int8Rows,
        tile: &mut [[f32; PANEL]],
        scratch: &mut Vec<u8>,
    ) {
        // SAFETY: this function's own condition.
        unsafe { product::panel::<Self, F>(panel, x, tile, scratch) }
    }

    #[target_feature(enable = "neon")]
    unsafe fn again<F: Format>(
        block: impl SubBlock,
        twice: &Twice,
        sub_idx: usize,
        tile: &mut [[f32; PANEL]],
    ) {
        // SAFETY: this function's own condition.
        unsafe { product::again::<Self, F>(block, twice, sub_idx, tile) }
    }

    #[inline(always)]
    unsafe fn add_four<const LANE: i32>(
        sums: int32x4_t,
        codes: int8x16_t,
        x: int8x16_t,
    ) -> int32x4_t {
        // SAFETY: the caller has NEON.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(x)));
            let low = vmull_s8(vget_low_s8(codes), vget_low_s8(x));
            let high = vmull_high_s8(codes, x);
            // 2 × 128 × 127 is just below 2¹⁵.
            vpadalq_s16(sums, vpaddq_s16(low, high))
        }
    }
}

/// With the dot product of four bytes.
pub(in crate::int8) enum Sdot {}

impl Dot for Sdot {
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn panel<F: Format>(
        panel: &[u8],
        x: &Int8Rows,
        tile: &mut [[f32; PANEL]],
        scratch: &mut Vec<u8>,
    ) {
        // SAFETY: this function's own condition.
        unsafe { product::panel::<Self, F>(panel, x, tile, scratch) }
    }

    #[target_feature(enable = "neon,dotprod")]
    unsafe fn again<F: Format>(
        block: impl SubBlock,
        twice: &Twice,
        sub_idx: usize,
        tile: &mut [[f32; PANEL]],
    ) {
        // SAFETY: this function's own condition.
        unsafe { product::again::<Self, F>(block, twice, sub_idx, tile) }
    }

    // The compiler's own name for the instruction is not stable yet.
    #[inline(always)]
    unsafe fn add_four<const LANE: i32>(
        mut sums: int32x4_t,
        codes: int8x16_t,
        x: int8x16_t,
    ) -> int32x4_t {
        // SAFETY: the caller has the instruction, which touches nothing but registers.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {codes:v}.16b, {x:v}.4b[{lane}]",
                sums = inout(vreg) sums,
                codes = in(vreg) codes,
                x = in(vreg) x,
                lane = const LANE,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}
