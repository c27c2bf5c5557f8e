use super::shape::DecodeLaunch;
use crate::view::FLOAT;
use crate::{CudaError, Device, Memory};

/// Where parts of attention lie until they are put together. One serves all layers, in turn.
#[derive(Debug)]
pub struct AttentionScratch {
    device: Device,
    sums: Memory,
    states: Memory,
    /// How many parts have been finished; 0 between launches.
    counters: Memory,
}

impl AttentionScratch {
    /// Room for nothing yet.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            sums: device.alloc(0)?,
            states: device.alloc(0)?,
            counters: device.alloc(0)?,
        })
    }

    /// Makes room for `n_columns` times as many parts as a launch has splits; a column is a tile and
    /// a KV head of a span.
    pub(super) fn reserve(
        &mut self,
        launch: &DecodeLaunch,
        n_columns: usize,
        head_dim: usize,
    ) -> Result<(), CudaError> {
        let n_rows = n_columns * launch.n_splits * launch.part_rows;
        let wanted = [
            n_rows * head_dim * FLOAT,
            n_rows * 2 * FLOAT,
            n_columns * FLOAT,
        ];
        let memories = [&mut self.sums, &mut self.states, &mut self.counters];
        for (memory, wanted) in memories.into_iter().zip(wanted) {
            if self.device.grow(memory, wanted)? {
                self.device.clear(memory, 0, memory.len())?;
            }
        }
        Ok(())
    }

    /// Sums, states, counters.
    pub(super) fn memories(&self) -> [&Memory; 3] {
        [&self.sums, &self.states, &self.counters]
    }
}
