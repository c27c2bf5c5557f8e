//! Products of a panel with rows of activations.
//!
//! Rows of activations go in groups. The codes are unpacked in registers for each group anew, while
//! the units that multiply are busy: unpacking them once, to memory, gains nothing.
//!
//! Every unsafe function here asks for the same: the instructions that [`panel`]'s caller has
//! found; a whole panel of `x.k()` values; and indices inside `x` and the tile.
#![allow(unsafe_op_in_unsafe_fn)]
// Vectors of several rows are walked in step.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;
use std::array::from_mut;
use std::marker::PhantomData;

use super::formats::Format;
use crate::int8::Int8Rows;
use crate::int8::blocks::{GROUP, Parts};
use crate::int8::layout::{SUB, WIDE_PANEL};
use crate::int8::twice::Twice;

/// How far ahead memory is asked for, in bytes: into the first-level cache where sub-blocks follow
/// each other, into the second where a chunk has several, whose words are read in another order
/// than they lie in.
const AHEAD: [usize; 2] = [8 << 10, 16 << 10];

/// `T` rows of activations: a group where `T` is as large as one, else rows one after the other.
#[derive(Clone, Copy)]
struct Rows<const T: usize> {
    k: usize,
    codes: *const i8,
    scales: *const f32,
    /// By 16 or by 32, as the format's scales are.
    sums: *const f32,
    /// Likewise.
    starts: *const i32,
}

impl<const T: usize> Rows<T> {
    /// `parts` are what the first of the rows begins with, `k` values each.
    fn new(parts: Parts<'_>, k: usize, sixteenths: bool) -> Self {
        let (sums, starts) = if sixteenths {
            (parts.sums_16, parts.starts_16)
        } else {
            (parts.sums_32, parts.starts_32)
        };
        Self {
            k,
            codes: parts.codes.as_ptr(),
            scales: parts.scales.as_ptr(),
            sums: sums.as_ptr(),
            starts: starts.as_ptr(),
        }
    }

    /// The `s`-th four codes of row `t` in a sub-block.
    #[inline(always)]
    unsafe fn four(&self, t: usize, sub: usize, s: usize) -> __m512i {
        let codes = self.codes.cast::<i32>();
        _mm512_set1_epi32(self.at(codes, t, sub * 8 + s, 4).read_unaligned())
    }

    #[inline(always)]
    unsafe fn scale(&self, t: usize, sub: usize) -> __m512 {
        _mm512_set1_ps(*self.at(self.scales, t, sub, SUB))
    }

    /// The `i`-th sum over `len` values.
    #[inline(always)]
    unsafe fn sum(&self, t: usize, i: usize, len: usize) -> __m512 {
        _mm512_set1_ps(*self.at(self.sums, t, i, len))
    }

    /// Minus the `i`-th sum over `len` codes.
    #[inline(always)]
    unsafe fn start(&self, t: usize, i: usize, len: usize) -> __m512i {
        _mm512_set1_epi32(*self.at(self.starts, t, i, len))
    }

    /// The `i`-th of a row's numbers, of which there is one for every `len` values.
    #[inline(always)]
    unsafe fn at<N>(&self, numbers: *const N, t: usize, i: usize, len: usize) -> *const N {
        numbers.add(if T == GROUP {
            i * GROUP + t
        } else {
            t * (self.k / len) + i
        })
    }
}

/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI, AVX2, FMA and F16C; `panel` holds `x.k()` values
/// of sixteen rows; `tile` has as many rows as `x`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn panel<F: Format>(panel: &[u8], x: &Int8Rows, tile: &mut [[f32; WIDE_PANEL]]) {
    match x.n() {
        1 => few::<F, 1>(panel, x, tile),
        2 => few::<F, 2>(panel, x, tile),
        3 => few::<F, 3>(panel, x, tile),
        4 => few::<F, 4>(panel, x, tile),
        5 => few::<F, 5>(panel, x, tile),
        6 => few::<F, 6>(panel, x, tile),
        7 => few::<F, 7>(panel, x, tile),
        _ => groups::<F>(panel, x, tile),
    }
}

