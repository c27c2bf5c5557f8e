//! What a backend stores behind the bookkeeping, for the layers that it has.

use std::ops::Range;

use super::{CachePlan, KvShape, LayerSlot, RecurrentState};

/// Keys and values, each layer's a `K`, and recurrent states, each layer's an `R`.
#[derive(Debug)]
pub struct LayerStorage<K, R> {
    /// By group; `None` for layers that are elsewhere.
    groups: Vec<Vec<Option<K>>>,
    /// Likewise.
    recurrent: Vec<Option<R>>,
}

impl<K, R> LayerStorage<K, R> {
    /// Makes what these layers of `plan` need.
    ///
    /// # Errors
    /// Those of `kv` and `recurrent`, which make it for one layer.
    pub fn new<E>(
        plan: &CachePlan,
        layers: Range<usize>,
        kv: impl Fn(&KvShape) -> Result<K, E>,
        recurrent: impl Fn(&RecurrentState) -> Result<R, E>,
    ) -> Result<Self, E> {
        let groups = plan.groups.iter();
        let groups = groups.map(|group| group.shapes.iter().map(|_| None).collect());
        let mut storage = Self {
            groups: groups.collect(),
            recurrent: plan.recurrent.iter().map(|_| None).collect(),
        };
        for slot in &plan.layers[layers] {
            match *slot {
                LayerSlot::Kv { group, index } => {
                    let made = kv(&plan.groups[group].shapes[index])?;
                    storage.groups[group][index] = Some(made);
                }
                LayerSlot::Recurrent { index } => {
                    storage.recurrent[index] = Some(recurrent(&plan.recurrent[index])?);
                }
            }
        }
        Ok(storage)
    }

    /// Keys and values of all layers in a group.
    pub fn group(&mut self, group: usize) -> impl Iterator<Item = &mut K> {
        self.groups[group].iter_mut().flatten()
    }

    /// All recurrent states.
    pub fn all_recurrent(&mut self) -> impl Iterator<Item = &mut R> {
        self.recurrent.iter_mut().flatten()
    }

    /// Group, and keys and values, of an attention layer.
    ///
    /// # Panics
    /// If the layer is elsewhere, or has a recurrent state.
    pub fn kv(&mut self, slot: LayerSlot) -> (usize, &mut K) {
        let LayerSlot::Kv { group, index } = slot else {
            unreachable!("the plan gave this layer a recurrent state")
        };
        let own = self.groups[group][index].as_mut();
        (group, own.expect("the layer is one of this backend's"))
    }

    /// The state of a recurrent layer.
    ///
    /// # Panics
    /// If the layer is elsewhere, or has keys and values.
    pub fn recurrent(&mut self, slot: LayerSlot) -> &mut R {
        let LayerSlot::Recurrent { index } = slot else {
            unreachable!("the plan gave this layer keys and values")
        };
        let own = self.recurrent[index].as_mut();
        own.expect("the layer is one of this backend's")
    }
}
