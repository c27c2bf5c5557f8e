//! [`Fp8Rows`]: activations in eight bits.

use super::maps::RowMaps;
use super::{Source, by_row};
use crate::linear::GROUP;
use crate::view::joined;
use crate::{Arg, CudaError, Device, Memory, TensorMap};

/// What numbers are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::linear) enum Fp8Scale {
    /// A float for each 128 values.
    Float,
    /// A power of two for each 32 values: MXFP8.
    Powers,
}

/// Activations as scale × E4M3.
#[derive(Debug)]
pub(in crate::linear) struct Fp8Rows {
    /// `[n_rows, width]`, a byte each, rows filled up with zeros to a multiple of 128 values.
    pub(in crate::linear) codes: Memory,
    /// `[n_rows, width / 128]` of float32, or of four bytes that are 127 above an exponent.
    pub(in crate::linear) scales: Memory,
    maps: RowMaps,
}

impl Fp8Rows {
    /// Room for rows of this shape, and for `n_values` of such rows in any case.
    pub(super) fn new(
        device: &Device,
        [n, width]: [usize; 2],
        n_values: usize,
    ) -> Result<Self, CudaError> {
        let n_rows = n_values.checked_div(width).unwrap_or(0).max(n).max(1);
        let n_groups = n_rows * width.div_ceil(GROUP).max(1);
        Ok(Self {
            codes: device.alloc(n_groups * GROUP)?,
            scales: device.alloc(n_groups * 4)?,
            maps: RowMaps::default(),
        })
    }

    pub(super) fn has_room(&self, [n, width]: [usize; 2]) -> bool {
        self.scales.len() >= n * width.div_ceil(GROUP) * 4
    }

    /// The map of rows of this width, and their scales.
    pub(super) fn map(
        &mut self,
        device: &Device,
        width: usize,
    ) -> Result<Option<(&TensorMap, &Memory)>, CudaError> {
        let padded = width.next_multiple_of(GROUP);
        let map = self.maps.of(device, &self.codes, padded / 2)?;
        Ok(map.map(|map| (map, &self.scales)))
    }

    pub(super) fn round(
        &self,
        device: &Device,
        x: Source<'_>,
        [n, width]: [usize; 2],
        scale: Fp8Scale,
    ) -> Result<(), CudaError> {
        if n == 0 {
            return Ok(());
        }
        let to = [
            Arg::Memory(&self.codes, 0),
            Arg::Memory(&self.scales, 0),
            Arg::U32(width.next_multiple_of(GROUP) as u32),
        ];
        let args: [_; 8] = joined(x.args(width), to);
        let kernel = match scale {
            Fp8Scale::Float => "round_fp8",
            Fp8Scale::Powers => "round_mxfp8",
        };
        // SAFETY: the arguments are those of the kernel; it reads `n` rows of `width`, which there are, and
        // as many weights, and writes as many in whole groups, and four bytes for each, for which there is room.
        unsafe { device.launch(kernel, by_row(n, 0), &args) }
    }
}
