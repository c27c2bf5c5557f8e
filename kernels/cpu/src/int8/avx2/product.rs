//! Products of a panel with one or many rows of activations.
//!
//! For few rows the codes are unpacked in registers; for many, a part of the panel is unpacked
//! once into memory that stays in the first-level cache. The sums are taken in the same order.
//!
//! Every unsafe function here asks for the same: AVX2, FMA and F16C, which [`panel`]'s caller has
//! found; a whole panel of `x.k()` values; and indices inside `x` and the tile.
#![allow(unsafe_op_in_unsafe_fn)]
// Vectors of several rows are walked in step.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::dot::Dot;
use super::formats::Format;
use crate::int8::Int8Rows;
use crate::int8::blocks::{GROUP, Parts};
use crate::int8::layout::{PANEL, SUB};
use crate::int8::twice::Twice;
use crate::int8::walk::walk;

/// How far ahead memory is asked for, in bytes.
const AHEAD: usize = 16384;
/// Sub-blocks that are unpacked at a time: 16 kB of codes, half of a first-level cache.
const SUBS_AT_A_TIME: usize = 64;

/// `T` rows of activations: a group where `T` is as large as one, else rows one after the other.
#[derive(Clone, Copy)]
pub(in crate::int8) struct Rows<const T: usize> {
    k: usize,
    codes: *const i8,
    scales: *const f32,
    /// By 16 or by 32, as the format's offsets are.
    sums: *const f32,
}

impl<const T: usize> Rows<T> {
    /// `parts` are what the first of the rows begins with, `k` values each.
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

    /// The `s`-th four codes of row `t` in a sub-block.
    #[inline(always)]
    pub(super) unsafe fn four(&self, t: usize, sub: usize, s: usize) -> __m256i {
        let at = if T == GROUP {
            ((sub * 8 + s) * GROUP + t) * 4
        } else {
            t * self.k + sub * SUB + 4 * s
        };
        _mm256_set1_epi32(self.codes.add(at).cast::<i32>().read_unaligned())
    }

    #[inline(always)]
    unsafe fn scale(&self, t: usize, sub: usize) -> __m256 {
        self.float(self.scales, t, sub, SUB)
    }

    /// The `i`-th sum over `len` values.
    #[inline(always)]
    unsafe fn sum(&self, t: usize, i: usize, len: usize) -> __m256 {
        self.float(self.sums, t, i, len)
    }

    #[inline(always)]
    unsafe fn float(&self, floats: *const f32, t: usize, i: usize, len: usize) -> __m256 {
        let at = if T == GROUP {
            i * GROUP + t
        } else {
            t * (self.k / len) + i
        };
        _mm256_set1_ps(*floats.add(at))
    }
}

/// How many rows of activations make it worthwhile to unpack to memory.
const fn many_rows<F: Format>() -> usize {
    // Whole bytes are stored as they are: there is little to gain.
    let whole_bytes = F::LAYOUT.words * 4 == F::LAYOUT.chunk_len;
    if whole_bytes { 17 } else { GROUP }
}

/// # Safety
/// The machine has AVX2, FMA and F16C; `panel` holds `x.k()` values of eight rows; `tile` has as
/// many rows as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
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

/// 32 values of eight rows, packed or unpacked.
pub(in crate::int8) trait SubBlock: Copy {
    unsafe fn codes(self, s: usize) -> __m256i;
    /// Scale and offset of a half.
    unsafe fn scale(self, half: usize) -> (__m256, __m256);
}

/// In the middle of a chunk.
struct Packed<F> {
    chunk: *const u8,
    sub: usize,
    format: PhantomData<F>,
}

impl<F> Clone for Packed<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Packed<F> {}

impl<F: Format> Packed<F> {
    #[inline(always)]
    fn new(chunk: &[u8], sub: usize) -> Self {
        Self {
            chunk: chunk.as_ptr(),
            sub,
            format: PhantomData,
        }
    }

    /// Asks for the part of the panel (or of the next one) that is [`AHEAD`] of this one: the
    /// processor's own prefetching loses the thread in the headers and stops at pages.
    #[inline(always)]
    unsafe fn prefetch(self) {
        let len = F::LAYOUT.chunk_bytes() / F::LAYOUT.subs();
        let place = self.chunk.wrapping_add(AHEAD + self.sub * len);
        let mut at = 0;
        while at < len {
            _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(at).cast());
            at += 64;
        }
    }
}

