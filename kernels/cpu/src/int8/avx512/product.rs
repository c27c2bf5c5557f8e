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
use std::marker::PhantomData;

use super::formats::Format;
use crate::int8::Int8Rows;
use crate::int8::blocks::{GROUP, Parts};
use crate::int8::layout::{SUB, WIDE_PANEL};
use crate::int8::twice::Twice;
use crate::int8::walk::walk;

/// How far ahead memory is asked for, in bytes: into the first-level cache, and as what is used only
/// once, where sub-blocks follow each other; into the second where a chunk has several, whose words
/// are read in another order than they lie in.
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
pub(super) struct Packed<F> {
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
        let n_subs = F::LAYOUT.subs();
        let len = F::LAYOUT.chunk_bytes() / n_subs;
        let place = self.chunk.wrapping_add(self.sub * len);
        let mut at = 0;
        while at < len {
            if n_subs == 1 {
                _mm_prefetch::<_MM_HINT_NTA>(place.wrapping_add(AHEAD[0] + at).cast());
            } else {
                _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(AHEAD[1] + at).cast());
            }
            at += 64;
        }
    }
}

walk! {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    set: [],
    panel: WIDE_PANEL,
    block: Packed<F>,
    again: again::<F>,
    rows: [
        8: some_rows::<F, 8>,
        7: some_rows::<F, 7>,
        6: some_rows::<F, 6>,
        5: some_rows::<F, 5>,
        4: some_rows::<F, 4>,
        3: some_rows::<F, 3>,
        2: some_rows::<F, 2>,
        1: some_rows::<F, 1>,
    ],
}

#[inline(always)]
unsafe fn zero() -> __m512 {
    _mm512_setzero_ps()
}

#[inline(always)]
unsafe fn load(row: &[f32; WIDE_PANEL]) -> __m512 {
    _mm512_loadu_ps(row.as_ptr())
}

#[inline(always)]
unsafe fn store(row: &mut [f32; WIDE_PANEL], sums: __m512) {
    _mm512_storeu_ps(row.as_mut_ptr(), sums);
}

#[inline(always)]
unsafe fn plus(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(a, b)
}

/// Adds what 32 values contribute to the sums of `T` rows. Each vector of codes is made once.
#[inline(always)]
unsafe fn add<F: Format, const T: usize>(
    sums: &mut [__m512; T],
    block: Packed<F>,
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
