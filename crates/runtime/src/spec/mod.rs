//! What a model is: sizes, layers and the facts that its forward pass depends on.
//!
//! 1. [`Hyper`] is read from `config.json` or from GGUF metadata; both say the same things under
//!    other names.
//! 2. A [`Family`] file says what a family does that no configuration says (which norms, which
//!    biases, which names tensors have).
//! 3. [`ArchSpec::resolve`] puts the two together and expands every per-layer pattern once, so that
//!    the decoder sees a list of [`LayerSpec`] and no pattern.

mod config_json;
mod family;
mod gguf_metadata;
mod hyper;
mod names;
mod resolve;
mod rope;
mod widths;

pub use family::Family;
pub use hyper::Hyper;
pub use names::{Role, TensorNames};
pub use rope::{RopeScaling, RopeSpec, RopeTable};
pub use widths::Widths;

pub(crate) use hyper::HyperRope;
pub(crate) use rope::yarn_mscale;

use thiserror::Error;

use crate::weights::WeightsError;

/// Why a model's description cannot be used.
#[derive(Debug, Error)]
pub enum SpecError {
    /// No family file claims the architecture.
    #[error("architecture \"{found}\" is not supported (hint: supported are {known})")]
    UnknownFamily {
        /// What the file says.
        found: String,
        /// What family files claim.
        known: String,
    },
    /// A value that is needed is absent.
    #[error("{place}: \"{key}\" is missing")]
    Missing {
        /// File or section.
        place: &'static str,
        /// Key.
        key: String,
    },
    /// A value has the wrong kind or is out of range.
    #[error("{place}: \"{key}\" is {found}, expected {expected}")]
    Invalid {
        /// File or section.
        place: &'static str,
        /// Key.
        key: String,
        /// What was found.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// A mechanism that no backend has.
    #[error("{place}: \"{key}\" asks for {what}, which is not supported")]
    Unsupported {
        /// File or section.
        place: &'static str,
        /// Key.
        key: String,
        /// The mechanism.
        what: String,
    },
    /// The metadata themselves cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A family file does not parse: a mistake in this build.
    #[error("family file {name}: {message}")]
    FamilyFile {
        /// File name.
        name: &'static str,
        /// The parser's words.
        message: String,
    },
}

/// A whole model, ready to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchSpec {
    /// Name of the family file.
    pub family: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Positions that the model was trained for.
    pub context_len: usize,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
    /// All norms but the ones inside a mixer share these facts.
    pub norm: NormSpec,
    /// Factor on the embedding.
    pub embed_scale: f32,
    /// Whether the head is the embedding; `None`: it is where the file has no head.
    pub tied_head: Option<bool>,
    /// `cap * tanh(logit / cap)` on the logits.
    pub logit_softcap: Option<f32>,
    /// The position encodings that layers refer to by index.
    pub ropes: Vec<RopeSpec>,
    /// Where tensors are found.
    pub names: TensorNames,
}

/// Root mean square norm, `x / rms(x) * (offset + weight)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSpec {
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the stored weight.
    pub offset: f32,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// What mixes positions.
    pub mixer: MixerSpec,
    /// What works on each position alone.
    pub ffn: FfnSpec,
    /// Where norms stand.
    pub norms: BlockNorms,
}

/// Which of a block's four places have a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockNorms {
    /// Before the mixer and before the feed-forward.
    pub input: bool,
    /// On the output of both, before the residual sum.
    pub output: bool,
}

/// What mixes positions.
#[derive(Debug, Clone, PartialEq)]
pub enum MixerSpec {
    /// Softmax attention with grouped heads.
    Attention(AttentionSpec),
    /// Gated short convolution.
    ShortConv(ShortConvSpec),
}

/// Softmax attention.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; a divisor of `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// Keys that a query sees, itself included; `None`: all before it.
    pub window: Option<usize>,
    /// Index into [`ArchSpec::ropes`]; `None`: no position encoding.
    pub rope: Option<usize>,
    /// Norm on queries and keys.
    pub qk_norm: QkNorm,
    /// Bias on the projections to queries, keys and values; `None`: where the file has one.
    pub qkv_bias: Option<bool>,
    /// Bias on the output projection; `None`: where the file has one.
    pub output_bias: Option<bool>,
    /// Queries, keys and values are stored as one matrix.
    pub fused_qkv: bool,
    /// Queries grow with their position.
    pub query_growth: Option<QueryGrowth>,
}

/// `q *= 1 + beta * ln(1 + floor(position / period))`, as in Llama 4 and Ministral 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryGrowth {
    /// Strength.
    pub beta: f32,
    /// Positions per step.
    pub period: usize,
}

/// Norm on queries and keys, before the position encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// None.
    None,
    /// Over each head, one weight for all heads.
    Head,
    /// Over all heads together.
    All,
}

/// A gated short convolution over the channels: `out(c * conv(b * x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShortConvSpec {
    /// Channels.
    pub width: usize,
    /// Positions that a channel's filter covers, the present one included.
    pub kernel: usize,
    /// Bias on the projections and on the filter.
    pub bias: bool,
}

impl ShortConvSpec {
    /// Elements of state: the last `kernel - 1` inputs of each channel.
    pub fn state_len(&self) -> usize {
        self.width * (self.kernel - 1)
    }
}

/// What works on each position alone.
#[derive(Debug, Clone, PartialEq)]
pub enum FfnSpec {
    /// `down(act(gate(x)) * up(x))`.
    Gated {
        /// Inner width.
        width: usize,
        /// Activation of the gate.
        activation: Activation,
        /// Gate and up are stored as one matrix, gate first.
        fused: bool,
        /// Bias on all three; `None`: where the file has one.
        bias: Option<bool>,
    },
    /// A router and gated experts.
    Experts(ExpertsSpec),
}

/// A mixture of gated experts: softmax over the router's logits, the best `top_k` are used.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertsSpec {
    /// Experts.
    pub n_experts: usize,
    /// Experts used per token.
    pub top_k: usize,
    /// Inner width of an expert.
    pub width: usize,
    /// Activation of the gate.
    pub activation: Activation,
    /// The chosen weights are divided by their sum.
    pub normalize: bool,
}

/// Activation functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    #[serde(alias = "swish")]
    Silu,
    /// The Gaussian error linear unit with the error function.
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    #[serde(alias = "gelu_pytorch_tanh", alias = "gelu_new")]
    GeluTanh,
}
