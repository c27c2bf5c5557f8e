//! Products of a panel with one or many rows of activations.
//!
//! For few rows the codes are unpacked in registers; for many, a part of the panel is unpacked
//! once into memory that stays in the first-level cache. The sums are taken in the same order.
//!
//! Every unsafe function here asks for the same: what its [`Dot`] needs, which [`panel`]'s caller
//! has found; a whole panel of `x.k()` values; and indices inside `x` and the tile. All are inlined
//! into [`Dot::panel`] or [`Dot::again`]: only so they are compiled for the set.
#![allow(unsafe_op_in_unsafe_fn)]
// Vectors of several rows are walked in step.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;
use std::arch::asm;
use std::marker::PhantomData;

use super::dot::Dot;
use super::formats::{Format, FourRows};
use crate::int8::Int8Rows;
use crate::int8::blocks::{GROUP, Parts};
use crate::int8::layout::{PANEL, SUB};
use crate::int8::twice::Twice;
use crate::int8::walk::walk;

// These numbers, and those of `many_rows`, are AVX2's: they were not measured on this architecture.

/// How far ahead memory is asked for, in bytes.
const AHEAD: usize = 4096;
/// Sub-blocks that are unpacked at a time: 24 kB.
const SUBS_AT_A_TIME: usize = 64;

/// Four codes of each of eight rows.
pub(in crate::int8) type Codes = [int8x16_t; 2];
/// A number for each of eight rows.
pub(in crate::int8) type Floats = [float32x4_t; 2];

/// Runs a block of code with each lane of four words as a constant.
macro_rules! for_lanes {
    (|$lane:ident| $body:block) => { for_lanes!([0 1 2 3], |$lane| $body) };
    ([$($index:literal)*], |$lane:ident| $body:block) => {$({
        const $lane: i32 = $index;
        $body
    })*};
}

/// `T` rows of activations: a group where `T` is as large as one, else rows one after the other.
#[derive(Clone, Copy)]
struct Rows<const T: usize> {
    k: usize,
    codes: *const i8,
    scales: *const f32,
    /// By 16 or by 32, as the format's offsets are.
    sums: *const f32,
}

impl<const T: usize> Rows<T> {
    const IS_GROUP: bool = T == GROUP;

    /// `parts` are what the first of the rows begins with, `k` values each.
    #[inline(always)]
    fn new(parts: Parts<'_>, k: usize, sixteenths: bool) -> Self {
        let sums = if sixteenths {
            parts.sums_16
        } else {
            parts.sums_32
        };
        Self {
            k,
            codes: parts.codes.as_ptr(),
            scales: parts.scales.as_ptr(),
            sums: sums.as_ptr(),
        }
    }

    /// Of a group: the `s`-th four codes of four rows, the first ones or the second.
    #[inline(always)]
    unsafe fn four_rows(&self, which: usize, sub: usize, s: usize) -> int8x16_t {
        vld1q_s8(self.codes.add(((sub * 8 + s) * GROUP + 4 * which) * 4))
    }

    /// Of rows one after the other: 16 codes, a half of a sub-block.
    #[inline(always)]
    unsafe fn sixteen(&self, t: usize, sub: usize, half: usize) -> int8x16_t {
        vld1q_s8(self.codes.add(t * self.k + sub * SUB + 16 * half))
    }

    #[inline(always)]
    unsafe fn scale(&self, t: usize, sub: usize) -> f32 {
        self.float(self.scales, t, sub, SUB)
    }

    /// The `i`-th sum over `len` values.
    #[inline(always)]
    unsafe fn sum(&self, t: usize, i: usize, len: usize) -> f32 {
        self.float(self.sums, t, i, len)
    }

    #[inline(always)]
    unsafe fn float(&self, floats: *const f32, t: usize, i: usize, len: usize) -> f32 {
        let at = if Self::IS_GROUP {
            i * GROUP + t
        } else {
            t * (self.k / len) + i
        };
        *floats.add(at)
    }
}

/// How many rows of activations make it worthwhile to unpack to memory.
const fn many_rows<F: Format>() -> usize {
    // Whole bytes are stored as they are: there is little to gain.
    let whole_bytes = F::LAYOUT.words * 4 == F::LAYOUT.chunk_len;
    if whole_bytes { 17 } else { GROUP }
}

/// # Safety
/// The machine has what `D` needs; `panel` holds `x.k()` values of eight rows; `tile` has as many
/// rows as `x`.
#[inline(always)]
pub(super) unsafe fn panel<D: Dot, F: Format>(
    panel: &[u8],
    x: &Int8Rows,
    tile: &mut [[f32; PANEL]],
    scratch: &mut Vec<u8>,
) {
    match x.n() {
        1 => few::<D, F, 1>(panel, x, tile),
        n if n < many_rows::<F>() => groups::<D, F>(panel, x, tile),
        _ => many::<D, F>(panel, x, tile, scratch),
    }
}

#[inline(always)]
unsafe fn zero() -> Floats {
    [vdupq_n_f32(0.0); 2]
}

#[inline(always)]
unsafe fn load(row: &[f32; PANEL]) -> Floats {
    [vld1q_f32(row.as_ptr()), vld1q_f32(row.as_ptr().add(4))]
}

