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
    /// `None` for layers that are elsewhere.
    groups: Vec<Vec<Option<CacheLayer>>>,
    /// Likewise.
    recurrent: Vec<Option<SlotStates>>,
}

impl State {
    pub(super) fn new(
        device: &Device,
        plan: &CachePlan,
        capacity: CacheCapacity,
        format: KvFormat,
        is_own: &dyn Fn(LayerSlot) -> bool,
    ) -> Result<Self, CudaError> {
        let layer = |slot, shape: &KvShape| {
            let shape = CacheShape {
                format,
                n_kv_heads: shape.n_heads,
                head_dim: shape.head_dim,
                n_blocks: capacity.n_blocks,
            };
            let cache = is_own(slot).then(|| CacheLayer::new(device, shape));
            cache.transpose()
        };
        let groups = plan.groups.iter().enumerate().map(|(group, of)| {
            let shapes = of.shapes.iter().enumerate();
            let layers = shapes.map(|(index, shape)| layer(LayerSlot::Kv { group, index }, shape));
            layers.collect()
        });
        let recurrent = plan.recurrent.iter().enumerate().map(|(index, state)| {
            let is_own = is_own(LayerSlot::Recurrent { index });
            let states = is_own.then(|| SlotStates::new(device, capacity.n_slots, state.len));
            states.transpose()
        });
        Ok(Self {
            groups: groups.collect::<Result<_, CudaError>>()?,
            recurrent: recurrent.collect::<Result<_, CudaError>>()?,
        })
    }

    pub(super) fn copy(&self, copy: CacheCopy) -> Result<(), CudaError> {
        let mut recurrent = self.recurrent.iter().flatten();
        match copy {
            CacheCopy::Block { group, from, to } => {
                let mut layers = self.groups[group].iter().flatten();
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
            LayerSlot::Kv { group, index } => {
                let cache = self.groups[group][index].as_ref();
                (group, cache.expect("the layer is one of this device's"))
            }
            LayerSlot::Recurrent { .. } => {
                unreachable!("the plan gave this layer a recurrent state")
            }
        }
    }

    /// The states of a recurrent layer.
    pub(super) fn slots(&self, slot: LayerSlot) -> &SlotStates {
        match slot {
            LayerSlot::Recurrent { index } => {
                let states = self.recurrent[index].as_ref();
                states.expect("the layer is one of this device's")
            }
            LayerSlot::Kv { .. } => unreachable!("the plan gave this layer keys and values"),
        }
    }
}
