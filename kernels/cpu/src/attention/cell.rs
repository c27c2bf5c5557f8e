//! What differs between the formats of the cache.

use std::ops::Range;

use super::layout::SCALE_BYTES;
use super::segment::{Segment, View};
use crate::simd::Simd;
use crate::simd::rows::WIDTH;

/// A format of the cache, when code is compiled for it: [`Plain`](super::plain::Plain) or
/// [`Quantized`](super::quantized::Quantized).
///
/// `rows` are those of one chunk, behind its scales.
pub(super) trait Cell: Sized {
    /// Whether chunks begin with scales.
    const SCALED: bool;
    /// Bytes of 32 numbers, without their scale.
    const ROW_BYTES: usize;
    /// Bytes of scales before each chunk's rows.
    const SCALE_BYTES: usize = if Self::SCALED { SCALE_BYTES } else { 0 };
    /// Bytes of a full chunk.
    const CHUNK_BYTES: usize = Self::SCALE_BYTES + WIDTH * Self::ROW_BYTES;

    /// Up to 32 numbers; codes of what is missing are those of 0. The second is the scale in half
    /// precision, where the format has one.
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16);

    /// Stores a code.
    fn put(rows: &mut [u8], row: usize, lane: usize, code: u32);

    /// A number, without its scale.
    fn get(rows: &[u8], row: usize, lane: usize) -> f32;

    /// What is done once for all blocks of a segment, before any [`scores`](Self::scores).
    fn begin<S: Simd>(segment: &mut Segment<'_, Self>, s: S);

    /// Products of a block's keys with few queries, straight from the cache.
    ///
    /// # Safety
    /// The view is that of a whole block.
    unsafe fn scores<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View);

    /// Adds a block's weighted values to the sums of few queries, straight from the cache.
    ///
    /// # Safety
    /// The view is that of a whole block.
    unsafe fn values<S: Simd>(segment: &mut Segment<'_, Self>, s: S, view: &View);

    /// Widens the first `n` rows of a chunk of keys to `f32`; scales are per lane.
    ///
    /// # Safety
    /// `chunk` has its scales and `n` rows, `to` room for `n`, rounded up to an even number.
    unsafe fn widen_keys<S: Simd>(s: S, chunk: *const u8, n: usize, to: *mut f32);

    /// Widens the rows of some tokens of a chunk of values to `f32`; scales are per row.
    ///
    /// # Safety
    /// `chunk` has its scales and a row for every token, `to` room for as many.
    unsafe fn widen_values<S: Simd>(s: S, chunk: *const u8, tokens: Range<usize>, to: *mut f32);
}

/// Runs code with the type that stands for a format.
macro_rules! for_format {
    ($format:expr, |$cell:ident| $body:expr) => {{
        use $crate::attention::{plain::Plain, quantized::Quantized};
        use $crate::simd::{pairs, rows};
        match $format {
            KvFormat::F32 => {
                type $cell = Plain<rows::F32>;
                $body
            }
            KvFormat::F16 => {
                type $cell = Plain<rows::F16>;
                $body
            }
            KvFormat::BF16 => {
                type $cell = Plain<rows::Bf16>;
                $body
            }
            KvFormat::Q8_0 => {
                type $cell = Quantized<pairs::I8>;
                $body
            }
            KvFormat::Q4_0 => {
                type $cell = Quantized<pairs::I4>;
                $body
            }
        }
    }};
}
pub(super) use for_format;
