//! Weights on a device.

use ponder_kernels_cpu::{BlockFormat, dequantize};

use super::planes::Planes;
use super::split::split;
use super::{Encoding, UNIT};
use crate::{CudaError, Device, Memory};

/// Bytes of a file that are brought over at a time, or one row or block if that is longer.
const PIECE: usize = 8 << 20;

/// `[n_rows, row_len]` weights on a device.
///
/// Blocks stay as they are, only their parts lie apart; formats without a kernel are widened to
/// float32. Rows of plain numbers are filled up with zeros to a multiple of 32 values.
#[derive(Debug)]
pub struct Matrix {
    memory: Memory,
    /// As they lie on the device.
    encoding: Encoding,
    n_rows: usize,
    row_len: usize,
}

impl Matrix {
    /// Brings the rows of a file, little-endian and row by row, to the device.
    ///
    /// # Errors
    /// Where the device has not enough memory, and of the driver.
    ///
    /// # Panics
    /// If `bytes` is not exactly `shape`, `[n_rows, row_len]`, or rows of a block format are no whole
    /// number of blocks.
    pub fn upload(
        device: &Device,
        encoding: Encoding,
        bytes: &[u8],
        shape @ [n_rows, row_len]: [usize; 2],
    ) -> Result<Self, CudaError> {
        let row_bytes = file_row_bytes(encoding, row_len);
        assert!(
            row_bytes.is_some_and(|row_bytes| bytes.len() == n_rows * row_bytes),
            "{encoding:?}: {} bytes are not [{n_rows}, {row_len}]",
            bytes.len()
        );
        assert!(u32::try_from(n_rows).is_ok() && u32::try_from(row_len).is_ok());
        let (encoding, memory) = match encoding {
            Encoding::Block(format) => match Planes::of(format) {
                Some(planes) => (encoding, upload_planes(device, format, planes, bytes)?),
                None => (Encoding::F32, upload_widened(device, format, bytes, shape)?),
            },
            Encoding::F32 => (encoding, upload_floats(device, 4, bytes, shape)?),
            Encoding::F16 | Encoding::BF16 => {
                if encoding == Encoding::BF16 {
                    device.expect_library();
                }
                (encoding, upload_floats(device, 2, bytes, shape)?)
            }
        };
        Ok(Self {
            memory,
            encoding,
            n_rows,
            row_len,
        })
    }

    /// Whether weights stay as they are in a file; others are widened to float32.
    pub fn is_kept(encoding: Encoding) -> bool {
        match encoding {
            Encoding::Block(format) => Planes::of(format).is_some(),
            Encoding::F32 | Encoding::F16 | Encoding::BF16 => true,
        }
    }

    /// How many rows there are: the width of a product.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row: the width of the input.
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// How the values lie on the device.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// Bytes of a row in a file; `None` where it is no whole number of blocks.
fn file_row_bytes(encoding: Encoding, row_len: usize) -> Option<usize> {
    match encoding {
        Encoding::F32 => row_len.checked_mul(4),
        Encoding::F16 | Encoding::BF16 => row_len.checked_mul(2),
        Encoding::Block(format) => row_len
            .is_multiple_of(format.block_len())
            .then(|| row_len / format.block_len() * format.block_bytes()),
    }
}

fn upload_planes(
    device: &Device,
    format: BlockFormat,
    planes: Planes,
    bytes: &[u8],
) -> Result<Memory, CudaError> {
    let block_bytes = format.block_bytes();
    let sizes = planes.of_block();
    let offsets = planes.offsets(bytes.len() / block_bytes);
    let memory = device.alloc(offsets[4].max(1))?;
    let piece = (PIECE / block_bytes).max(1);
    let mut staging = sizes.map(|size| vec![0; size * piece.min(bytes.len() / block_bytes)]);
    for (i, bytes) in bytes.chunks(piece * block_bytes).enumerate() {
        let n = bytes.len() / block_bytes;
        let [first, second, units, blocks] = &mut staging;
        split(
            format,
            bytes,
            [
                &mut first[..n * sizes[0]],
                &mut second[..n * sizes[1]],
                &mut units[..n * sizes[2]],
                &mut blocks[..n * sizes[3]],
            ],
        );
        for (plane, staging) in staging.iter().enumerate() {
            let at = offsets[plane] + i * piece * sizes[plane];
            device.upload(&staging[..n * sizes[plane]], &memory, at)?;
        }
    }
    Ok(memory)
}

fn upload_widened(
    device: &Device,
    format: BlockFormat,
    bytes: &[u8],
    [n_rows, row_len]: [usize; 2],
) -> Result<Memory, CudaError> {
    // Whole blocks are whole units, so nothing is filled up.
    let memory = device.alloc((n_rows * row_len * 4).max(1))?;
    let piece = (PIECE / 4 / format.block_len()).max(1);
    let mut values = Vec::new();
    let mut staging = Vec::new();
    for (i, bytes) in bytes.chunks(piece * format.block_bytes()).enumerate() {
        values.resize(
            bytes.len() / format.block_bytes() * format.block_len(),
            0.0f32,
        );
        dequantize(format, bytes, &mut values);
        staging.clear();
        staging.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        device.upload(&staging, &memory, i * piece * format.block_len() * 4)?;
    }
    Ok(memory)
}

fn upload_floats(
    device: &Device,
    size: usize,
    bytes: &[u8],
    [n_rows, row_len]: [usize; 2],
) -> Result<Memory, CudaError> {
    let (from, to) = (row_len * size, row_len.next_multiple_of(UNIT) * size);
    let memory = device.alloc((n_rows * to).max(1))?;
    if from == to {
        for (i, bytes) in bytes.chunks(PIECE).enumerate() {
            device.upload(bytes, &memory, i * PIECE)?;
        }
        return Ok(memory);
    }
    if from == 0 {
        return Ok(memory);
    }
    let piece = (PIECE / to).max(1);
    let mut staging = vec![0; piece.min(n_rows) * to];
    for (i, bytes) in bytes.chunks(piece * from).enumerate() {
        for (row, staging) in bytes.chunks(from).zip(staging.chunks_mut(to)) {
            staging[..from].copy_from_slice(row);
        }
        let n = bytes.len() / from;
        device.upload(&staging[..n * to], &memory, i * piece * to)?;
    }
    Ok(memory)
}
