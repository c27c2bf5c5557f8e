//! [`Halves`]: activations in half precision.

use super::{UNIT, by_row};
use crate::{Arg, CudaError, Device, Memory};

/// Activations as scale × value, with a power of two for each row: half precision has not the range of
/// float32.
#[derive(Debug)]
pub(in crate::linear) struct Halves {
    /// `[n_rows, width]` of float16, rows filled up with zeros to a multiple of 32 values.
    pub(in crate::linear) values: Memory,
    /// `[n_rows]` of float32.
    pub(in crate::linear) scales: Memory,
}

impl Halves {
    /// Room for rows of this shape, and for `n_values` in any case.
    pub(super) fn new(
        device: &Device,
        [n, width]: [usize; 2],
        n_values: usize,
    ) -> Result<Self, CudaError> {
        let len = (n * width.next_multiple_of(UNIT)).max(n_values).max(1);
        Ok(Self {
            values: device.alloc(len * 2)?,
            scales: device.alloc(n_values.div_ceil(width.max(1)).max(n).max(1) * 4)?,
        })
    }

    pub(super) fn has_room(&self, [n, width]: [usize; 2]) -> bool {
        self.values.len() >= n * width.next_multiple_of(UNIT) * 2 && self.scales.len() >= n * 4
    }

    pub(super) fn round(
        &self,
        device: &Device,
        x: &Memory,
        [n, width]: [usize; 2],
    ) -> Result<(), CudaError> {
        if n == 0 {
            return Ok(());
        }
        let args = [
            Arg::Memory(x, 0),
            Arg::U32(width as u32),
            Arg::Memory(&self.values, 0),
            Arg::U32(width.next_multiple_of(UNIT) as u32),
            Arg::Memory(&self.scales, 0),
        ];
        // SAFETY: the arguments are those of the kernel; it reads `n` rows of `width`, which there are,
        // and writes as many, filled up, and a scale for each, for which there is room.
        unsafe { device.launch("round_f16", by_row(n, 0), &args) }
    }
}
