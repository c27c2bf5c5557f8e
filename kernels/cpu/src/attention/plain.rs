//! Formats whose numbers stand for themselves: one multiply-add loop over their rows.

use std::marker::PhantomData;
use std::ops::Range;

use super::BLOCK_LEN;
use super::cell::Cell;
use super::encode::{f16_bits, padded};
use super::segment::{Segment, View};
use crate::simd::Simd;
use crate::simd::rows::{self, Row, WIDTH, add_rows, bf16_place, in_groups};

/// Rows of a type.
pub(super) struct Plain<R>(PhantomData<R>);

/// How a number becomes the bytes of a row.
pub(super) trait Encode: Row {
    /// Its bits.
    fn bits(x: f32) -> u32;
    /// Stores bits.
    fn put(row: &mut [u8], lane: usize, bits: u32);
}

impl Encode for rows::F32 {
    #[inline(always)]
    fn bits(x: f32) -> u32 {
        x.to_bits()
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, bits: u32) {
        row.as_chunks_mut().0[lane] = bits.to_ne_bytes();
    }
}

impl Encode for rows::F16 {
    #[inline(always)]
    fn bits(x: f32) -> u32 {
        f16_bits(x)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, bits: u32) {
        row.as_chunks_mut().0[lane] = (bits as u16).to_ne_bytes();
    }
}

impl Encode for rows::Bf16 {
    #[inline(always)]
    fn bits(x: f32) -> u32 {
        half::bf16::from_f32(x).to_bits().into()
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, bits: u32) {
        row.as_chunks_mut().0[bf16_place(lane)] = (bits as u16).to_ne_bytes();
    }
}

impl<R: Encode> Cell for Plain<R> {
    const SCALED: bool = false;
    const ROW_BYTES: usize = R::BYTES;

    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        let mut codes = [0; WIDTH];
        for (code, x) in codes.iter_mut().zip(padded(x)) {
            *code = R::bits(x);
        }
        (codes, 0)
    }

    #[inline(always)]
    fn put(rows: &mut [u8], row: usize, lane: usize, code: u32) {
        R::put(&mut rows[row * R::BYTES..][..R::BYTES], lane, code);
    }

    fn get(rows: &[u8], row: usize, lane: usize) -> f32 {
        R::get(&rows[row * R::BYTES..][..R::BYTES], lane)
    }

    #[inline(always)]
    fn begin<S: Simd>(_: &mut Segment<'_, Self>, _: S) {}

    #[inline(always)]
    unsafe fn scores<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View) {
        let dim = segment.attention.layout.head_dim;
        let queries = segment.queries[view.rows.start * dim..view.rows.end * dim].as_ptr();
        let scores = segment.scores[view.rows.clone()].as_mut_ptr();
        in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
            let mut sums = [s.splat_32(0.0); M];
            // SAFETY: `M` rows of `dim` queries and as many blocks of scores follow, and the keys
            // are `dim` rows.
            unsafe {
                let queries = (queries.add(first * dim), dim);
                add_rows::<S, R, M>(s, &mut sums, queries, view.keys, dim, view.ahead);
                for (m, sum) in sums.into_iter().enumerate() {
                    s.store_32(scores.add(first + m).cast(), sum);
                }
            }
        });
    }

    #[inline(always)]
    unsafe fn values<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View) {
        let tokens = view.tokens.clone();
        for chunk in 0..segment.attention.layout.n_chunks() {
            let (sums, stride) = segment.chunk_sums(view, chunk);
            let factors = &segment.factors[view.rows.clone()];
            let weights = segment.scores[view.rows.clone()].as_ptr();
            in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
                // SAFETY: the sums of a row are whole chunks, there is a block of weights for each
                // row, and the values are whole chunks with a row for every token.
                unsafe {
                    let mut local = [s.splat_32(0.0); M];
                    for (m, local) in local.iter_mut().enumerate() {
                        let sums = s.load_32(sums.add((first + m) * stride));
                        *local = s.scale_32(factors[first + m], sums);
                    }
                    let weights = weights.add(first).cast::<f32>().add(tokens.start);
                    let values = view.values.add(chunk * Self::CHUNK_BYTES);
                    let values = values.add(tokens.start * R::BYTES);
                    let weights = (weights, BLOCK_LEN);
                    add_rows::<S, R, M>(s, &mut local, weights, values, tokens.len(), view.ahead);
                    for (m, local) in local.into_iter().enumerate() {
                        s.store_32(sums.add((first + m) * stride), local);
                    }
                }
            });
        }
    }

    #[inline(always)]
    unsafe fn widen_keys<S: Simd>(s: S, chunk: *const u8, n: usize, to: *mut f32) {
        // SAFETY: this function's own condition.
        unsafe { widen::<S, R>(s, chunk, 0..n, to) }
    }

    #[inline(always)]
    unsafe fn widen_values<S: Simd>(s: S, chunk: *const u8, tokens: Range<usize>, to: *mut f32) {
        // SAFETY: this function's own condition.
        unsafe { widen::<S, R>(s, chunk, tokens, to) }
    }
}

/// # Safety
/// `from` and `to` have all rows of the range.
#[inline(always)]
unsafe fn widen<S: Simd, R: Row>(s: S, from: *const u8, range: Range<usize>, to: *mut f32) {
    for row in range {
        // SAFETY: this function's own condition.
        unsafe { s.store_32(to.add(row * WIDTH), R::load(s, from.add(row * R::BYTES))) };
    }
}
