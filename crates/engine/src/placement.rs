//! How many layers of a model go to a device: the last ones, as many as fit, with the head.

use ponder_runtime::{cache::CachePlan, spec::ArchSpec, weights::Checkpoint};

/// Bytes of a device that activations, scratch and the driver take.
const RESERVE: u64 = 512 << 20;

/// What the parts of a model take on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Weights of each layer.
    layers: Vec<u64>,
    /// Weights of no layer: embedding, last norm, head.
    others: u64,
    /// Keys and values of a token in one layer.
    kv_of_token: u64,
}

/// Where the layers of a model go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Layers on the device, the last ones.
    pub(crate) n_on_device: usize,
    /// Bytes of the device that are then left for keys and values, as if those of all layers went
    /// there.
    pub(crate) left: u64,
}

impl Parts {
    /// Weighs a model; `weigh` says what a tensor takes on the device.
    pub(crate) fn of(
        spec: &ArchSpec,
        checkpoint: &Checkpoint,
        bytes_of_32: usize,
        weigh: impl Fn(&ponder_runtime::weights::MappedTensor) -> u64,
    ) -> Self {
        let n_layers = spec.layers.len();
        let (mut layers, mut others) = (vec![0; n_layers], 0);
        for tensor in checkpoint.tensors() {
            let bytes = layer_of(tensor.name()).and_then(|layer| layers.get_mut(layer));
            *bytes.unwrap_or(&mut others) += weigh(tensor);
        }
        let kv = CachePlan::new(spec).bytes_per_token(bytes_of_32);
        Self {
            layers,
            others,
            kv_of_token: kv.div_ceil(n_layers.max(1) as u64),
        }
    }

    /// Places the layers on a device with so many bytes free: all that fit with a cache of `tokens`, or
    /// `wanted` of them.
    pub(crate) fn place(&self, free: u64, tokens: usize, wanted: Option<usize>) -> Placement {
        let n_layers = self.layers.len();
        let room = free.saturating_sub(RESERVE).saturating_sub(self.others);
        let kv = self.kv_of_token.saturating_mul(tokens as u64);
        let fitting = || {
            let mut left = room;
            let takes = |bytes: &&u64| {
                let rest = left.checked_sub(**bytes + kv);
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            self.layers.iter().rev().take_while(takes).count()
        };
        let n_on_device = wanted.unwrap_or_else(fitting).min(n_layers);
        let weights: u64 = self.layers[n_layers - n_on_device..].iter().sum();
        let left = room.saturating_sub(weights);
        Placement {
            n_on_device,
            left: left.saturating_mul(n_layers as u64) / n_on_device.max(1) as u64,
        }
    }

    /// Bytes of all weights.
    pub(crate) fn weights(&self) -> u64 {
        self.others + self.layers.iter().sum::<u64>()
    }
}

/// The layer that a tensor's name says: the first of its parts that is a number.
fn layer_of(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn parts() -> Parts {
        Parts {
            layers: vec![100 * MB; 10],
            others: 200 * MB,
            kv_of_token: 1 << 10,
        }
    }

    #[test]
    fn names_say_their_layer() {
        assert_eq!(layer_of("blk.12.attn_q.weight"), Some(12));
        assert_eq!(
            layer_of("model.layers.3.mlp.experts.5.up_proj.weight"),
            Some(3)
        );
        assert_eq!(layer_of("token_embd.weight"), None);
    }

    #[test]
    fn as_many_layers_go_to_the_device_as_fit() {
        let of = |megabytes, tokens| parts().place(megabytes * MB, tokens, None).n_on_device;
        assert_eq!(of(10_000, 0), 10);
        assert_eq!(of(512 + 200 + 1000, 0), 10);
        assert_eq!(of(512 + 200 + 999, 0), 9);
        // A cache of 100 MB a layer.
        assert_eq!(of(512 + 200 + 1000, 100 << 10), 5);
        assert_eq!(of(100, 0), 0);
    }

    #[test]
    fn what_is_left_is_for_keys_and_values() {
        let placed = parts().place((512 + 200 + 600) * MB, 0, Some(5));
        assert_eq!(placed.n_on_device, 5);
        assert_eq!(placed.left, 200 * MB, "100 MB for half of the layers");
        assert_eq!(parts().place(0, 0, Some(99)).n_on_device, 10);
    }
}
