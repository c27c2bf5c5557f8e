//! Keys, values and recurrent states of all sequences.

use ponder_kernels_cuda::{
    CudaError, Device,
    attention::{CacheLayer, CacheShape, KvFormat},
    recurrent::SlotStates,
};

use crate::cache::{CacheCapacity, CacheCopy, CachePlan, KvShape, LayerSlot};

/// The storage behind the cache's bookkeeping.
#[derive(Debug)]
pub struct State {
    groups: Vec<Vec<CacheLayer>>,
    recurrent: Vec<SlotStates>,
}

impl State {
    pub(super) fn new(
        device: &Device,
        plan: &CachePlan,
        capacity: CacheCapacity,
        format: KvFormat,
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
        let groups = plan.groups.iter();
        let groups = groups.map(|group| group.shapes.iter().map(layer).collect());
        let slots = plan.recurrent.iter();
        let slots = slots.map(|state| SlotStates::new(device, capacity.n_slots, state.len));
        Ok(Self {
            groups: groups.collect::<Result<_, _>>()?,
            recurrent: slots.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn copy(&self, copy: CacheCopy) -> Result<(), CudaError> {
        let mut recurrent = self.recurrent.iter();
        match copy {
            CacheCopy::Block { group, from, to } => {
                let mut layers = self.groups[group].iter();
                layers.try_for_each(|layer| layer.copy_block(from, to))
            }
            CacheCopy::Slot { from, to } => {
                recurrent.try_for_each(|states| states.copy_slot(from, to))
            }
            CacheCopy::ClearSlot { slot } => {
                recurrent.try_for_each(|states| states.clear_slot(slot))
            }
        }
    }

    /// An attention layer's group, and its storage.
    pub(super) fn layer(&self, slot: LayerSlot) -> (usize, &CacheLayer) {
        match slot {
            LayerSlot::Kv { group, index } => (group, &self.groups[group][index]),
            LayerSlot::Recurrent { .. } => {
                unreachable!("the plan gave this layer a recurrent state")
            }
        }
    }

    /// The states of a recurrent layer.
    pub(super) fn slots(&self, slot: LayerSlot) -> &SlotStates {
        match slot {
            LayerSlot::Recurrent { index } => &self.recurrent[index],
            LayerSlot::Kv { .. } => unreachable!("the plan gave this layer keys and values"),
        }
    }
}