/// 32 values of sixteen rows, in the middle of a chunk.
struct SubBlock<F> {
    chunk: *const u8,
    sub: usize,
    format: PhantomData<F>,
}

impl<F> Clone for SubBlock<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for SubBlock<F> {}

impl<F: Format> SubBlock<F> {
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
    unsafe fn prefetch(&self) {
        let n_subs = F::LAYOUT.subs();
        let len = F::LAYOUT.chunk_bytes() / n_subs;
        let place = self.chunk.wrapping_add(self.sub * len);
        let mut at = 0;
        while at < len {
            if n_subs == 1 {
                _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(AHEAD[0] + at).cast());
            } else {
                _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(AHEAD[1] + at).cast());
            }
            at += 64;
        }
    }
}

/// A panel and all `T` rows, which are no group. A block that was rounded twice meets the codes where
/// they are unpacked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn few<F: Format, const T: usize>(
    panel: &[u8],
    x: &Int8Rows,
    tile: &mut [[f32; WIDE_PANEL]],
) {
    let rows = Rows::<T>::new(x.parts(0), x.k(), F::SIXTEENTHS);
    let twice = Rows::<1>::new(x.twice().parts(0), SUB, F::SIXTEENTHS);
    let mut sums = [_mm512_setzero_ps(); T];
    let mut again = [_mm512_setzero_ps(); T];
    let mut sub_idx = 0;
    for chunk in panel.chunks_exact(F::LAYOUT.chunk_bytes()) {
        for sub in 0..F::LAYOUT.subs() {
            let block = SubBlock::<F>::new(chunk, sub);
            block.prefetch();
            add(&mut sums, block, &rows, sub_idx);
            let mut blocks = x.twice().at(sub_idx);
            for (t, sum) in again.iter_mut().enumerate() {
                if x.twice().next_is(&blocks, t, T) {
                    add(from_mut(sum), block, &twice, blocks.start);
                    blocks.start += 1;
                }
            }
            sub_idx += 1;
        }
    }
    for t in 0..T {
        _mm512_storeu_ps(tile[t].as_mut_ptr(), _mm512_add_ps(sums[t], again[t]));
    }
}

/// A panel and groups of rows. The first brings it into the cache.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn groups<F: Format>(panel: &[u8], x: &Int8Rows, tile: &mut [[f32; WIDE_PANEL]]) {
    tile.as_flattened_mut().fill(0.0);
    let mut n = 0;
    while n < x.n() {
        n += match x.n() - n {
            1 => rows::<F, 1>(panel, x, n, tile),
            2 => rows::<F, 2>(panel, x, n, tile),
            3 => rows::<F, 3>(panel, x, n, tile),
            4 => rows::<F, 4>(panel, x, n, tile),
            5 => rows::<F, 5>(panel, x, n, tile),
            6 => rows::<F, 6>(panel, x, n, tile),
            7 => rows::<F, 7>(panel, x, n, tile),
            _ => rows::<F, GROUP>(panel, x, n, tile),
        };
    }
}

/// `T` rows from `row` on; with the first group, the blocks of all rows that were rounded twice, which
/// are added up in the tile. Returns `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn rows<F: Format, const T: usize>(
    panel: &[u8],
    x: &Int8Rows,
    row: usize,
    tile: &mut [[f32; WIDE_PANEL]],
) -> usize {
    let rows = Rows::<T>::new(x.parts(row), x.k(), F::SIXTEENTHS);
    let mut sums = [_mm512_setzero_ps(); T];
    let mut sub_idx = 0;
    for chunk in panel.chunks_exact(F::LAYOUT.chunk_bytes()) {
        for sub in 0..F::LAYOUT.subs() {
            let block = SubBlock::<F>::new(chunk, sub);
            if T == GROUP && row == 0 {
                block.prefetch();
                again(block, x.twice(), sub_idx, tile);
            }
            add(&mut sums, block, &rows, sub_idx);
            sub_idx += 1;
        }
    }
    for (tile, sum) in tile[row..row + T].iter_mut().zip(sums) {
        let again = _mm512_loadu_ps(tile.as_ptr());
        _mm512_storeu_ps(tile.as_mut_ptr(), _mm512_add_ps(sum, again));
    }
    T
}

