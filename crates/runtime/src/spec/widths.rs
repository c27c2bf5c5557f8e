//! [`Widths`]: how wide activations are.

use super::{ArchSpec, FfnSpec, LayerSpec, MixerSpec};

/// The widest rows of a model's layers, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// Queries, or what a short convolution reads.
    pub q: usize,
    /// Keys; values are as wide.
    pub kv: usize,
    /// What a mixer gives to its last projection.
    pub mixed: usize,
    /// Between the matrices of a feed-forward network.
    pub ffn: usize,
    /// What all experts of a token make, inside and in the end.
    pub experts: usize,
}

impl ArchSpec {
    /// How wide its activations are.
    pub fn widths(&self) -> Widths {
        let of_layer = |layer: &LayerSpec| {
            let (q, kv, mixed) = match &layer.mixer {
                MixerSpec::Attention(attention) => {
                    let q = attention.n_heads * attention.head_dim;
                    (q, attention.n_kv_heads * attention.head_dim, q)
                }
                MixerSpec::ShortConv(conv) => (3 * conv.width, 0, conv.width),
            };
            let (ffn, experts) = match &layer.ffn {
                FfnSpec::Gated { width, .. } => (*width, 0),
                FfnSpec::Experts(spec) => (0, spec.top_k * (spec.width + self.hidden_size)),
            };
            Widths {
                q,
                kv,
                mixed,
                ffn,
                experts,
            }
        };
        let all = self.layers.iter().map(of_layer);
        all.reduce(|one, other| Widths {
            q: one.q.max(other.q),
            kv: one.kv.max(other.kv),
            mixed: one.mixed.max(other.mixed),
            ffn: one.ffn.max(other.ffn),
            experts: one.experts.max(other.experts),
        })
        .unwrap_or_default()
    }

    /// All that a step has of a token, in elements: residual, normed, output, and what is as wide as the
    /// layers say.
    pub fn activations_of_token(&self) -> usize {
        let widths = self.widths();
        3 * self.hidden_size + widths.q + 2 * widths.kv + widths.mixed + widths.ffn + widths.experts
    }
}
