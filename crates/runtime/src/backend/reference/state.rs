//! Storage behind the cache's bookkeeping: one growing array per layer.

use crate::cache::{BLOCK_LEN, BlockTable, CacheCopy, CachePlan, KvShape, LayerSlot};

/// Keys, values and recurrent states, in float32.
#[derive(Debug)]
pub struct State {
    groups: Vec<Vec<KvLayer>>,
    recurrent: Vec<Slots>,
}

#[derive(Debug)]
struct KvLayer {
    keys: Slots,
    values: Slots,
}

/// Equal pieces, by index. Memory is taken when a piece is first used.
#[derive(Debug)]
struct Slots {
    width: usize,
    values: Vec<f32>,
}

impl Slots {
    fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
        }
    }

    fn get(&mut self, index: u32) -> &mut [f32] {
        let start = index as usize * self.width;
        if self.values.len() < start + self.width {
            self.values.resize(start + self.width, 0.0);
        }
        &mut self.values[start..start + self.width]
    }

    fn copy(&mut self, from: u32, to: u32) {
        self.get(from.max(to));
        let start = from as usize * self.width;
        self.values
            .copy_within(start..start + self.width, to as usize * self.width);
    }
}

impl State {
    pub(super) fn new(plan: &CachePlan) -> Self {
        let layer = |shape: &KvShape| KvLayer {
            keys: Slots::new(shape.width() * BLOCK_LEN),
            values: Slots::new(shape.width() * BLOCK_LEN),
        };
        Self {
            groups: plan
                .groups
                .iter()
                .map(|group| group.shapes.iter().map(layer).collect())
                .collect(),
            recurrent: plan
                .recurrent
                .iter()
                .map(|state| Slots::new(state.len))
                .collect(),
        }
    }

    pub(super) fn copy(&mut self, copy: CacheCopy) {
        match copy {
            CacheCopy::Block { group, from, to } => {
                for layer in &mut self.groups[group] {
                    layer.keys.copy(from, to);
                    layer.values.copy(from, to);
                }
            }
            CacheCopy::Slot { from, to } => self
                .recurrent
                .iter_mut()
                .for_each(|layer| layer.copy(from, to)),
            CacheCopy::KeepBlock { .. }
            | CacheCopy::RestoreBlock { .. }
            | CacheCopy::KeepSlot { .. }
            | CacheCopy::RestoreSlot { .. } => {
                unreachable!("there is no other memory to keep it in")
            }
            CacheCopy::ClearSlot { slot } => self
                .recurrent
                .iter_mut()
                .for_each(|layer| layer.get(slot).fill(0.0)),
        }
    }

    /// Stores the key and value of one position.
    pub(super) fn append(
        &mut self,
        slot: LayerSlot,
        table: &BlockTable,
        position: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let layer = self.kv(slot);
        let (block, row) = table.locate(position);
        layer.keys.get(block)[row * key.len()..][..key.len()].copy_from_slice(key);
        layer.values.get(block)[row * value.len()..][..value.len()].copy_from_slice(value);
    }

    /// Copies out the keys and values of a range of positions, `[positions, width]` each.
    pub(super) fn gather(
        &mut self,
        slot: LayerSlot,
        table: &BlockTable,
        positions: std::ops::Range<usize>,
    ) -> [Vec<f32>; 2] {
        let layer = self.kv(slot);
        [&mut layer.keys, &mut layer.values].map(|slots| {
            let width = slots.width / BLOCK_LEN;
            let mut out = Vec::with_capacity(positions.len() * width);
            for position in positions.clone() {
                let (block, row) = table.locate(position);
                out.extend_from_slice(&slots.get(block)[row * width..][..width]);
            }
            out
        })
    }

    /// The state of a recurrent layer.
    pub(super) fn recurrent(&mut self, slot: LayerSlot, index: u32) -> &mut [f32] {
        match slot {
            LayerSlot::Recurrent { index: layer } => self.recurrent[layer].get(index),
            LayerSlot::Kv { .. } => unreachable!("the plan gave this layer keys and values"),
        }
    }

    fn kv(&mut self, slot: LayerSlot) -> &mut KvLayer {
        match slot {
            LayerSlot::Kv { group, index } => &mut self.groups[group][index],
            LayerSlot::Recurrent { .. } => {
                unreachable!("the plan gave this layer a recurrent state")
            }
        }
    }
}
