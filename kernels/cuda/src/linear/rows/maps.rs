//! [`RowMaps`]: maps of memory that holds rows of several widths in turn.

use crate::{CudaError, Device, Memory, TensorMap};

/// Maps of a memory, by the width of a row in numbers of 16 bits. There are as many as layers have widths.
#[derive(Debug, Default)]
pub(super) struct RowMaps(Vec<(usize, TensorMap)>);

impl RowMaps {
    /// The map for rows of this width. It has as many rows as there is room for: those behind the last one
    /// hold anything. `None` where the device has no maps, or there are no values.
    pub(super) fn of(
        &mut self,
        device: &Device,
        memory: &Memory,
        width: usize,
    ) -> Result<Option<&TensorMap>, CudaError> {
        let at = match self.0.iter().position(|(known, _)| *known == width) {
            Some(at) => at,
            None => {
                let n_rows = (memory.len() / 2).checked_div(width).unwrap_or(0);
                let Some(map) = device.tensor_map(memory, [n_rows, width])? else {
                    return Ok(None);
                };
                self.0.push((width, map));
                self.0.len() - 1
            }
        };
        Ok(Some(&self.0[at].1))
    }
}