/// Adds the products of 32 values with the activations that were rounded twice.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn again<F: Format>(
    block: SubBlock<F>,
    twice: &Twice,
    sub_idx: usize,
    tile: &mut [[f32; WIDE_PANEL]],
) {
    let mut blocks = twice.at(sub_idx);
    while !blocks.is_empty() {
        blocks.start += match blocks.len() {
            1 => add_again::<F, 1>(block, twice, blocks.start, tile),
            2 => add_again::<F, 2>(block, twice, blocks.start, tile),
            3 => add_again::<F, 3>(block, twice, blocks.start, tile),
            4..GROUP => add_again::<F, 4>(block, twice, blocks.start, tile),
            _ => add_again::<F, GROUP>(block, twice, blocks.start, tile),
        };
    }
}

/// `T` blocks of activations from `first` on, which meet the same weights. Returns `T`.
#[inline(always)]
unsafe fn add_again<F: Format, const T: usize>(
    block: SubBlock<F>,
    twice: &Twice,
    first: usize,
    tile: &mut [[f32; WIDE_PANEL]],
) -> usize {
    let rows = Rows::<T>::new(twice.parts(first), SUB, F::SIXTEENTHS);
    let places = &twice.rows()[first..first + T];
    let mut sums = [_mm512_setzero_ps(); T];
    for t in 0..T {
        sums[t] = _mm512_loadu_ps(tile[places[t] as usize].as_ptr());
    }
    add(&mut sums, block, &rows, 0);
    for t in 0..T {
        _mm512_storeu_ps(tile[places[t] as usize].as_mut_ptr(), sums[t]);
    }
    T
}

/// Adds what 32 values contribute to the sums of `T` rows. Each vector of codes is made once.
#[inline(always)]
unsafe fn add<F: Format, const T: usize>(
    sums: &mut [__m512; T],
    block: SubBlock<F>,
    rows: &Rows<T>,
    sub_idx: usize,
) {
    let n_halves = if F::SIXTEENTHS { 2 } else { 1 };
    let (per_half, half_len) = (8 / n_halves, SUB / n_halves);
    let mut scaled = [_mm512_setzero_ps(); T];
    for half in 0..n_halves {
        let half_idx = n_halves * sub_idx + half;
        let mut dots = [_mm512_setzero_si512(); T];
        if F::CENTRE_LOG2 > 0 {
            // Minus the centre, as often as it is in the sum.
            let log2 = _mm_cvtsi32_si128(F::CENTRE_LOG2);
            for t in 0..T {
                dots[t] = _mm512_sll_epi32(rows.start(t, half_idx, half_len), log2);
            }
        }
        for s in half * per_half..(half + 1) * per_half {
            let codes = F::codes(block.chunk, block.sub, s);
            for t in 0..T {
                dots[t] = _mm512_dpbusd_epi32(dots[t], codes, rows.four(t, sub_idx, s));
            }
        }
        let scale = F::scale(block.chunk, block.sub, half);
        for t in 0..T {
            let dots = _mm512_cvtepi32_ps(dots[t]);
            scaled[t] = if half == 0 {
                _mm512_mul_ps(dots, scale)
            } else {
                _mm512_fmadd_ps(dots, scale, scaled[t])
            };
        }
        if F::CENTRE_LOG2 == 0 {
            let offset = F::offset(block.chunk, block.sub, half);
            for t in 0..T {
                sums[t] = _mm512_fmadd_ps(rows.sum(t, half_idx, half_len), offset, sums[t]);
            }
        }
    }
    for t in 0..T {
        sums[t] = _mm512_fmadd_ps(scaled[t], rows.scale(t, sub_idx), sums[t]);
    }
}