impl<F: Format> SubBlock for Packed<F> {
    #[inline(always)]
    unsafe fn codes(self, s: usize) -> __m256i {
        F::codes(self.chunk, self.sub, s)
    }

    #[inline(always)]
    unsafe fn scale(self, half: usize) -> (__m256, __m256) {
        let scale = F::scale(self.chunk, self.sub, half);
        (scale, F::offset(self.chunk, self.sub, half, scale))
    }
}

walk! {
    #[target_feature(enable = "avx2,fma,f16c")]
    set: [D: Dot],
    panel: PANEL,
    block: impl SubBlock,
    again: again::<D, F>,
    rows: [
        8: some_rows::<D, F, 8>,
        4: some_rows::<D, F, 4>,
        3: some_rows::<D, F, 3>,
        2: some_rows::<D, F, 2>,
        1: some_rows::<D, F, 1>,
    ],
}

#[inline(always)]
unsafe fn zero() -> __m256 {
    _mm256_setzero_ps()
}

#[inline(always)]
unsafe fn load(row: &[f32; PANEL]) -> __m256 {
    _mm256_loadu_ps(row.as_ptr())
}

#[inline(always)]
unsafe fn store(row: &mut [f32; PANEL], sums: __m256) {
    _mm256_storeu_ps(row.as_mut_ptr(), sums);
}

#[inline(always)]
unsafe fn plus(a: __m256, b: __m256) -> __m256 {
    _mm256_add_ps(a, b)
}

/// Adds what 32 values contribute to the sums of `T` rows. Each vector of codes is made once.
#[inline(always)]
unsafe fn add<D: Dot, F: Format, const T: usize>(
    sums: &mut [__m256; T],
    block: impl SubBlock,
    rows: &Rows<T>,
    sub_idx: usize,
) {
    let n_halves = if F::SIXTEENTHS { 2 } else { 1 };
    let per_half = 8 / n_halves;
    for half in 0..n_halves {
        let dots = D::dots::<F, T>(block, rows, sub_idx, half * per_half..(half + 1) * per_half);
        let (scale, offset) = block.scale(half);
        for t in 0..T {
            let dots = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[t]), rows.scale(t, sub_idx));
            sums[t] = _mm256_fmadd_ps(dots, scale, sums[t]);
            if F::OFFSET {
                let x = if F::SIXTEENTHS {
                    rows.sum(t, 2 * sub_idx + half, 16)
                } else {
                    rows.sum(t, sub_idx, SUB)
                };
                sums[t] = _mm256_fmadd_ps(x, offset, sums[t]);
            }
        }
    }
}

/// A part of a panel, unpacked.
struct Unpacked<'a> {
    /// Eight vectors per sub-block.
    codes: &'a mut [[u8; 32 * 8]],
    /// `[sub][half][row]`
    scales: &'a mut [[[f32; PANEL]; 2]],
    /// `[sub][half][row]`
    offsets: &'a mut [[[f32; PANEL]; 2]],
}

impl Unpacked<'_> {
    #[inline(always)]
    unsafe fn block(&self, sub: usize) -> Ready<'_> {
        Ready {
            codes: self.codes.get_unchecked(sub),
            scales: self.scales.get_unchecked(sub),
            offsets: self.offsets.get_unchecked(sub),
        }
    }
}

const CODE_BYTES: usize = SUBS_AT_A_TIME * 32 * 8;
const SCALE_BYTES: usize = SUBS_AT_A_TIME * 2 * PANEL * 4;

impl<'a> Unpacked<'a> {
    /// And a tile of `n` rows.
    fn new(scratch: &'a mut Vec<u8>, n: usize) -> (Self, &'a mut [[f32; PANEL]]) {
        let tile_bytes = n * PANEL * 4;
        scratch.resize(CODE_BYTES + 2 * SCALE_BYTES + tile_bytes + 32, 0);
        let aligned = scratch.as_ptr().align_offset(32);
        let (codes, rest) = scratch[aligned..].split_at_mut(CODE_BYTES);
        let (scales, rest) = rest.split_at_mut(SCALE_BYTES);
        let (offsets, rest) = rest.split_at_mut(SCALE_BYTES);
        let unpacked = Self {
            codes: codes.as_chunks_mut().0,
            scales: floats(scales).as_chunks_mut().0,
            offsets: floats(offsets).as_chunks_mut().0,
        };
        (unpacked, floats(&mut rest[..tile_bytes]))
    }
}

