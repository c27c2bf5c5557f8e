//! [`Encoding`]: how the values of a matrix are stored.

use ponder_kernels_cpu::BlockFormat;
use ponder_kernels_cpu::linear::Encoding as FileEncoding;

use super::GROUP;

/// How the values of a matrix are stored, in a file or on the device. All are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the usual ones and say all there is to say.
pub enum Encoding {
    F32,
    F16,
    BF16,
    /// E4M3, with a scale for each 128 values of a row.
    Fp8,
    /// Quantized in blocks along a row.
    Block(BlockFormat),
}

impl Encoding {
    /// Values of a row that kernels for few rows of activations load at once, and rows are a whole number
    /// of.
    pub(super) fn chunk(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 8,
            Self::Fp8 => 16,
            Self::Block(_) => super::UNIT,
        }
    }

    /// Bytes of a row in a file; `None` where it is no whole number of blocks.
    pub(super) fn file_row_bytes(self, row_len: usize) -> Option<usize> {
        match self {
            Self::F32 => row_len.checked_mul(4),
            Self::F16 | Self::BF16 => row_len.checked_mul(2),
            Self::Fp8 => Some(row_len),
            Self::Block(format) => row_len
                .is_multiple_of(format.block_len())
                .then(|| row_len / format.block_len() * format.block_bytes()),
        }
    }

    /// Values that rows are filled up to a multiple of on the device.
    pub(super) fn filled_to(self) -> usize {
        match self {
            Self::Fp8 => GROUP,
            _ => super::UNIT,
        }
    }
}

impl From<FileEncoding> for Encoding {
    fn from(encoding: FileEncoding) -> Self {
        match encoding {
            FileEncoding::F32 => Self::F32,
            FileEncoding::F16 => Self::F16,
            FileEncoding::BF16 => Self::BF16,
            FileEncoding::Block(format) => Self::Block(format),
        }
    }
}
