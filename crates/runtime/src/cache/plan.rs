//! How the layers of a model share block tables and slots.

use crate::spec::{ArchSpec, MixerSpec};

/// Keys (or values) of one token in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Key and value heads.
    pub n_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

impl KvShape {
    /// Numbers of all heads.
    pub fn width(&self) -> usize {
        self.n_heads * self.head_dim
    }
}

/// Layers that keep the same positions and therefore share one block table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvGroup {
    /// Keys a token sees, itself included; `None`: all.
    pub window: Option<usize>,
    /// What each layer of the group keeps for a token: a key and a value of this shape.
    pub shapes: Vec<KvShape>,
}

/// The state of one recurrent layer, in float32 elements per sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentState {
    /// Elements of one sequence's state.
    pub len: usize,
}

/// Where a layer's state lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerSlot {
    /// Keys and values: group, and index of the layer inside the group.
    Kv {
        /// Index into [`CachePlan::groups`].
        group: usize,
        /// Index into [`KvGroup::shapes`].
        index: usize,
    },
    /// Recurrent state: index into [`CachePlan::recurrent`].
    Recurrent {
        /// Index into [`CachePlan::recurrent`].
        index: usize,
    },
}

/// The state that a model needs, by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlan {
    /// One entry per layer of the model.
    pub layers: Vec<LayerSlot>,
    /// Groups of attention layers, by window.
    pub groups: Vec<KvGroup>,
    /// Recurrent layers.
    pub recurrent: Vec<RecurrentState>,
}

impl CachePlan {
    /// The plan for a model.
    pub fn new(spec: &ArchSpec) -> Self {
        let mut plan = Self {
            layers: Vec::new(),
            groups: Vec::new(),
            recurrent: Vec::new(),
        };
        for layer in &spec.layers {
            let slot = match &layer.mixer {
                MixerSpec::Attention(attention) => {
                    let shape = KvShape {
                        n_heads: attention.n_kv_heads,
                        head_dim: attention.head_dim,
                    };
                    plan.add_kv(attention.window, shape)
                }
                MixerSpec::ShortConv(conv) => plan.add_recurrent(conv.state_len()),
            };
            plan.layers.push(slot);
        }
        plan
    }

    /// Bytes that keys and values of a token take in all layers, where 32 numbers take
    /// `bytes_of_32`.
    pub fn bytes_per_token(&self, bytes_of_32: usize) -> u64 {
        let shapes = self.groups.iter().flat_map(|group| &group.shapes);
        let numbers: usize = shapes.map(|shape| 2 * shape.width()).sum();
        (numbers as u64 * bytes_of_32 as u64).div_ceil(32)
    }

    /// Bytes that `n_tokens` of one sequence take, whole blocks counted, where 32 numbers take
    /// `bytes_of_32`.
    pub fn bytes(&self, n_tokens: usize, bytes_of_32: usize) -> u64 {
        let kv: usize = self
            .groups
            .iter()
            .map(|group| {
                let held = group
                    .window
                    .map_or(n_tokens, |window| n_tokens.min(window + super::BLOCK_LEN));
                held.next_multiple_of(super::BLOCK_LEN)
                    * group
                        .shapes
                        .iter()
                        .map(|shape| 2 * shape.width())
                        .sum::<usize>()
            })
            .sum();
        let recurrent: usize = self.recurrent.iter().map(|state| state.len).sum();
        (kv as u64 * bytes_of_32 as u64).div_ceil(32) + recurrent as u64 * 4
    }

    fn add_kv(&mut self, window: Option<usize>, shape: KvShape) -> LayerSlot {
        let group = self
            .groups
            .iter()
            .position(|group| group.window == window)
            .unwrap_or_else(|| {
                self.groups.push(KvGroup {
                    window,
                    shapes: Vec::new(),
                });
                self.groups.len() - 1
            });
        self.groups[group].shapes.push(shape);
        LayerSlot::Kv {
            group,
            index: self.groups[group].shapes.len() - 1,
        }
    }

    fn add_recurrent(&mut self, len: usize) -> LayerSlot {
        self.recurrent.push(RecurrentState { len });
        LayerSlot::Recurrent {
            index: self.recurrent.len() - 1,
        }
    }
}
