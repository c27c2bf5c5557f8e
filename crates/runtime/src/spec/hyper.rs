//! The numbers of a model, under one name whichever file they come from.

use super::{Activation, RopeScaling};

/// What a configuration says. Absent values are the family's, or follow from others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hyper {
    /// Name of the section that messages point to.
    pub place: &'static str,
    /// Layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the feed-forward.
    pub ffn_size: Option<usize>,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; absent: as many as query heads.
    pub n_kv_heads: Option<usize>,
    /// Width of a head.
    pub head_dim: Option<usize>,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Positions trained for.
    pub context_len: usize,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Whether the head is the embedding.
    pub tied_head: Option<bool>,
    /// Activation of the feed-forward.
    pub activation: Option<Activation>,
    /// Cap on the logits.
    pub logit_softcap: Option<f32>,
    /// Score scale is this to the power of -1/2.
    pub query_scalar: Option<f32>,
    /// Position encoding of layers without a window, and of all where there is no other.
    pub rope: HyperRope,
    /// Position encoding of windowed layers.
    pub sliding_rope: Option<HyperRope>,
    /// Width of the window.
    pub window: Option<usize>,
    /// Which layers have a window.
    pub windowed: Option<Vec<bool>>,
    /// Which layers have no position encoding.
    pub without_rope: Option<Vec<bool>>,
    /// Which layers are short convolutions, with their filter's length and bias.
    pub short_conv: Option<HyperShortConv>,
    /// Biases; `None`: decided by the tensor's presence.
    pub qkv_bias: Option<bool>,
    /// Bias on the output projection.
    pub output_bias: Option<bool>,
    /// Bias on the feed-forward.
    pub mlp_bias: Option<bool>,
    /// Mixture of experts.
    pub experts: Option<HyperExperts>,
    /// Read from GGUF.
    pub gguf: bool,
}

/// Position encoding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HyperRope {
    /// Base frequency.
    pub theta: Option<f64>,
    /// Rotated elements of a head.
    pub dims: Option<usize>,
    /// Rotated share of a head.
    pub share: Option<f64>,
    /// Scaling.
    pub scaling: RopeScaling,
    /// Growth of queries with position: beta, period.
    pub query_growth: Option<(f32, usize)>,
}

/// Mixture of experts.
#[derive(Debug, Clone, PartialEq)]
pub struct HyperExperts {
    /// Experts.
    pub n_experts: usize,
    /// Used per token.
    pub top_k: usize,
    /// Inner width of one.
    pub width: usize,
    /// The chosen weights are divided by their sum.
    pub normalize: bool,
    /// Which layers have experts.
    pub layers: Vec<bool>,
}

/// Short convolutions.
#[derive(Debug, Clone, PartialEq)]
pub struct HyperShortConv {
    /// Which layers.
    pub layers: Vec<bool>,
    /// Positions under a filter.
    pub kernel: usize,
    /// Biases.
    pub bias: bool,
}
