//! Tensor maps of the driver.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use super::Driver;
use super::embedded::ARCHITECTURES;
use crate::CudaError;
use crate::device::tensor_map::{Encoded, TILE, TensorMaps};

/// `cuTensorMapEncodeTiled`: where the map goes; type and number of dimensions; address, sizes, and
/// bytes from a row to the next; sizes of a tile, and steps of its values; how they are interleaved and
/// swizzled, how much of them the second-level cache brings, and what stands for values beside the matrix.
pub(super) type EncodeTiled = unsafe extern "system" fn(
    *mut c_void,
    c_int,
    c_uint,
    *mut c_void,
    *const u64,
    *const u64,
    *const u32,
    *const u32,
    c_int,
    c_int,
    c_int,
    c_int,
) -> super::Status;

/// What kernels for warpgroups are compiled for, and run on.
const ARCHITECTURE: &str = "90a";
const CAPABILITY: (u32, u32) = (9, 0);

/// Of the driver's enumerations.
const UINT16: c_int = 1;
const INTERLEAVE_NONE: c_int = 0;
const SWIZZLE_128B: c_int = 3;
const L2_PROMOTION_256B: c_int = 3;
const FILL_ZERO: c_int = 0;

impl Driver {
    /// Whether kernels that copy by tensor maps run.
    pub(super) fn has_tensor_maps(&self) -> bool {
        self.context.api.encode_tiled.is_some()
            && self.properties.compute_capability == CAPABILITY
            && ARCHITECTURES.contains(&ARCHITECTURE)
    }
}

impl TensorMaps for Driver {
    fn encode(&self, address: u64, [n_rows, row_len]: [usize; 2]) -> Result<Encoded, CudaError> {
        let encode = self.context.api.encode_tiled;
        let encode = encode.expect("asked only where there is one");
        let mut encoded = Encoded([0; 128]);
        // The innermost dimension comes first.
        let (sizes, row_bytes) = ([row_len as u64, n_rows as u64], row_len as u64 * 2);
        let (tile, steps) = ([TILE[1], TILE[0]], [1, 1]);
        self.context.enter()?;
        // SAFETY: it writes 128 bytes, aligned to 64, and reads two sizes each, and the distance of rows;
        // the address is only noted.
        let status = unsafe {
            encode(
                encoded.0.as_mut_ptr().cast(),
                UINT16,
                2,
                ptr::with_exposed_provenance_mut(address as usize),
                sizes.as_ptr(),
                &raw const row_bytes,
                tile.as_ptr(),
                steps.as_ptr(),
                INTERLEAVE_NONE,
                SWIZZLE_128B,
                L2_PROMOTION_256B,
                FILL_ZERO,
            )
        };
        self.context.check(status, "describing a matrix")?;
        Ok(encoded)
    }
}
