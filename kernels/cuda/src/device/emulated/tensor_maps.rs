//! Tensor maps, as `cu/emulation/tiles.cpp` reads them.

use super::Emulated;
use crate::CudaError;
use crate::device::tensor_map::{Encoded, TILE, TensorMaps};

/// What maps begin with.
const IS_MAP: u64 = 0x7061_6d5f_7461_6c66;

/// Bytes of the pattern that chunks lie in.
const SWIZZLE: u64 = 128;

impl TensorMaps for Emulated {
    fn encode(&self, address: u64, [n_rows, row_len]: [usize; 2]) -> Result<Encoded, CudaError> {
        let [tile_rows, tile_len] = TILE.map(u64::from);
        let (n_rows, row_len) = (n_rows as u64, row_len as u64);
        let numbers = [
            IS_MAP, address, n_rows, row_len, tile_rows, tile_len, SWIZZLE,
        ];
        let mut encoded = Encoded([0; 128]);
        let places = encoded.0.as_chunks_mut().0.iter_mut();
        places
            .zip(numbers)
            .for_each(|(place, number)| *place = number.to_ne_bytes());
        Ok(encoded)
    }
}
