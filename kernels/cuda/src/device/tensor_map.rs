//! Tensor maps: what a device has to know of a matrix to copy tiles of it by itself.

use super::{Device, Memory};
use crate::CudaError;

/// Rows of a tile, and values of a row: those of `cu/warpgroup.cuh`.
pub(super) const TILE: [u32; 2] = [64, 64];

/// How kernels copy tiles of a matrix of 16-bit numbers. The memory is kept until this is dropped and
/// no [`Graph`](super::Graph) uses it.
#[derive(Debug)]
pub struct TensorMap {
    encoded: Encoded,
    memory: Memory,
}

/// A tensor map as a machine writes it: an argument of a kernel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Encoded(pub(super) [u8; 128]);

/// What a machine has that copies tiles by itself, and multiplies them by four warps at a time: that of
/// compute capability 9.0, if the kernels were compiled for it.
pub(super) trait TensorMaps {
    /// The map of a matrix, `[n_rows, row_len]`, at this address.
    fn encode(&self, address: u64, shape: [usize; 2]) -> Result<Encoded, CudaError>;
}

impl Device {
    /// Whether there are tensor maps, and kernels that copy by them.
    pub fn has_tensor_maps(&self) -> bool {
        self.machine.tensor_maps().is_some()
    }

    /// The map of a matrix of 16-bit numbers, `[n_rows, row_len]`, row by row from the beginning of the
    /// memory on. `None` where the device has none, or the matrix nothing.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// Where the matrix does not fit, or a row is no multiple of eight values.
    pub fn tensor_map(
        &self,
        memory: &Memory,
        shape @ [n_rows, row_len]: [usize; 2],
    ) -> Result<Option<TensorMap>, CudaError> {
        let address = memory.range(0, n_rows * row_len * 2);
        assert!(row_len.is_multiple_of(8), "rows of {row_len} values");
        let Some(maps) = self.machine.tensor_maps() else {
            return Ok(None);
        };
        if n_rows == 0 || row_len == 0 {
            return Ok(None);
        }
        Ok(Some(TensorMap {
            encoded: maps.encode(address, shape)?,
            memory: memory.share(),
        }))
    }
}

impl TensorMap {
    pub(super) fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// The same map, which keeps the memory, too.
    pub(super) fn share(&self) -> Self {
        Self {
            encoded: self.encoded,
            memory: self.memory.share(),
        }
    }

    /// What it describes.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}