#[inline(always)]
unsafe fn store(row: &mut [f32; PANEL], floats: Floats) {
    vst1q_f32(row.as_mut_ptr(), floats[0]);
    vst1q_f32(row.as_mut_ptr().add(4), floats[1]);
}

#[inline(always)]
unsafe fn plus(a: Floats, b: Floats) -> Floats {
    [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])]
}

/// 32 values of eight rows, packed or unpacked.
pub(in crate::int8) trait SubBlock: Copy {
    /// Values `4 s .. 4 s + 4`.
    unsafe fn codes(self, s: usize) -> Codes;
    /// Scale and offset of a half.
    unsafe fn scale(self, half: usize) -> (Floats, Floats);
}

/// In the middle of a chunk.
struct Packed<F> {
    rows: [FourRows; 2],
    sub: usize,
    format: PhantomData<F>,
}

impl<F: Format> Packed<F> {
    #[inline(always)]
    fn new(chunk: &[u8], sub: usize) -> Self {
        let chunk = chunk.as_ptr();
        Self {
            rows: [0, 1].map(|which| FourRows { chunk, which }),
            sub,
            format: PhantomData,
        }
    }

    /// Asks for the part of the panel (or of the next one) that is [`AHEAD`] of this one.
    #[inline(always)]
    unsafe fn prefetch(self) {
        let len = F::LAYOUT.chunk_bytes() / F::LAYOUT.subs();
        let place = self.rows[0].chunk.wrapping_add(AHEAD + self.sub * len);
        let mut at = 0;
        while at < len {
            let line = place.wrapping_add(at);
            asm!("prfm pldl1keep, [{}]", in(reg) line, options(nomem, nostack, preserves_flags));
            at += 64;
        }
    }
}

impl<F> Clone for Packed<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Packed<F> {}

impl<F: Format> SubBlock for Packed<F> {
    #[inline(always)]
    unsafe fn codes(self, s: usize) -> Codes {
        let [a, b] = self.rows;
        [F::codes(a, self.sub, s), F::codes(b, self.sub, s)]
    }

    #[inline(always)]
    unsafe fn scale(self, half: usize) -> (Floats, Floats) {
        let ([a, b], sub) = (self.rows, self.sub);
        let scale = [F::scale(a, sub, half), F::scale(b, sub, half)];
        let offset = [
            F::offset(a, sub, half, scale[0]),
            F::offset(b, sub, half, scale[1]),
        ];
        (scale, offset)
    }
}

walk! {
    #[inline(always)]
    set: [D: Dot],
    panel: PANEL,
    block: impl SubBlock,
    again: D::again::<F>,
    rows: [
        8: some_rows::<D, F, 8>,
        4: some_rows::<D, F, 4>,
        3: some_rows::<D, F, 3>,
        2: some_rows::<D, F, 2>,
        1: some_rows::<D, F, 1>,
    ],
}

/// Adds what 32 values contribute to the sums of `T` rows. Each vector of codes is made once.
#[inline(always)]
unsafe fn add<D: Dot, F: Format, const T: usize>(
    sums: &mut [Floats; T],
    block: impl SubBlock,
    rows: &Rows<T>,
    sub_idx: usize,
) {
    let n_scales = if F::SIXTEENTHS { 2 } else { 1 };
    let halves_per_scale = 2 / n_scales;
    for i in 0..n_scales {
        let mut dots = [[vdupq_n_s32(0); 2]; T];
        for half in i * halves_per_scale..(i + 1) * halves_per_scale {
            add_half::<D, T>(&mut dots, block, rows, (sub_idx, half));
        }
        let (scale, offset) = block.scale(i);
        for t in 0..T {
            let x_scale = rows.scale(t, sub_idx);
            for four in 0..2 {
                let dots = vmulq_n_f32(vcvtq_f32_s32(dots[t][four]), x_scale);
                sums[t][four] = vfmaq_f32(sums[t][four], dots, scale[four]);
            }
            if F::OFFSET {
                let x = rows.sum(t, n_scales * sub_idx + i, SUB / n_scales);
                for four in 0..2 {
                    sums[t][four] = vfmaq_n_f32(sums[t][four], offset[four], x);
                }
            }
        }
    }
}

/// Adds the products of 16 codes.
#[inline(always)]
unsafe fn add_half<D: Dot, const T: usize>(
    dots: &mut [[int32x4_t; 2]; T],
    block: impl SubBlock,
    rows: &Rows<T>,
    (sub, half): (usize, usize),
) {
    if Rows::<T>::IS_GROUP {
        for s in 4 * half..4 * half + 4 {
            let codes = block.codes(s);
            for four in 0..T / 4 {
                let x = rows.four_rows(four, sub, s);
                for_lanes!(|ROW| {
                    let dots = &mut dots[4 * four + ROW as usize];
                    dots[0] = D::add_four::<ROW>(dots[0], codes[0], x);
                    dots[1] = D::add_four::<ROW>(dots[1], codes[1], x);
                });
            }
        }
    } else {
        let mut x = [vdupq_n_s8(0); T];
        for t in 0..T {
            x[t] = rows.sixteen(t, sub, half);
        }
        for_lanes!(|S| {
            let codes = block.codes(4 * half + S as usize);
            for t in 0..T {
                dots[t][0] = D::add_four::<S>(dots[t][0], codes[0], x[t]);
                dots[t][1] = D::add_four::<S>(dots[t][1], codes[1], x[t]);
            }
        });
    }
}

