//! Keys, values and recurrent states of all sequences.

use std::ops::Range;

use ponder_kernels_cuda::{
    CudaError, Device,
    attention::{CacheLayer, CacheShape, KvFormat},
    recurrent::SlotStates,
};

use crate::cache::{CacheCapacity, CacheCopy, CachePlan, KvShape, LayerStorage, RecurrentState};

/// The storage behind the cache's bookkeeping.
#[derive(Debug)]
pub struct State {
    pub(super) layers: LayerStorage<CacheLayer, SlotStates>,
}

impl State {
    pub(super) fn new(
        device: &Device,
        plan: &CachePlan,
        capacity: CacheCapacity,
        format: KvFormat,
        layers: Range<usize>,
    ) -> Result<Self, CudaError> {
        let layer = |shape: &KvShape| {
            let shape = CacheShape {
                format,
                n_kv_heads: shape.n_heads,
                head_dim: shape.head_dim,
                n_blocks: capacity.n_blocks,
            };
            CacheLayer::new(device, shape)
        };
        let states = |state: &RecurrentState| SlotStates::new(device, capacity.n_slots, state.len);
        Ok(Self {
            layers: LayerStorage::new(plan, layers, layer, states)?,
        })
    }

    pub(super) fn copy(&mut self, copy: CacheCopy) -> Result<(), CudaError> {
        let layers = &mut self.layers;
        match copy {
            CacheCopy::Block { group, from, to } => layers
                .group(group)
                .try_for_each(|layer| layer.copy_block(from, to)),
            CacheCopy::Slot { from, to } => layers
                .all_recurrent()
                .try_for_each(|states| states.copy_slot(from, to)),
            CacheCopy::ClearSlot { slot } => layers
                .all_recurrent()
                .try_for_each(|states| states.clear_slot(slot)),
        }
    }
}
