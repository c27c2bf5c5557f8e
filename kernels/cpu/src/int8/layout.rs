//! Where things are in a packed panel.
//!
//! A panel holds eight rows, or sixteen for vectors of 64 bytes. It is a sequence of *chunks*, one
//! for each block of the file's format (32 or 256 values of each row). A chunk begins with the
//! rows' scales, number by number, followed by the codes: the four-byte words of the rows' blocks
//! in turn, so that 32 or 64 bytes hold the same word of all rows. The words themselves are those
//! of the file (but for the fifth bits of Q5_0 and Q5_1), so that packing moves bytes and computes
//! nothing, and a packed matrix is hardly larger than its file.

use crate::{BlockFormat, Isa};

/// Rows of a panel, but for instruction sets with [wide vectors](WIDE_PANEL).
pub(super) const PANEL: usize = 8;
/// Rows of a panel where a vector has 64 bytes.
pub(super) const WIDE_PANEL: usize = 16;
/// Values that share an activation scale, and the smallest block of any format.
pub(super) const SUB: usize = 32;

/// Sizes and places for one format. Offsets are bytes inside a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Rows of a panel.
    pub(super) panel: usize,
    /// Values of a row in a chunk.
    pub(super) chunk_len: usize,
    /// Bytes before the codes.
    pub(super) header: usize,
    /// Four-byte words of codes per row.
    pub(super) words: usize,
}

impl Layout {
    /// The layout for a format in panels of [`PANEL`] rows; `None` where there is no integer kernel.
    pub(super) const fn of(format: BlockFormat) -> Option<Self> {
        Self::in_panels(format, PANEL)
    }

    /// The layout that an instruction set reads.
    pub(super) const fn for_isa(format: BlockFormat, isa: Isa) -> Option<Self> {
        let panel = match isa {
            Isa::Avx512 | Isa::Avx512Bf16 => WIDE_PANEL,
            _ => PANEL,
        };
        Self::in_panels(format, panel)
    }

    /// The layout in panels of `panel` rows.
    pub(super) const fn in_panels(format: BlockFormat, panel: usize) -> Option<Self> {
        // Bytes of a half, and of a byte, of each row.
        let (half, byte) = (2 * panel, panel);
        let (chunk_len, header, words) = match format {
            BlockFormat::Q4_0 | BlockFormat::IQ4NL => (32, half, 4),
            BlockFormat::Q4_1 => (32, 2 * half, 4),
            BlockFormat::Q5_0 => (32, half, 5),
            BlockFormat::Q5_1 => (32, 2 * half, 5),
            BlockFormat::Q8_0 => (32, half, 8),
            BlockFormat::MXFP4 => (32, byte, 4),
            // Two halves, then 16 bytes of scales and minima together.
            BlockFormat::Q2K => (256, 2 * half + 16 * byte, 16),
            // A half, then 16 scales.
            BlockFormat::Q3K => (256, half + 16 * byte, 16 + 8),
            BlockFormat::Q6K => (256, half + 16 * byte, 32 + 16),
            // Two halves, 8 scales, 8 minima.
            BlockFormat::Q4K => (256, 2 * half + 16 * byte, 32),
            BlockFormat::Q5K => (256, 2 * half + 16 * byte, 32 + 8),
            // A half, then 8 scales.
            BlockFormat::IQ4XS => (256, half + 8 * byte, 32),
            _ => return None,
        };
        Some(Self {
            panel,
            chunk_len,
            header,
            words,
        })
    }

    /// Bytes of a chunk: all rows of a panel.
    #[inline(always)]
    pub(super) const fn chunk_bytes(self) -> usize {
        self.header + self.words * 4 * self.panel
    }

    /// Blocks of 32 values in a chunk.
    #[inline(always)]
    pub(super) const fn subs(self) -> usize {
        self.chunk_len / SUB
    }
}
