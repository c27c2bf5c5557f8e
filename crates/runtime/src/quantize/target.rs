//! Which tensor gets which type.
//!
//! The mixtures follow the convention of llama.cpp's `llama-quantize`, so that a name like Q4_K_M
//! means the same file everywhere:
//!
//! - Vectors, norms, routers and filters of short convolutions stay in 32 bits.
//! - The output matrix (the embedding where there is no other) gets Q6_K, in `q8_0` and `mxfp4`
//!   Q8_0: an error there is an error of every logit.
//! - `q4_k_m` is Q4_K, with Q6_K for the attention's values and for the feed-forward's second
//!   matrix in half of the layers: the first and last eighth and every third between. A fused
//!   query-key-value matrix gets Q5_K.
//! - `q5_k_m` is Q5_K with the same exceptions in Q6_K, fused matrices included.
//! - `mxfp4` of a mixture of experts is MXFP4 for the experts and Q8_0 for all else. Without
//!   experts, where there is no convention, all matrices but embedding and output get MXFP4.
//! - A matrix whose rows are no multiple of 256 gets the next type with blocks of 32: Q5_0 for
//!   Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K; and F16 where 32 does not divide them either.

use std::fmt;
use std::str::FromStr;

use ponder_kernels_cpu::BlockFormat;

use crate::weights::TensorType;

/// What a model is quantized to: a type, or a mixture of types under a usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the usual ones.
pub enum TargetType {
    F16,
    BF16,
    Q8_0,
    Q6K,
    Q5KM,
    Q4KM,
    Q4_0,
    MXFP4,
}

impl TargetType {
    /// All of them, largest files first.
    pub const ALL: [Self; 8] = [
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q6K,
        Self::Q5KM,
        Self::Q4KM,
        Self::Q4_0,
        Self::MXFP4,
    ];

    /// The name in lower case, as on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5KM => "q5_k_m",
            Self::Q4KM => "q4_k_m",
            Self::Q4_0 => "q4_0",
            Self::MXFP4 => "mxfp4",
        }
    }

    /// `general.file_type`: the numbers of llama.cpp's `llama_ftype`.
    pub(super) const fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
            Self::Q5KM => 17,
            Self::Q6K => 18,
            Self::BF16 => 32,
            Self::MXFP4 => 38,
        }
    }

    /// The type of most matrices.
    const fn usual(self) -> TensorType {
        TensorType::Block(match self {
            Self::F16 => return TensorType::F16,
            Self::BF16 => return TensorType::BF16,
            Self::Q8_0 => BlockFormat::Q8_0,
            Self::Q6K => BlockFormat::Q6K,
            Self::Q5KM => BlockFormat::Q5K,
            Self::Q4KM => BlockFormat::Q4K,
            Self::Q4_0 => BlockFormat::Q4_0,
            Self::MXFP4 => BlockFormat::MXFP4,
        })
    }
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TargetType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|ty| ty.name() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What the choice of types depends on, beside a tensor's own name and shape.
#[derive(Clone, Debug)]
pub(super) struct Model {
    n_layers: usize,
    /// The layers that have values of attention of their own, in order.
    value_layers: Vec<usize>,
    has_output: bool,
    has_experts: bool,
}

const VALUES: &str = "attn_v.weight";
const FUSED_VALUES: &str = "attn_qkv.weight";

impl Model {
    /// From the names of all tensors, as GGUF has them.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>, n_layers: usize) -> Self {
        let mut model = Self {
            n_layers,
            value_layers: Vec::new(),
            has_output: false,
            has_experts: false,
        };
        for name in names {
            model.has_output |= name == "output.weight";
            model.has_experts |= is_experts(name);
            if let Some((layer_idx, VALUES | FUSED_VALUES)) = in_layer(name) {
                model.value_layers.push(layer_idx);
            }
        }
        model.value_layers.sort_unstable();
        model
    }

    /// The type of a tensor; `None` for those that are kept as they are.
    pub(super) fn choose(
        &self,
        target: TargetType,
        name: &str,
        shape: &[usize],
    ) -> Option<TensorType> {
        if !is_matrix(name, shape) {
            return None;
        }
        let row_len = shape.last().copied().unwrap_or(1);
        Some(fitting(self.wanted(target, name), row_len))
    }

    fn wanted(&self, target: TargetType, name: &str) -> TensorType {
        use BlockFormat::{Q5K, Q6K, Q8_0};
        let is_embedding = name == "token_embd.weight";
        let is_output = name == "output.weight" || (is_embedding && !self.has_output);
        let (layer_idx, part) = in_layer(name).unwrap_or((0, ""));
        let block = match target {
            TargetType::F16 | TargetType::BF16 | TargetType::Q8_0 => return target.usual(),
            TargetType::MXFP4 if is_embedding || is_output => Q8_0,
            TargetType::MXFP4 if self.has_experts && !is_experts(name) => Q8_0,
            TargetType::Q4_0 | TargetType::Q4KM | TargetType::Q5KM if is_output => Q6K,
            TargetType::Q4KM if part == FUSED_VALUES => Q5K,
            TargetType::Q5KM if part == FUSED_VALUES => Q6K,
            TargetType::Q4KM | TargetType::Q5KM if self.is_critical(layer_idx, part) => Q6K,
            _ => return target.usual(),
        };
        TensorType::Block(block)
    }

    /// Whether a part of a layer is one of those that get more bits in the `m` mixtures.
    fn is_critical(&self, layer_idx: usize, part: &str) -> bool {
        let (place, n) = match part {
            VALUES => {
                let place = self.value_layers.iter().position(|at| *at == layer_idx);
                (place.unwrap_or(0), self.value_layers.len())
            }
            "ffn_down.weight" | "ffn_down_exps.weight" => (layer_idx, self.n_layers),
            _ => return false,
        };
        let eighth = n / 8;
        place < eighth || place >= 7 * n / 8 || (place - eighth) % 3 == 2
    }
}

/// A tensor that is multiplied with: at least two dimensions, and none of those whose few values
/// decide much.
fn is_matrix(name: &str, shape: &[usize]) -> bool {
    const KEPT: [&str; 4] = [
        "_norm.weight",
        "ffn_gate_inp.weight",
        "shortconv.conv.weight",
        "ssm_conv1d.weight",
    ];
    shape.len() >= 2 && name.ends_with(".weight") && !KEPT.iter().any(|end| name.ends_with(end))
}

fn is_experts(name: &str) -> bool {
    name.ends_with("_exps.weight")
}

/// The layer and the part of it that a name means: `blk.LAYER.PART`.
fn in_layer(name: &str) -> Option<(usize, &str)> {
    let (layer_idx, part) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer_idx.parse().ok()?, part))
}

/// The type itself, or the next one whose blocks divide the rows.
fn fitting(wanted: TensorType, row_len: usize) -> TensorType {
    let fits = |ty: TensorType| row_len.is_multiple_of(ty.block_len());
    if fits(wanted) {
        return wanted;
    }
    let smaller = TensorType::Block(match wanted {
        TensorType::Block(BlockFormat::Q4K) => BlockFormat::Q5_0,
        TensorType::Block(BlockFormat::Q5K) => BlockFormat::Q5_1,
        TensorType::Block(BlockFormat::Q6K) => BlockFormat::Q8_0,
        _ => return TensorType::F16,
    });
    if fits(smaller) {
        smaller
    } else {
        TensorType::F16
    }
}