/// In memory, made ready.
#[repr(C, align(64))]
struct Unpacked {
    /// `[s][four rows]`
    codes: [[[i8; 16]; 2]; 8],
    /// `[half][row]`
    scales: [[f32; PANEL]; 2],
    /// `[half][row]`
    offsets: [[f32; PANEL]; 2],
}

impl SubBlock for &Unpacked {
    #[inline(always)]
    unsafe fn codes(self, s: usize) -> Codes {
        let [a, b] = &self.codes[s];
        [vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr())]
    }

    #[inline(always)]
    unsafe fn scale(self, half: usize) -> (Floats, Floats) {
        (load(&self.scales[half]), load(&self.offsets[half]))
    }
}

/// A panel and many rows.
#[inline(always)]
unsafe fn many<D: Dot, F: Format>(
    panel: &[u8],
    x: &Int8Rows,
    tile: &mut [[f32; PANEL]],
    scratch: &mut Vec<u8>,
) {
    let unpacked_bytes = (SUBS_AT_A_TIME + 1) * size_of::<Unpacked>();
    scratch.resize(unpacked_bytes + (x.n() + 1) * size_of::<[f32; PANEL]>(), 0);
    let (unpacked, again_tile) = scratch.split_at_mut(unpacked_bytes);
    // Any bytes are codes and floats.
    let unpacked = unpacked.align_to_mut::<Unpacked>().1;
    let again_tile = &mut again_tile.align_to_mut::<[f32; PANEL]>().1[..x.n()];
    tile.as_flattened_mut().fill(0.0);
    again_tile.as_flattened_mut().fill(0.0);
    let chunks_at_a_time = SUBS_AT_A_TIME / F::LAYOUT.subs();
    let parts = panel.chunks(chunks_at_a_time * F::LAYOUT.chunk_bytes());
    for (i, part) in parts.enumerate() {
        let blocks = unpack::<F>(part, unpacked);
        let first = i * SUBS_AT_A_TIME;
        for (sub, block) in blocks.iter().enumerate() {
            D::again::<F>(block, x.twice(), first + sub, again_tile);
        }
        let mut n = 0;
        while n < x.n() {
            n += match x.n() - n {
                1 => add_rows::<D, F, 1>(blocks, first, x, n, tile),
                2 => add_rows::<D, F, 2>(blocks, first, x, n, tile),
                3 => add_rows::<D, F, 3>(blocks, first, x, n, tile),
                4..GROUP => add_rows::<D, F, 4>(blocks, first, x, n, tile),
                _ => add_rows::<D, F, GROUP>(blocks, first, x, n, tile),
            };
        }
    }
    for (tile, again) in tile.iter_mut().zip(again_tile) {
        store(tile, plus(load(tile), load(again)));
    }
}

#[inline(always)]
unsafe fn unpack<'a, F: Format>(part: &[u8], unpacked: &'a mut [Unpacked]) -> &'a [Unpacked] {
    let n_subs = F::LAYOUT.subs();
    let mut n = 0;
    for chunk in part.chunks_exact(F::LAYOUT.chunk_bytes()) {
        for sub in 0..n_subs {
            let (from, to) = (Packed::<F>::new(chunk, sub), &mut unpacked[n]);
            from.prefetch();
            for (s, [a, b]) in to.codes.iter_mut().enumerate() {
                let codes = from.codes(s);
                vst1q_s8(a.as_mut_ptr(), codes[0]);
                vst1q_s8(b.as_mut_ptr(), codes[1]);
            }
            for half in 0..if F::SIXTEENTHS { 2 } else { 1 } {
                let (scale, offset) = from.scale(half);
                store(&mut to.scales[half], scale);
                store(&mut to.offsets[half], offset);
            }
            n += 1;
        }
    }
    &unpacked[..n]
}

/// `T` rows of activations from `row` on, added to the tile. Returns `T`.
#[inline(always)]
unsafe fn add_rows<D: Dot, F: Format, const T: usize>(
    blocks: &[Unpacked],
    first_sub: usize,
    x: &Int8Rows,
    row: usize,
    tile: &mut [[f32; PANEL]],
) -> usize {
    let rows = Rows::<T>::new(x.parts(row), x.k(), F::SIXTEENTHS);
    let tile = &mut tile[row..row + T];
    // Added to those of the parts of the panel before this one.
    let mut sums = [[vdupq_n_f32(0.0); 2]; T];
    for t in 0..T {
        sums[t] = load(&tile[t]);
    }
    for (sub, block) in blocks.iter().enumerate() {
        add::<D, F, T>(&mut sums, block, &rows, first_sub + sub);
    }
    for (tile, sum) in tile.iter_mut().zip(sums) {
        store(tile, sum);
    }
    T
}
