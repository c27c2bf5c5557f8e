//! Formats with whole numbers and scales: products in whole numbers, with queries and weights
//! rounded to 16 bits.

use std::marker::PhantomData;
use std::ops::Range;

use super::BLOCK_LEN;
use super::cell::Cell;
use super::encode::{eight_bits, four_bits};
use super::segment::{Segment, View};
use crate::simd::Simd;
use crate::simd::pairs::{Factors, I4, I8, Pairs, multiply_pairs};
use crate::simd::rows::{WIDTH, in_groups};

/// Pairs of rows of a type.
pub(super) struct Quantized<P>(PhantomData<P>);

/// How numbers become codes.
pub(super) trait Encode: Pairs {
    /// Up to 32 numbers; codes with their bias, and the bits of their scale.
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16);
}

impl Encode for I8 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        eight_bits(x)
    }
}

impl Encode for I4 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        four_bits(x)
    }
}

impl<P: Encode> Cell for Quantized<P> {
    const SCALED: bool = true;
    const ROW_BYTES: usize = P::BYTES / 2;

    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        P::encode(x)
    }

    #[inline(always)]
    fn put(rows: &mut [u8], row: usize, lane: usize, code: u32) {
        let pair = &mut rows[row / 2 * P::BYTES..][..P::BYTES];
        P::put(pair, row % 2, lane, code.cast_signed());
    }

    fn get(rows: &[u8], row: usize, lane: usize) -> f32 {
        let pair = &rows[row / 2 * P::BYTES..][..P::BYTES];
        (P::get(pair, row % 2, lane) - P::BIAS) as f32
    }

    #[inline(always)]
    fn begin<S: Simd>(segment: &mut Segment<'_, Self>, s: S) {
        let dim = segment.attention.layout.head_dim;
        let rows = segment.queries.chunks_exact(dim).take(segment.states.len());
        let chunks = rows.flat_map(|row| row.chunks(WIDTH));
        for (query, rounded) in chunks.zip(segment.rounded.iter_mut()) {
            let mut padded = [0.0; WIDTH];
            padded[..query.len()].copy_from_slice(query);
            *rounded = Factors::round::<S, P>(s, &padded);
        }
    }

    #[inline(always)]
    unsafe fn scores<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View) {
        let dim = segment.attention.layout.head_dim;
        let n_chunks = segment.attention.layout.n_chunks();
        let scores = &mut segment.scores[view.rows.clone()];
        scores.fill([0.0; BLOCK_LEN]);
        for chunk in 0..n_chunks {
            let n_pairs = WIDTH.min(dim - chunk * WIDTH).div_ceil(2);
            let keys = view.keys.wrapping_add(chunk * Self::CHUNK_BYTES);
            s.prefetch(keys.wrapping_offset(view.ahead));
            // SAFETY: a chunk begins with its scales.
            let scales = unsafe { s.load_32_f16(keys) };
            in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
                let row = |m: usize| (view.rows.start + first + m) * n_chunks + chunk;
                let mut factors = [&segment.rounded[row(0)]; M];
                for (m, factors) in factors.iter_mut().enumerate() {
                    *factors = &segment.rounded[row(m)];
                }
                // SAFETY: the chunk's rows follow its scales; scores are whole blocks.
                unsafe {
                    let keys = keys.add(Self::SCALE_BYTES);
                    let products = multiply_pairs::<S, P, M>(s, factors, keys, n_pairs, view.ahead);
                    for (m, product) in products.into_iter().enumerate() {
                        let score = scores[first + m].as_mut_ptr();
                        let product = s.scale_32(factors[m].scale, product);
                        s.store_32(score, s.mul_add_32(product, scales, s.load_32(score)));
                    }
                }
            });
        }
    }

    #[inline(always)]
    unsafe fn values<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View) {
        let tokens = view.tokens.clone();
        let n_pairs = tokens.end.div_ceil(2);
        let n_chunks = segment.attention.layout.n_chunks();
        let chunk_at = |chunk| view.values.wrapping_add(chunk * Self::CHUNK_BYTES);
        in_groups!(view.rows.len(), DIRECT_GROUP, |M, first| {
            // All chunks before the products: their roundings wait for nothing but themselves, so
            // a processor does several at a time.
            let rows = view.rows.start + first..view.rows.start + first + M;
            for chunk in 0..n_chunks {
                // SAFETY: a chunk begins with its scales.
                let scales = unsafe { s.load_32_f16(chunk_at(chunk)) };
                for (m, weights) in segment.scores[rows.clone()].iter().enumerate() {
                    let weights = scaled(s, weights, scales, &tokens);
                    segment.rounded_weights[chunk * M + m] = Factors::round::<S, P>(s, &weights);
                }
            }
            // The first pass over the values asks for the next ones.
            let ahead = if first == 0 { view.ahead } else { 0 };
            for chunk in 0..n_chunks {
                let values = chunk_at(chunk);
                s.prefetch(values.wrapping_offset(ahead));
                let (sums, stride) = segment.chunk_sums(view, chunk);
                let rounded = &segment.rounded_weights[chunk * M..(chunk + 1) * M];
                let scales_of_sums = &segment.factors[rows.clone()];
                let mut factors = [&rounded[0]; M];
                for (factors, rounded) in factors.iter_mut().zip(rounded) {
                    *factors = rounded;
                }
                // SAFETY: the chunk's rows follow its scales; sums are whole chunks.
                unsafe {
                    let values = values.add(Self::SCALE_BYTES);
                    let products = multiply_pairs::<S, P, M>(s, factors, values, n_pairs, ahead);
                    for (m, product) in products.into_iter().enumerate() {
                        let sums = sums.add((first + m) * stride);
                        let local = s.scale_32(scales_of_sums[m], s.load_32(sums));
                        let scale = s.splat(rounded[m].scale);
                        s.store_32(sums, s.scale_add_32(scale, product, local));
                    }
                }
            }
        });
    }

    #[inline(always)]
    unsafe fn widen_keys<S: Simd>(s: S, chunk: *const u8, n: usize, to: *mut f32) {
        let zero = s.splat_32(0.0);
        // SAFETY: this function's own condition; rows go in pairs.
        unsafe {
            let scales = s.load_32_f16(chunk);
            for pair in 0..n.div_ceil(2) {
                let rows = widen::<S, P>(s, chunk.add(Self::SCALE_BYTES + pair * P::BYTES));
                let to = to.add(2 * pair * WIDTH);
                s.store_32(to, s.mul_add_32(rows[0], scales, zero));
                s.store_32(to.add(WIDTH), s.mul_add_32(rows[1], scales, zero));
            }
        }
    }

    #[inline(always)]
    unsafe fn widen_values<S: Simd>(s: S, chunk: *const u8, tokens: Range<usize>, to: *mut f32) {
        let mut scales = [0.0; BLOCK_LEN];
        // SAFETY: this function's own condition; a block is a whole number of pairs.
        unsafe {
            s.store_32(scales.as_mut_ptr(), s.load_32_f16(chunk));
            for pair in tokens.start / 2..tokens.end.div_ceil(2) {
                let rows = widen::<S, P>(s, chunk.add(Self::SCALE_BYTES + pair * P::BYTES));
                let to = to.add(2 * pair * WIDTH);
                s.store_32(to, s.scale_32(scales[2 * pair], rows[0]));
                s.store_32(to.add(WIDTH), s.scale_32(scales[2 * pair + 1], rows[1]));
            }
        }
    }
}

