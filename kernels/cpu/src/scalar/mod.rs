//! Portable dequantization: one small file per family of formats.
//!
//! Every function here walks whole blocks as fixed-size arrays, so that the compiler sees all
//! lengths, drops the bounds checks and vectorizes the inner loops. The order of the
//! floating-point operations is the format's own (no fused multiply-add), because the results
//! have to be equal bit for bit on every machine.

mod codebook;
mod floats;
mod fp4;
mod i1_quants;
mod i2_quants;
mod i3_quants;
mod i4_quants;
mod k_quants;
mod legacy;
mod tables;
mod ternary;
#[cfg(test)]
mod tests;

pub(crate) use floats::f16_value;
pub use floats::{bf16_to_f32, f16_to_f32, f32_from_le_bytes};
pub(crate) use fp4::{DOUBLED as E2M1_DOUBLED, half_e8m0};
pub(crate) use i4_quants::VALUES as IQ4_VALUES;

use crate::BlockFormat;

/// Dequantizes whole blocks: `blocks` holds n × [`block_bytes`](BlockFormat::block_bytes),
/// `out` takes n × [`block_len`](BlockFormat::block_len) values, in order.
///
/// # Panics
/// If the two lengths are not the same whole number of blocks. Lengths that come from a file
/// are to be checked before they get here.
pub fn dequantize(format: BlockFormat, blocks: &[u8], out: &mut [f32]) {
    let n_blocks = out.len() / format.block_len();
    assert!(
        out.len().is_multiple_of(format.block_len())
            && blocks.len() == n_blocks * format.block_bytes(),
        "{format}: {} bytes of blocks do not make {} values",
        blocks.len(),
        out.len()
    );
    match format {
        BlockFormat::Q4_0 => legacy::q4_0(blocks, out),
        BlockFormat::Q4_1 => legacy::q4_1(blocks, out),
        BlockFormat::Q5_0 => legacy::q5_0(blocks, out),
        BlockFormat::Q5_1 => legacy::q5_1(blocks, out),
        BlockFormat::Q8_0 => legacy::q8_0(blocks, out),
        BlockFormat::Q2K => k_quants::q2_k(blocks, out),
        BlockFormat::Q3K => k_quants::q3_k(blocks, out),
        BlockFormat::Q4K => k_quants::q4_k(blocks, out),
        BlockFormat::Q5K => k_quants::q5_k(blocks, out),
        BlockFormat::Q6K => k_quants::q6_k(blocks, out),
        BlockFormat::IQ4NL => i4_quants::iq4_nl(blocks, out),
        BlockFormat::IQ4XS => i4_quants::iq4_xs(blocks, out),
        BlockFormat::IQ3XXS => i3_quants::iq3_xxs(blocks, out),
        BlockFormat::IQ3S => i3_quants::iq3_s(blocks, out),
        BlockFormat::IQ2XXS => i2_quants::iq2_xxs(blocks, out),
        BlockFormat::IQ2XS => i2_quants::iq2_xs(blocks, out),
        BlockFormat::IQ2S => i2_quants::iq2_s(blocks, out),
        BlockFormat::IQ1S => i1_quants::iq1_s(blocks, out),
        BlockFormat::IQ1M => i1_quants::iq1_m(blocks, out),
        BlockFormat::TQ1_0 => ternary::tq1_0(blocks, out),
        BlockFormat::TQ2_0 => ternary::tq2_0(blocks, out),
        BlockFormat::MXFP4 => fp4::mxfp4(blocks, out),
        BlockFormat::NVFP4 => fp4::nvfp4(blocks, out),
    }
}

/// Pairs each block of `B` bytes with the `V` values that it stands for.
fn pairs<'a, const B: usize, const V: usize>(
    blocks: &'a [u8],
    out: &'a mut [f32],
) -> impl Iterator<Item = (&'a [u8; B], &'a mut [f32; V])> {
    blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0)
}

/// The half-precision number at byte `at` of a block: where its scales are.
#[inline(always)]
fn f16_at<const B: usize>(block: &[u8; B], at: usize) -> f32 {
    floats::f16_value(u16_at(block, at))
}

#[inline(always)]
fn u16_at<const B: usize>(block: &[u8; B], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

#[inline(always)]
fn u32_at<const B: usize>(block: &[u8; B], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// `N` bytes of a block, as an array whose length the compiler knows.
#[inline(always)]
fn bytes_at<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..]
        .first_chunk()
        .expect("the layout keeps this inside the block")
}
