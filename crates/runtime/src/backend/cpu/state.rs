//! Keys, values and recurrent states of all sequences.

use std::io;
use std::ops::Range;

use ponder_kernels_cpu::HugeBytes;
use ponder_kernels_cpu::attention::{AttentionScratch, KvFormat, KvLayout};

use super::attention::Turns;
use crate::cache::{
    CacheCapacity, CacheCopy, CachePlan, KvShape, LayerSlot, LayerStorage, RecurrentState,
};

/// The storage behind the cache's bookkeeping. Its memory is the system's until it is used.
#[derive(Debug)]
pub struct State {
    layers: LayerStorage<KvLayer, Slots>,
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
        layers: Range<usize>,
    ) -> io::Result<Self> {
        let layer = |shape: &KvShape| -> io::Result<KvLayer> {
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
        let slots = |state: &RecurrentState| {
            Ok(Slots {
                len: state.len,
                values: vec![0.0; state.len * capacity.n_slots],
            })
        };
        Ok(Self {
            layers: LayerStorage::new(plan, layers, layer, slots)?,
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
                for layer in self.layers.group(group) {
                    let len = layer.layout.block_bytes();
                    let start = from as usize * len;
                    layer
                        .storage
                        .copy_within(start..start + len, to as usize * len);
                }
            }
            CacheCopy::Slot { from, to } => {
                for slots in self.layers.all_recurrent() {
                    let start = from as usize * slots.len;
                    slots
                        .values
                        .copy_within(start..start + slots.len, to as usize * slots.len);
                }
            }
            CacheCopy::KeepBlock { .. }
            | CacheCopy::RestoreBlock { .. }
            | CacheCopy::KeepSlot { .. }
            | CacheCopy::RestoreSlot { .. } => {
                unreachable!("there is no other memory to keep it in")
            }
            CacheCopy::ClearSlot { slot } => {
                let slots = self.layers.all_recurrent();
                slots.for_each(|slots| slots.get(slot).fill(0.0));
            }
        }
    }

    /// Storage and scratch of an attention layer, and the turns of a position encoding.
    pub(super) fn attention(
        &mut self,
        slot: LayerSlot,
    ) -> (&mut KvLayer, &mut AttentionScratch, &mut Turns) {
        let (_, layer) = self.layers.kv(slot);
        (layer, &mut self.scratch, &mut self.turns)
    }

    /// The state of a recurrent layer.
    pub(super) fn recurrent(&mut self, slot: LayerSlot, index: u32) -> &mut [f32] {
        self.layers.recurrent(slot).get(index)
    }
}
