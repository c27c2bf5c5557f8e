//! Blocks and recurrent states that the device has no room for, in the machine's memory.

use ponder_kernels_cuda::{
    CudaError, Device, HostMemory,
    attention::{CacheLayer, KvFormat},
    recurrent::SlotStates,
};

use super::state::cache_shape;
use crate::cache::{CachePlan, LayerStorage};

/// Bytes that come at a time: getting pinned memory takes long, so nobody waits for more than is
/// needed.
const SEGMENT: usize = 64 << 20;

/// Blocks of each group that so many bytes hold.
pub(super) fn n_blocks(plan: &CachePlan, format: KvFormat, bytes: u64) -> usize {
    let shapes = plan.groups.iter().flat_map(|group| &group.shapes);
    let of_block = shapes.map(|shape| 2 * cache_shape(shape, format, 0).block_bytes());
    let n_blocks = bytes.checked_div(of_block.sum::<usize>() as u64);
    usize::try_from(n_blocks.unwrap_or(0)).unwrap_or(usize::MAX)
}

/// All that is kept. Memory comes as places come into use.
#[derive(Debug)]
pub(super) struct Kept {
    /// By group.
    blocks: Vec<Places>,
    slots: Places,
}

impl Kept {
    pub(super) fn new(
        device: &Device,
        layers: &mut LayerStorage<CacheLayer, SlotStates>,
        n_groups: usize,
    ) -> Self {
        let blocks = (0..n_groups).map(|group| {
            let bytes = layers.group(group).map(|layer| layer.shape().block_bytes());
            Places::new(device, 2 * bytes.sum::<usize>())
        });
        let blocks = blocks.collect();
        let states = layers.all_recurrent().map(|states| states.slot_bytes());
        Self {
            blocks,
            slots: Places::new(device, states.sum()),
        }
    }

    /// Where a block of all layers in a group goes.
    pub(super) fn block(
        &mut self,
        group: usize,
        place: u32,
    ) -> Result<(&HostMemory, usize), CudaError> {
        self.blocks[group].get(place)
    }

    /// Where a state of all recurrent layers goes.
    pub(super) fn slot(&mut self, place: u32) -> Result<(&HostMemory, usize), CudaError> {
        self.slots.get(place)
    }
}

/// Pieces of equal length.
#[derive(Debug)]
struct Places {
    device: Device,
    len: usize,
    segments: Vec<Option<HostMemory>>,
}

impl Places {
    fn new(device: &Device, len: usize) -> Self {
        Self {
            device: device.clone(),
            len,
            segments: Vec::new(),
        }
    }

    /// The memory that has a piece, and where in it the piece begins.
    fn get(&mut self, place: u32) -> Result<(&HostMemory, usize), CudaError> {
        let n_pieces = (SEGMENT / self.len.max(1)).max(1);
        let (index, piece) = (place as usize / n_pieces, place as usize % n_pieces);
        if self.segments.len() <= index {
            self.segments.resize_with(index + 1, || None);
        }
        let segment = &mut self.segments[index];
        let memory = match segment.take() {
            Some(memory) => memory,
            None => self.device.host_memory(n_pieces * self.len)?,
        };
        Ok((segment.insert(memory), piece * self.len))
    }
}
