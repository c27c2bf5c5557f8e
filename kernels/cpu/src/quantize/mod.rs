//! Encoders: `f32` to the bytes that [`dequantize`](crate::dequantize) turns back.
//!
//! 1. [`Encoder::of`] gives the encoder of a [`BlockFormat`], where there is one.
//! 2. [`Encoder::encode`] writes whole blocks.
//! 3. [`f32_to_f16`] and [`f32_to_bf16`] convert plain values.
//!
//! An encoder chooses its scales by trying several: for each it rounds the values, fits the
//! scale to the rounded values by weighted least squares and keeps the one with the least error
//! (`fit`). Whatever is stored in fewer bits (half-precision scales, 6-bit scales of groups) is
//! rounded before the values are, so that rounding a scale costs no accuracy twice.
//!
//! Encoding happens once per model, on any machine: this is plain code over fixed-size arrays,
//! and its results are the same everywhere.

mod fit;
mod floats;
mod fp4;
mod k_quants;
mod legacy;
#[cfg(test)]
mod tests;

pub use floats::{f32_to_bf16, f32_to_f16};

use crate::BlockFormat;

/// Writes blocks of one format.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    format: BlockFormat,
    encode: fn(&[f32], &mut [u8]),
}

impl Encoder {
    /// The encoder of a format; `None` for formats that can only be read.
    #[must_use]
    pub fn of(format: BlockFormat) -> Option<Self> {
        let encode = match format {
            BlockFormat::Q4_0 => legacy::q4_0,
            BlockFormat::Q5_0 => legacy::q5_0,
            BlockFormat::Q5_1 => legacy::q5_1,
            BlockFormat::Q8_0 => legacy::q8_0,
            BlockFormat::Q4K => k_quants::q4_k,
            BlockFormat::Q5K => k_quants::q5_k,
            BlockFormat::Q6K => k_quants::q6_k,
            BlockFormat::MXFP4 => fp4::mxfp4,
            _ => return None,
        };
        Some(Self { format, encode })
    }

    /// The format that is written.
    #[must_use]
    pub fn format(self) -> BlockFormat {
        self.format
    }

    /// The largest magnitude that is sure to be kept; larger values are cut off somewhere above.
    /// The formats with half-precision scales reach at least as far as half precision.
    #[must_use]
    pub fn max_magnitude(self) -> f32 {
        match self.format {
            BlockFormat::MXFP4 => f32::MAX,
            _ => 65_504.0,
        }
    }

    /// Encodes whole blocks: `values` holds n × [`block_len`](BlockFormat::block_len) finite
    /// numbers, `blocks` takes n × [`block_bytes`](BlockFormat::block_bytes), in order. A number
    /// that is not finite makes its block meaningless, and nothing else.
    ///
    /// # Panics
    /// If the two lengths are not the same whole number of blocks.
    pub fn encode(self, values: &[f32], blocks: &mut [u8]) {
        let format = self.format;
        let n_blocks = values.len() / format.block_len();
        assert!(
            values.len().is_multiple_of(format.block_len())
                && blocks.len() == n_blocks * format.block_bytes(),
            "{format}: {} values do not fill {} bytes of blocks",
            values.len(),
            blocks.len()
        );
        (self.encode)(values, blocks);
    }
}

/// Pairs each block of `V` values with the `B` bytes that it becomes.
fn pairs<'a, const V: usize, const B: usize>(
    values: &'a [f32],
    blocks: &'a mut [u8],
) -> impl Iterator<Item = (&'a [f32; V], &'a mut [u8; B])> {
    values.as_chunks().0.iter().zip(blocks.as_chunks_mut().0)
}

/// Writes `bytes` into a block at byte `at`.
#[inline(always)]
fn put<const N: usize>(block: &mut [u8], at: usize, bytes: [u8; N]) {
    block[at..at + N].copy_from_slice(&bytes);
}