/// Bytes as rows of a panel.
fn floats(bytes: &mut [u8]) -> &mut [[f32; PANEL]] {
    // SAFETY: any bytes are floats.
    let (before, floats, _) = unsafe { bytes.align_to_mut() };
    debug_assert!(before.is_empty(), "the slices begin at multiples of 32");
    floats
}

/// A panel and many rows.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn many<D: Dot, F: Format>(
    panel: &[u8],
    x: &Int8Rows,
    tile: &mut [[f32; PANEL]],
    scratch: &mut Vec<u8>,
) {
    let layout = F::LAYOUT;
    let (mut unpacked, again_tile) = Unpacked::new(scratch, x.n());
    tile.as_flattened_mut().fill(0.0);
    again_tile.as_flattened_mut().fill(0.0);
    let chunks_at_a_time = SUBS_AT_A_TIME / layout.subs();
    let parts = panel.chunks(chunks_at_a_time * layout.chunk_bytes());
    for (i, part) in parts.enumerate() {
        let n_subs = unpack::<F>(part, &mut unpacked);
        let first = i * SUBS_AT_A_TIME;
        for sub in 0..n_subs {
            again::<D, F>(unpacked.block(sub), x.twice(), first + sub, again_tile);
        }
        let mut n = 0;
        while n < x.n() {
            n += match x.n() - n {
                1 => rows::<D, F, 1>(&unpacked, n_subs, first, x, n, tile),
                2 => rows::<D, F, 2>(&unpacked, n_subs, first, x, n, tile),
                3 => rows::<D, F, 3>(&unpacked, n_subs, first, x, n, tile),
                4..8 => rows::<D, F, 4>(&unpacked, n_subs, first, x, n, tile),
                _ => rows::<D, F, GROUP>(&unpacked, n_subs, first, x, n, tile),
            };
        }
    }
    for (tile, again) in tile.iter_mut().zip(again_tile) {
        store(tile, plus(load(tile), load(again)));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack<F: Format>(part: &[u8], unpacked: &mut Unpacked<'_>) -> usize {
    let mut n = 0;
    for chunk in part.chunks_exact(F::LAYOUT.chunk_bytes()) {
        for sub in 0..F::LAYOUT.subs() {
            let block = Packed::<F>::new(chunk, sub);
            block.prefetch();
            let to = unpacked.codes[n].as_mut_ptr().cast::<__m256i>();
            for s in 0..8 {
                _mm256_store_si256(to.add(s), block.codes(s));
            }
            for half in 0..if F::SIXTEENTHS { 2 } else { 1 } {
                let (scale, offset) = block.scale(half);
                _mm256_storeu_ps(unpacked.scales[n][half].as_mut_ptr(), scale);
                _mm256_storeu_ps(unpacked.offsets[n][half].as_mut_ptr(), offset);
            }
            n += 1;
        }
    }
    n
}

/// In memory, codes made ready.
#[derive(Clone, Copy)]
struct Ready<'a> {
    codes: &'a [u8; 32 * 8],
    scales: &'a [[f32; PANEL]; 2],
    offsets: &'a [[f32; PANEL]; 2],
}

impl SubBlock for Ready<'_> {
    #[inline(always)]
    unsafe fn codes(self, s: usize) -> __m256i {
        _mm256_load_si256(self.codes.as_ptr().cast::<__m256i>().add(s))
    }

    #[inline(always)]
    unsafe fn scale(self, half: usize) -> (__m256, __m256) {
        (
            _mm256_loadu_ps(self.scales[half].as_ptr()),
            _mm256_loadu_ps(self.offsets[half].as_ptr()),
        )
    }
}

/// `T` rows of activations from `row` on, added to the tile. Returns `T`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows<D: Dot, F: Format, const T: usize>(
    unpacked: &Unpacked<'_>,
    n_subs: usize,
    first_sub: usize,
    x: &Int8Rows,
    row: usize,
    tile: &mut [[f32; PANEL]],
) -> usize {
    let rows = Rows::<T>::new(x.parts(row), x.k(), F::SIXTEENTHS);
    let tile = &mut tile[row..row + T];
    // Added to those of the parts of the panel before this one.
    let mut sums: [__m256; T] = std::array::from_fn(|t| _mm256_loadu_ps(tile[t].as_ptr()));
    for sub in 0..n_subs {
        add::<D, F, T>(&mut sums, unpacked.block(sub), &rows, first_sub + sub);
    }
    for (tile, sum) in tile.iter_mut().zip(sums) {
        _mm256_storeu_ps(tile.as_mut_ptr(), sum);
    }
    T
}
