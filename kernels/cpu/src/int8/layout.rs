//! Where things are in a packed panel.
//!
//! A panel holds eight rows. It is a sequence of *chunks*, one for each block of the file's format
//! (32 or 256 values of each row). A chunk begins with the eight rows' scales, number by number,
//! followed by the codes: the four-byte words of the eight blocks in turn, so that 32 bytes hold
//! the same word of eight rows. The words themselves are those of the file (but for the fifth bits
//! of Q5_0 and Q5_1), so that packing moves bytes and computes nothing, and a packed matrix is
//! hardly larger than its file.

use crate::BlockFormat;

/// Rows of a panel.
pub(super) const PANEL: usize = 8;
/// Values that share an activation scale, and the smallest block of any format.
pub(super) const SUB: usize = 32;

/// Sizes and places for one format. Offsets are bytes inside a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Values of a row in a chunk.
    pub(super) chunk_len: usize,
    /// Bytes before the codes.
    pub(super) header: usize,
    /// Four-byte words of codes per row.
    pub(super) words: usize,
}

impl Layout {
    /// The layout for a format; `None` where there is no integer kernel.
    pub(super) const fn of(format: BlockFormat) -> Option<Self> {
        let (chunk_len, header, words) = match format {
            BlockFormat::Q4_0 | BlockFormat::IQ4NL => (32, 16, 4),
            BlockFormat::Q4_1 => (32, 32, 4),
            BlockFormat::Q5_0 => (32, 16, 5),
            BlockFormat::Q5_1 => (32, 32, 5),
            BlockFormat::Q8_0 => (32, 16, 8),
            BlockFormat::MXFP4 => (32, 8, 4),
            // Two halves, then 16 bytes of scales and minima together.
            BlockFormat::Q2K => (256, 32 + 16 * PANEL, 16),
            // A half, then 16 scales.
            BlockFormat::Q3K => (256, 16 + 16 * PANEL, 16 + 8),
            BlockFormat::Q6K => (256, 16 + 16 * PANEL, 32 + 16),
            // Two halves, 8 scales, 8 minima.
            BlockFormat::Q4K => (256, 32 + 16 * PANEL, 32),
            BlockFormat::Q5K => (256, 32 + 16 * PANEL, 32 + 8),
            // A half, then 8 scales.
            BlockFormat::IQ4XS => (256, 16 + 8 * PANEL, 32),
            _ => return None,
        };
        Some(Self {
            chunk_len,
            header,
            words,
        })
    }

    /// Bytes of a chunk: eight rows.
    #[inline(always)]
    pub(super) const fn chunk_bytes(self) -> usize {
        self.header + self.words * 4 * PANEL
    }

    /// Blocks of 32 values in a chunk.
    #[inline(always)]
    pub(super) const fn subs(self) -> usize {
        self.chunk_len / SUB
    }
}
