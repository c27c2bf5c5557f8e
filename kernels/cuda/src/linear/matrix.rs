//! Weights on a device.

use super::pieces::Pieces;
use super::planes::Planes;
use super::{Encoding, GROUP, GroupScales, UNIT};
use crate::{CudaError, Device, Memory, Source, TensorMap};

/// `[n_rows, row_len]` weights on a device.
///
/// Blocks stay as they are, only their parts lie apart; formats without a kernel are widened to
/// float32. Rows of plain numbers are filled up with zeros to a multiple of 32 values, those of FP8 to a
/// multiple of 128; the scales of all rows of FP8 lie behind them.
#[derive(Debug)]
pub struct Matrix {
    memory: Memory,
    /// As they lie on the device.
    encoding: Encoding,
    n_rows: usize,
    row_len: usize,
    /// Of weights that kernels copy as they are, where the device has maps.
    map: Option<TensorMap>,
}

impl Matrix {
    /// Brings the rows of a file, little-endian and row by row, to the device, while other things
    /// happen: what uses the matrix comes after that, and is where failures show. Each source has as
    /// many rows as any other.
    ///
    /// # Errors
    /// Where the device has not enough memory, and of the driver.
    ///
    /// # Panics
    /// If the sources are not exactly `shape`, `[n_rows, row_len]`, or rows of a block format are no whole
    /// number of blocks.
    pub fn bring(
        device: &Device,
        encoding: Encoding,
        sources: Vec<impl Source + 'static>,
        shape: [usize; 2],
    ) -> Result<Self, CudaError> {
        check_sources(encoding, &sources, shape);
        if encoding == Encoding::BF16 {
            device.expect_library();
        }
        let (pieces, encoding) = Pieces::new(sources, encoding, shape);
        Self::deliver(device, pieces, encoding, shape)
    }

    /// The same for rows of E4M3, each source of which has scales.
    ///
    /// # Errors
    /// As for [`Matrix::bring`].
    ///
    /// # Panics
    /// Likewise, and if a source has not a scale for each 128 values of a row.
    pub fn bring_fp8(
        device: &Device,
        sources: Vec<(impl Source + 'static, GroupScales)>,
        shape @ [n_rows, row_len]: [usize; 2],
    ) -> Result<Self, CudaError> {
        let (sources, scales): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        check_sources(Encoding::Fp8, &sources, shape);
        let n_own_rows = n_rows / sources.len().max(1);
        for scales in &scales {
            assert!(
                scales.suffice(n_own_rows, row_len.div_ceil(GROUP)),
                "{} scales for [{n_own_rows}, {row_len}]",
                scales.values.len()
            );
        }
        let pieces = Pieces::fp8(sources, scales, shape);
        Self::deliver(device, pieces, Encoding::Fp8, shape)
    }

    fn deliver(
        device: &Device,
        pieces: Pieces<impl Source + 'static>,
        encoding: Encoding,
        [n_rows, row_len]: [usize; 2],
    ) -> Result<Self, CudaError> {
        let memory = device.deliver(pieces)?;
        let map = match encoding {
            Encoding::BF16 => {
                device.tensor_map(&memory, [n_rows, row_len.next_multiple_of(UNIT)])?
            }
            // Two codes are a number of 16 bits to it.
            Encoding::Fp8 => {
                device.tensor_map(&memory, [n_rows, row_len.next_multiple_of(GROUP) / 2])?
            }
            Encoding::F32 | Encoding::F16 | Encoding::Block(_) => None,
        };
        Ok(Self {
            memory,
            encoding,
            n_rows,
            row_len,
            map,
        })
    }

    /// The same for bytes that are needed elsewhere.
    ///
    /// # Errors
    /// As for [`Matrix::bring`].
    ///
    /// # Panics
    /// Likewise.
    pub fn upload(
        device: &Device,
        encoding: Encoding,
        bytes: &[u8],
        shape: [usize; 2],
    ) -> Result<Self, CudaError> {
        Self::bring(device, encoding, vec![bytes.to_vec()], shape)
    }

    /// Whether weights stay as they are in a file; others are widened to float32.
    pub fn is_kept(encoding: Encoding) -> bool {
        match encoding {
            Encoding::Block(format) => Planes::of(format).is_some(),
            Encoding::F32 | Encoding::F16 | Encoding::BF16 | Encoding::Fp8 => true,
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

    pub(super) fn map(&self) -> Option<&TensorMap> {
        self.map.as_ref()
    }
}

/// Panics unless the sources are a matrix of this shape, cut into equally many rows each.
fn check_sources(encoding: Encoding, sources: &[impl Source], [n_rows, row_len]: [usize; 2]) {
    let row_bytes = encoding.file_row_bytes(row_len);
    let n_sources = sources.len().max(1);
    assert!(
        n_rows.is_multiple_of(n_sources),
        "{n_rows} rows of {n_sources} sources"
    );
    for source in sources {
        let n_bytes = source.bytes().len();
        assert!(
            row_bytes.is_some_and(|row_bytes| n_bytes == n_rows / n_sources * row_bytes),
            "{encoding:?}: {n_bytes} bytes are not [{}, {row_len}]",
            n_rows / n_sources
        );
    }
    // Kernels count units in 32 bits.
    let row_units = row_len.next_multiple_of(encoding.filled_to()) / UNIT;
    assert!(u32::try_from(n_rows.max(1) * row_units).is_ok());
    assert!(u32::try_from(n_rows.max(row_len)).is_ok());
}
