//! How many layers of a model go to a device: the last ones, as many as fit, with the head.

use std::ops::Range;

use ponder_runtime::{
    backend::DEVICE_PREFILL_ROWS,
    cache::CachePlan,
    spec::ArchSpec,
    weights::{Checkpoint, MappedTensor},
};

use crate::footprint::{MemoryPlace, Shortage};

/// Bytes of a device that tables, scratch and the driver take.
const RESERVE: u64 = 384 << 20;
/// Bytes of an element of activations: in float32, and rounded to 16 bits.
const ELEMENT_BYTES: u64 = 6;

/// Tokens of a cache that are worth being proposed.
pub(crate) const USEFUL: u64 = 256;

/// What the parts of a model take on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Weights of each layer.
    layers: Vec<u64>,
    /// Weights of no layer: embedding, last norm, head.
    others: u64,
    /// Keys and values of a token in one layer.
    kv_of_token: u64,
    /// What steps take beside them on a device.
    reserve: u64,
}

/// Where the layers of a model go.
#[cfg_attr(not(feature = "cuda-backend"), allow(dead_code))] // Nobody goes by it there.
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
        weigh: impl Fn(&MappedTensor) -> u64,
    ) -> Self {
        let n_layers = spec.layers.len();
        let (mut layers, mut others) = (vec![0; n_layers], 0);
        for tensor in checkpoint.tensors() {
            let bytes = layer_of(tensor.name()).and_then(|layer| layers.get_mut(layer));
            *bytes.unwrap_or(&mut others) += weigh(tensor);
        }
        let kv = CachePlan::new(spec).bytes_per_token(bytes_of_32);
        let of_token = ELEMENT_BYTES * spec.activations_of_token() as u64;
        let activations = of_token.saturating_mul(DEVICE_PREFILL_ROWS as u64);
        Self {
            layers,
            others,
            kv_of_token: kv.div_ceil(n_layers.max(1) as u64),
            reserve: RESERVE.saturating_add(activations),
        }
    }

    /// Places the layers on a device with so many bytes free: all that fit with a cache of `tokens`, or
    /// `wanted` of them.
    pub(crate) fn place(&self, free: u64, tokens: usize, wanted: Option<usize>) -> Placement {
        let n_layers = self.layers.len();
        let room = free
            .saturating_sub(self.reserve)
            .saturating_sub(self.others);
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

    /// Layers.
    pub(crate) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Bytes of all weights.
    #[cfg(feature = "cuda-backend")]
    pub(crate) fn weights(&self) -> u64 {
        self.others + self.layers.iter().sum::<u64>()
    }

    /// Bytes that the last `n` layers take on a device, with a cache of so many tokens.
    fn on_device(&self, n: usize, tokens: usize) -> u64 {
        let first = self.layers.len() - n;
        self.others
            .saturating_add(self.reserve)
            .saturating_add(self.of_layers(first..self.layers.len(), tokens))
    }

    /// Bytes that the others take on the processor.
    pub(crate) fn on_processor(&self, n_on_device: usize, tokens: usize) -> u64 {
        match self.layers.len() - n_on_device {
            0 => 0,
            n => self.others.saturating_add(self.of_layers(0..n, tokens)),
        }
    }

    fn of_layers(&self, layers: Range<usize>, tokens: usize) -> u64 {
        let kv = self.kv_of_token.saturating_mul(tokens as u64);
        let kv = kv.saturating_mul(layers.len() as u64);
        kv.saturating_add(self.layers[layers].iter().sum())
    }

    /// What is said of a device that has no room for the last `n` layers and a cache of so many tokens.
    pub(crate) fn shortage(&self, index: usize, free: u64, tokens: usize, n: usize) -> Shortage {
        let layers = self.place(free, tokens, None).n_on_device;
        let room = free.saturating_sub(self.on_device(n, 0));
        let fewer = room.checked_div(self.kv_of_token.saturating_mul(n as u64));
        let fewer = fewer.filter(|&fewer| fewer >= USEFUL && fewer < tokens as u64);
        let advice = match (layers, fewer) {
            (0, None) => "hint: end what else uses the device, or run with --device cpu".to_owned(),
            (0, Some(fewer)) => {
                format!("hint: a cache of {fewer} tokens fits, by --cache-tokens or --context")
            }
            (layers, None) => format!("hint: --gpu-layers {layers} fits"),
            (layers, Some(fewer)) => format!(
                "hint: --gpu-layers {layers} fits, or a cache of {fewer} tokens, by --cache-tokens or --context"
            ),
        };
        Shortage {
            place: MemoryPlace::Cuda(index),
            needed: self.on_device(n, tokens),
            free,
            advice,
        }
    }
}

/// The layer that a tensor's name says: the first of its parts that is a number.
fn layer_of(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const MB: u64 = 1 << 20;

    pub(crate) fn parts() -> Parts {
        Parts {
            layers: vec![100 * MB; 10],
            others: 200 * MB,
            kv_of_token: 1 << 10,
            reserve: 512 * MB,
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

    #[test]
    fn a_shortage_says_what_would_fit() {
        let advice = |free, tokens, n| parts().shortage(0, free * MB, tokens, n).advice;
        assert!(advice(100, 0, 10).contains("--device cpu"));
        assert!(advice(512 + 200 + 350, 0, 10).contains("--gpu-layers 3 fits"));
        // The weights and 20 MB: 2048 tokens in each of ten layers; with more, nine layers or fewer.
        let both = advice(512 + 200 + 1020, 10_000, 10);
        assert!(both.contains("--gpu-layers 9"), "{both}");
        assert!(both.contains("2048 tokens"), "{both}");
        let fewer = advice(512 + 200 + 1020, 10_000_000, 10);
        assert!(!fewer.contains("layers") && fewer.contains("2048 tokens"));
        let shortage = parts().shortage(2, 7 * MB, 1024, 4);
        assert_eq!(shortage.place, MemoryPlace::Cuda(2));
        assert_eq!(shortage.needed, (512 + 200 + 400 + 4) * MB);
        assert_eq!(shortage.free, 7 * MB);
    }

    #[test]
    fn what_is_not_on_the_device_is_on_the_processor() {
        assert_eq!(parts().on_processor(10, 1024), 0);
        assert_eq!(parts().on_processor(7, 1024), (200 + 3 * 101) * MB);
    }
}
