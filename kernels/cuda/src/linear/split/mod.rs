//! Blocks of a file, split into the planes that kernels read.
//!
//! Codes are taken out of a block as eight words of four bytes, value by value, and packed again, word
//! by word: what a kernel does to unpack them, backwards (`cu/blocks.cuh`).

mod blocks;
mod pack;

use ponder_kernels_cpu::BlockFormat;

use super::planes::Planes;
use pack::Packing;

/// A unit's codes: values 4k to 4k + 3 in word k.
type Codes = [u32; 8];

/// A format of a file.
trait Blocks {
    /// How its codes lie on the device.
    const PACKING: Packing;
    /// The codes of a unit.
    fn codes(block: &[u8], unit: usize) -> Codes;
    /// The scales of a unit: so many of these bytes as the plane has.
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4];
    /// The scales of the block, likewise.
    fn block_scales(_block: &[u8]) -> [u8; 4] {
        [0; 4]
    }
}

/// Splits whole blocks into their planes.
///
/// # Panics
/// If the planes do not have the length of so many blocks, or there is no kernel for the format.
pub(super) fn split(format: BlockFormat, bytes: &[u8], planes: [&mut [u8]; 4]) {
    match format {
        BlockFormat::Q4_0 => split_blocks::<blocks::Q4_0>(format, bytes, planes),
        BlockFormat::Q4_1 => split_blocks::<blocks::Q4_1>(format, bytes, planes),
        BlockFormat::Q5_0 => split_blocks::<blocks::Q5_0>(format, bytes, planes),
        BlockFormat::Q5_1 => split_blocks::<blocks::Q5_1>(format, bytes, planes),
        BlockFormat::Q8_0 => split_blocks::<blocks::Q8_0>(format, bytes, planes),
        BlockFormat::Q2K => split_blocks::<blocks::Q2K>(format, bytes, planes),
        BlockFormat::Q3K => split_blocks::<blocks::Q3K>(format, bytes, planes),
        BlockFormat::Q4K => split_blocks::<blocks::Q4K>(format, bytes, planes),
        BlockFormat::Q5K => split_blocks::<blocks::Q5K>(format, bytes, planes),
        BlockFormat::Q6K => split_blocks::<blocks::Q6K>(format, bytes, planes),
        BlockFormat::IQ4NL => split_blocks::<blocks::IQ4NL>(format, bytes, planes),
        BlockFormat::IQ4XS => split_blocks::<blocks::IQ4XS>(format, bytes, planes),
        BlockFormat::MXFP4 => split_blocks::<blocks::MXFP4>(format, bytes, planes),
        _ => unreachable!("formats without a kernel have no planes"),
    }
}

fn split_blocks<B: Blocks>(format: BlockFormat, bytes: &[u8], planes: [&mut [u8]; 4]) {
    let sizes = Planes::of(format).expect("a format with a kernel");
    let n_units = sizes.units();
    let [first_bytes, second_bytes, unit_bytes, block_bytes] = sizes.of_block();
    let (unit_bytes, first_bytes) = (unit_bytes / n_units, first_bytes / n_units);
    let second_bytes = second_bytes / n_units;
    let [first, second, units, blocks] = planes;
    for (i, block) in bytes.chunks_exact(format.block_bytes()).enumerate() {
        for unit in 0..n_units {
            let at = i * n_units + unit;
            let codes = B::codes(block, unit);
            B::PACKING.pack(
                &codes,
                &mut first[at * first_bytes..][..first_bytes],
                &mut second[at * second_bytes..][..second_bytes],
            );
            let scales = B::unit_scales(block, unit);
            units[at * unit_bytes..][..unit_bytes].copy_from_slice(&scales[..unit_bytes]);
        }
        let scales = B::block_scales(block);
        blocks[i * block_bytes..][..block_bytes].copy_from_slice(&scales[..block_bytes]);
    }
}
