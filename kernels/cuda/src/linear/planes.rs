//! Where the parts of block formats lie on the device; `cu/blocks.cuh` has the same sizes.

use ponder_kernels_cpu::BlockFormat;

/// Units that share a scale of 256 values.
pub(super) const UNITS_OF_BLOCK: usize = 8;

/// Bytes of the four planes: two of codes and one of scales for each unit of 32 values, and one of
/// scales for each eight units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    first: usize,
    second: usize,
    unit: usize,
    block: usize,
}

impl Planes {
    /// Those of a format; `None` where there is no kernel for it.
    pub(super) const fn of(format: BlockFormat) -> Option<Self> {
        let [first, second, unit, block] = match format {
            BlockFormat::Q4_0 | BlockFormat::IQ4NL => [16, 0, 2, 0],
            BlockFormat::Q4_1 => [16, 0, 4, 0],
            BlockFormat::Q5_0 => [16, 4, 2, 0],
            BlockFormat::Q5_1 => [16, 4, 4, 0],
            BlockFormat::Q8_0 => [16, 16, 2, 0],
            BlockFormat::MXFP4 => [16, 0, 1, 0],
            BlockFormat::Q2K => [8, 0, 2, 4],
            BlockFormat::Q3K => [8, 4, 2, 2],
            BlockFormat::Q4K => [16, 0, 2, 4],
            BlockFormat::Q5K => [16, 4, 2, 4],
            BlockFormat::Q6K => [16, 8, 2, 2],
            BlockFormat::IQ4XS => [16, 0, 1, 2],
            _ => return None,
        };
        Some(Self {
            first,
            second,
            unit,
            block,
        })
    }

    /// Units of a block of the file.
    pub(super) const fn units(self) -> usize {
        if self.block == 0 { 1 } else { UNITS_OF_BLOCK }
    }

    /// Bytes that a block of the file has in each plane.
    pub(super) const fn of_block(self) -> [usize; 4] {
        let n = self.units();
        [self.first * n, self.second * n, self.unit * n, self.block]
    }

    /// Where the planes of `n_blocks` blocks begin, and where the last ends.
    pub(super) fn offsets(self, n_blocks: usize) -> [usize; 5] {
        let mut offsets = [0; 5];
        for (i, bytes) in self.of_block().into_iter().enumerate() {
            offsets[i + 1] = offsets[i] + (bytes * n_blocks).next_multiple_of(16);
        }
        offsets
    }
}
