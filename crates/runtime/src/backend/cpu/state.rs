//! Keys, values and recurrent states of all sequences.

use std::io;

use ponder_kernels_cpu::HugeBytes;
use ponder_kernels_cpu::attention::{AttentionScratch, KvFormat, KvLayout};

use super::attention::Turns;
use crate::cache::{CacheCapacity, CacheCopy, CachePlan, KvShape, LayerSlot};

/// The storage behind the cache's bookkeeping. Its memory is the system's until it is used.
#[derive(Debug)]
pub struct State {
    /// `None` for layers that are elsewhere.
    groups: Vec<Vec<Option<KvLayer>>>,
    /// Likewise.
    recurrent: Vec<Option<Slots>>,
    turns: Turns,
    pub(super) scratch: AttentionScratch,
}

/// Keys and values of one layer.
#[derive(Debug)]
pub(super) struct KvLayer {
    pub(super) layout: KvLayout,
    pub(super) storage: HugeBytes,
}

/// Equal pieces of float32, by index.
#[derive(Debug)]
struct Slots {
    len: usize,
    values: Vec<f32>,
}

impl Slots {
    fn get(&mut self, index: u32) -> &mut [f32] {
        let start = index as usize * self.len;
        &mut self.values[start..start + self.len]
    }
}

impl State {
    pub(super) fn new(
        plan: &CachePlan,
        capacity: CacheCapacity,
        format: KvFormat,
        is_own: &dyn Fn(LayerSlot) -> bool,
    ) -> io::Result<Self> {
        let layer = |shape: &KvShape| {
            let layout = KvLayout {
                format,
                n_kv_heads: shape.n_heads,
                head_dim: shape.head_dim,
            };
            let len = layout.block_bytes().checked_mul(capacity.n_blocks);
            let len = len.ok_or(io::ErrorKind::OutOfMemory)?;
            Ok(KvLayer {
                layout,
                storage: HugeBytes::growing(len)?,
            })
        };
        let groups = plan.groups.iter().enumerate().map(|(group, of)| {
            let shapes = of.shapes.iter().enumerate();
            let layers = shapes.map(|(index, shape)| {
                let is_own = is_own(LayerSlot::Kv { group, index });
                is_own.then(|| layer(shape)).transpose()
            });
            layers.collect()
        });
        let slots = plan.recurrent.iter().enumerate().map(|(index, state)| {
            is_own(LayerSlot::Recurrent { index }).then(|| Slots {
                len: state.len,
                values: vec![0.0; state.len * capacity.n_slots],
            })
        });
        Ok(Self {
            groups: groups.collect::<io::Result<_>>()?,
            recurrent: slots.collect(),
            turns: Turns::default(),
            scratch: AttentionScratch::new(),
        })
    }

    /// What was computed for the batch before is no longer valid.
    pub(super) fn begin_step(&mut self) {
        self.turns.clear();
    }

    pub(super) fn copy(&mut self, copy: CacheCopy) {
        match copy {
            CacheCopy::Block { group, from, to } => {
                for layer in self.groups[group].iter_mut().flatten() {
                    let len = layer.layout.block_bytes();
                    let start = from as usize * len;
                    layer
                        .storage
                        .copy_within(start..start + len, to as usize * len);
                }
            }
            CacheCopy::Slot { from, to } => {
                for slots in self.recurrent.iter_mut().flatten() {
                    let start = from as usize * slots.len;
                    slots
                        .values
                        .copy_within(start..start + slots.len, to as usize * slots.len);
                }
            }
            CacheCopy::ClearSlot { slot } => {
                let slots = self.recurrent.iter_mut().flatten();
                slots.for_each(|slots| slots.get(slot).fill(0.0));
            }
        }
    }

    /// Storage and scratch of an attention layer, and the turns of a position encoding.
    pub(super) fn attention(
        &mut self,
        slot: LayerSlot,
    ) -> (&mut KvLayer, &mut AttentionScratch, &mut Turns) {
        match slot {
            LayerSlot::Kv { group, index } => {
                let layer = self.groups[group][index].as_mut();
                let layer = layer.expect("the layer is one of this backend's");
                (layer, &mut self.scratch, &mut self.turns)
            }
            LayerSlot::Recurrent { .. } => {
                unreachable!("the plan gave this layer a recurrent state")
            }
        }
    }

    /// The state of a recurrent layer.
    pub(super) fn recurrent(&mut self, slot: LayerSlot, index: u32) -> &mut [f32] {
        match slot {
            LayerSlot::Recurrent { index: layer } => {
                let slots = self.recurrent[layer].as_mut();
                slots
                    .expect("the layer is one of this backend's")
                    .get(index)
            }
            LayerSlot::Kv { .. } => unreachable!("the plan gave this layer keys and values"),
        }
    }
}
