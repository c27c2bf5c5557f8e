//! What a model must read and compute, from its description.

use std::collections::HashSet;

use ponder_runtime::{
    cache::CachePlan,
    spec::{ArchSpec, FfnSpec, MixerSpec, Role},
    weights::Checkpoint,
};

/// Bytes and operations; a multiplication and an addition are two.
#[derive(Clone, Debug)]
pub struct Work {
    /// Bytes of the weights that one token needs.
    weight_bytes: u64,
    /// Operations of one token with them, but for the head.
    weight_ops: u64,
    /// Operations of the head for one token.
    head_ops: u64,
    /// For each attention layer, operations for one key that a token sees, and the window.
    attention: Vec<(u64, Option<usize>)>,
    /// For each group of layers, bytes of one key and value, and the window.
    keys: Vec<(u64, Option<usize>)>,
}

impl Work {
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        spec: &ArchSpec,
        plan: &CachePlan,
        bytes_of_32: usize,
    ) -> Self {
        let name = |role| format!("{}.weight", spec.names.name(role, None, None));
        let (embedding, head) = (name(Role::Embedding), name(Role::Head));
        let is_tied = spec.tied_head.unwrap_or(true) && checkpoint.tensor(&head).is_none();
        let head = if is_tied { &embedding } else { &head };
        let experts = Experts::of(spec);
        let (mut bytes, mut values, mut head_values) = (0.0, 0.0, 0.0);
        for tensor in checkpoint.tensors() {
            let is_head = tensor.name() == head;
            // Of an embedding that is no head a token reads one row.
            if tensor.shape().len() < 2 || (tensor.name() == embedding && !is_head) {
                continue;
            }
            let share = experts.share(tensor.name());
            let n = tensor.n_values() as f64 * share;
            bytes += tensor.bytes().len() as f64 * share;
            match is_head {
                true => head_values += n,
                false => values += n,
            }
        }
        let attention = spec.layers.iter().filter_map(|layer| match &layer.mixer {
            // A product with the key, and one with the value.
            MixerSpec::Attention(attention) => {
                let ops = 4 * attention.n_heads * attention.head_dim;
                Some((ops as u64, attention.window))
            }
            MixerSpec::ShortConv(_) => None,
        });
        let keys = plan.groups.iter().map(|group| {
            let values: usize = group.shapes.iter().map(|shape| 2 * shape.width()).sum();
            ((values * bytes_of_32 / 32) as u64, group.window)
        });
        Self {
            weight_bytes: bytes as u64,
            weight_ops: 2 * values as u64,
            head_ops: 2 * head_values as u64,
            attention: attention.collect(),
            keys: keys.collect(),
        }
    }

    /// Bytes that the next token reads at least, where `context` tokens come before it.
    pub fn decode_bytes(&self, context: usize) -> u64 {
        let keys = self.keys.iter();
        let keys = keys.map(|&(bytes, window)| bytes * seen(context + 1, window));
        self.weight_bytes + keys.sum::<u64>()
    }

    /// Operations of `n` tokens of a prompt, behind `context` others; the last one's logits included.
    pub fn prefill_ops(&self, context: usize, n: usize) -> u64 {
        let attention = self.attention.iter().map(|&(ops, window)| {
            let seen = (context + 1..=context + n).map(|len| seen(len, window));
            ops * seen.sum::<u64>()
        });
        n as u64 * self.weight_ops + self.head_ops + attention.sum::<u64>()
    }
}

/// Keys that a token sees which is the `len`-th.
fn seen(len: usize, window: Option<usize>) -> u64 {
    len.min(window.unwrap_or(usize::MAX)) as u64
}

/// Which tensors hold experts, and the share of them that a token uses.
struct Experts {
    names: HashSet<String>,
    share: f64,
}

impl Experts {
    fn of(spec: &ArchSpec) -> Self {
        let (mut names, mut used) = (HashSet::new(), 1.0);
        for (l, layer) in spec.layers.iter().enumerate() {
            let FfnSpec::Experts(experts) = &layer.ffn else {
                continue;
            };
            used = experts.top_k as f64 / experts.n_experts.max(1) as f64;
            for role in [Role::ExpertGate, Role::ExpertUp, Role::ExpertDown] {
                let name = |e| spec.names.name(role, Some(l), Some(e));
                names.extend((0..experts.n_experts).map(|e| format!("{}.weight", name(e))));
            }
        }
        Self { names, share: used }
    }

    fn share(&self, name: &str) -> f64 {
        match self.names.contains(name) {
            true => self.share,
            false => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_bound_what_is_seen() {
        let work = Work {
            weight_bytes: 100,
            weight_ops: 10,
            head_ops: 7,
            attention: vec![(2, None), (1, Some(3))],
            keys: vec![(4, None), (8, Some(3))],
        };
        assert_eq!(work.decode_bytes(0), 100 + 4 + 8);
        assert_eq!(work.decode_bytes(9), 100 + 4 * 10 + 8 * 3);
        // Tokens 5 to 8 see 5, 6, 7, 8 keys, and 3 within the window.
        assert_eq!(work.prefill_ops(4, 4), 40 + 7 + 2 * 26 + 12);
    }

    #[test]
    fn the_embedded_model_reads_all_its_matrices() {
        let checkpoint = crate::load::Place::Embedded.open().expect("the model");
        let spec = ArchSpec::of(&checkpoint).expect("its description");
        let work = Work::new(&checkpoint, &spec, &CachePlan::new(&spec), 64);
        let n_values = |tensor: &ponder_runtime::weights::MappedTensor| match tensor.shape() {
            [_, _] => tensor.n_values() as u64,
            _ => 0,
        };
        let values: u64 = checkpoint.tensors().map(n_values).sum();
        let head = (spec.vocab_size * spec.hidden_size) as u64;
        let untied = checkpoint
            .tensors()
            .any(|tensor| tensor.name() == "output.weight");
        let expected = if untied { values - head } else { values };
        assert_eq!(work.weight_ops + work.head_ops, 2 * expected);
        assert_eq!(work.head_ops, 2 * head);
    }
}
