//! Keys, values and recurrent states of all sequences.

use std::ops::Range;

use ponder_kernels_cuda::{
    CudaError, Device,
    attention::{CacheLayer, CacheShape, KvFormat},
    recurrent::SlotStates,
};

use super::swapped::Kept;
use crate::cache::{CacheCapacity, CacheCopy, CachePlan, KvShape, LayerStorage, RecurrentState};

/// The storage behind the cache's bookkeeping.
#[derive(Debug)]
pub struct State {
    pub(super) layers: LayerStorage<CacheLayer, SlotStates>,
    kept: Kept,
}

/// The shape of a layer's cache.
pub(super) fn cache_shape(shape: &KvShape, format: KvFormat, n_blocks: usize) -> CacheShape {
    CacheShape {
        format,
        n_kv_heads: shape.n_heads,
        head_dim: shape.head_dim,
        n_blocks,
    }
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
            CacheLayer::new(device, cache_shape(shape, format, capacity.n_blocks))
        };
        let states = |state: &RecurrentState| SlotStates::new(device, capacity.n_slots, state.len);
        let mut layers = LayerStorage::new(plan, layers, layer, states)?;
        let kept = Kept::new(device, &mut layers, plan.groups.len());
        Ok(Self { layers, kept })
    }

    pub(super) fn copy(&mut self, copy: CacheCopy) -> Result<(), CudaError> {
        let (layers, kept) = (&mut self.layers, &mut self.kept);
        match copy {
            CacheCopy::KeepBlock { group, from, to } => {
                let (memory, at) = kept.block(group, to)?;
                layers.group(group).try_fold(at, |at, layer| {
                    layer.keep_block(from, memory, at)?;
                    Ok::<_, CudaError>(at + 2 * layer.shape().block_bytes())
                })?;
                Ok(())
            }
            CacheCopy::RestoreBlock { group, from, to } => {
                let (memory, at) = kept.block(group, from)?;
                layers.group(group).try_fold(at, |at, layer| {
                    layer.restore_block(memory, at, to)?;
                    Ok::<_, CudaError>(at + 2 * layer.shape().block_bytes())
                })?;
                Ok(())
            }
            CacheCopy::KeepSlot { from, to } => {
                let (memory, at) = kept.slot(to)?;
                layers.all_recurrent().try_fold(at, |at, states| {
                    states.keep_slot(from, memory, at)?;
                    Ok::<_, CudaError>(at + states.slot_bytes())
                })?;
                Ok(())
            }
            CacheCopy::RestoreSlot { from, to } => {
                let (memory, at) = kept.slot(from)?;
                layers.all_recurrent().try_fold(at, |at, states| {
                    states.restore_slot(memory, at, to)?;
                    Ok::<_, CudaError>(at + states.slot_bytes())
                })?;
                Ok(())
            }
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