/// Weights times the scales of their tokens' values. Tokens that no query sees may not have been
/// written: their scales could be anything.
#[inline(always)]
fn scaled<S: Simd>(
    s: S,
    weights: &[f32; BLOCK_LEN],
    scales: S::X32,
    tokens: &Range<usize>,
) -> [f32; BLOCK_LEN] {
    let mut scaled = [0.0; BLOCK_LEN];
    // SAFETY: a block each.
    unsafe {
        let product = s.mul_add_32(s.load_32(weights.as_ptr()), scales, s.splat_32(0.0));
        s.store_32(scaled.as_mut_ptr(), product);
    }
    if tokens.len() < BLOCK_LEN {
        scaled[..tokens.start].fill(0.0);
        scaled[tokens.end..].fill(0.0);
    }
    scaled
}

/// Two rows of codes, without their bias.
///
/// # Safety
/// `pair` is valid for reading a pair of rows.
#[inline(always)]
unsafe fn widen<S: Simd, P: Pairs>(s: S, pair: *const u8) -> [S::X32; 2] {
    // SAFETY: this function's own condition.
    let [first, second] = s.split_pairs(unsafe { P::load(s, pair) });
    let (one, bias) = (s.splat(1.0), s.splat_32(-(P::BIAS as f32)));
    [
        s.scale_add_32(one, first, bias),
        s.scale_add_32(one, second, bias),
    ]
}
