//! Where tensors are found: one table for most families, exceptions in the family files.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The parts of a model that hold numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // The names are those of the table below.
pub enum Role {
    Embedding,
    FinalNorm,
    Head,
    MixerNorm,
    MixerOutputNorm,
    Query,
    Key,
    Value,
    QueryKeyValue,
    Output,
    QueryNorm,
    KeyNorm,
    FfnNorm,
    FfnOutputNorm,
    Gate,
    Up,
    GateUp,
    Down,
    Router,
    ExpertGate,
    ExpertUp,
    ExpertDown,
    ConvIn,
    ConvFilter,
    ConvOut,
}

/// `(role, name in family files, safetensors, GGUF)`; `{l}` is the layer, `{e}` the expert.
/// GGUF files hold the experts of a layer as one tensor.
const TABLE: &[(Role, &str, &str, &str)] = &[
    (
        Role::Embedding,
        "embedding",
        "model.embed_tokens",
        "token_embd",
    ),
    (Role::FinalNorm, "final_norm", "model.norm", "output_norm"),
    (Role::Head, "head", "lm_head", "output"),
    (
        Role::MixerNorm,
        "mixer_norm",
        "model.layers.{l}.input_layernorm",
        "blk.{l}.attn_norm",
    ),
    (
        Role::MixerOutputNorm,
        "mixer_output_norm",
        "model.layers.{l}.post_attention_layernorm",
        "blk.{l}.post_attention_norm",
    ),
    (
        Role::Query,
        "query",
        "model.layers.{l}.self_attn.q_proj",
        "blk.{l}.attn_q",
    ),
    (
        Role::Key,
        "key",
        "model.layers.{l}.self_attn.k_proj",
        "blk.{l}.attn_k",
    ),
    (
        Role::Value,
        "value",
        "model.layers.{l}.self_attn.v_proj",
        "blk.{l}.attn_v",
    ),
    (
        Role::QueryKeyValue,
        "query_key_value",
        "model.layers.{l}.self_attn.qkv_proj",
        "blk.{l}.attn_qkv",
    ),
    (
        Role::Output,
        "output",
        "model.layers.{l}.self_attn.o_proj",
        "blk.{l}.attn_output",
    ),
    (
        Role::QueryNorm,
        "query_norm",
        "model.layers.{l}.self_attn.q_norm",
        "blk.{l}.attn_q_norm",
    ),
    (
        Role::KeyNorm,
        "key_norm",
        "model.layers.{l}.self_attn.k_norm",
        "blk.{l}.attn_k_norm",
    ),
    (
        Role::FfnNorm,
        "ffn_norm",
        "model.layers.{l}.post_attention_layernorm",
        "blk.{l}.ffn_norm",
    ),
    (
        Role::FfnOutputNorm,
        "ffn_output_norm",
        "model.layers.{l}.post_feedforward_layernorm",
        "blk.{l}.post_ffw_norm",
    ),
    (
        Role::Gate,
        "gate",
        "model.layers.{l}.mlp.gate_proj",
        "blk.{l}.ffn_gate",
    ),
    (
        Role::Up,
        "up",
        "model.layers.{l}.mlp.up_proj",
        "blk.{l}.ffn_up",
    ),
    (
        Role::GateUp,
        "gate_up",
        "model.layers.{l}.mlp.gate_up_proj",
        "blk.{l}.ffn_up",
    ),
    (
        Role::Down,
        "down",
        "model.layers.{l}.mlp.down_proj",
        "blk.{l}.ffn_down",
    ),
    (
        Role::Router,
        "router",
        "model.layers.{l}.mlp.gate",
        "blk.{l}.ffn_gate_inp",
    ),
    (
        Role::ExpertGate,
        "expert_gate",
        "model.layers.{l}.mlp.experts.{e}.gate_proj",
        "blk.{l}.ffn_gate_exps",
    ),
    (
        Role::ExpertUp,
        "expert_up",
        "model.layers.{l}.mlp.experts.{e}.up_proj",
        "blk.{l}.ffn_up_exps",
    ),
    (
        Role::ExpertDown,
        "expert_down",
        "model.layers.{l}.mlp.experts.{e}.down_proj",
        "blk.{l}.ffn_down_exps",
    ),
    (
        Role::ConvIn,
        "conv_in",
        "model.layers.{l}.conv.in_proj",
        "blk.{l}.shortconv.in_proj",
    ),
    (
        Role::ConvFilter,
        "conv_filter",
        "model.layers.{l}.conv.conv",
        "blk.{l}.shortconv.conv",
    ),
    (
        Role::ConvOut,
        "conv_out",
        "model.layers.{l}.conv.out_proj",
        "blk.{l}.shortconv.out_proj",
    ),
];

/// What stands before `model.` (or instead of it) in checkpoints of multimodal wrappers.
const WRAPPERS: &[(&str, &str)] = &[
    ("model.", "lm_head"),
    ("language_model.model.", "language_model.lm_head"),
    ("model.language_model.", "lm_head"),
];

/// Beginnings of the names of tensors that no layer claims: frequency tables, which are read with the
/// metadata, and the towers and projectors of multimodal wrappers.
const IGNORED: &[&str] = &[
    "rope_freqs.",
    "rope_factors_",
    "vision_tower.",
    "vision_model.",
    "audio_tower.",
    "multi_modal_projector.",
    "model.visual.",
    "visual.",
];

/// A family's own names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameOverride {
    safetensors: Option<String>,
    gguf: Option<String>,
}

/// The names of one model's tensors, without `.weight` or `.bias`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorNames {
    templates: BTreeMap<Role, String>,
    gguf: bool,
}

impl TensorNames {
    /// The names of a file format, with a family's own.
    pub(crate) fn new(gguf: bool, overrides: &BTreeMap<String, NameOverride>) -> Self {
        let templates = TABLE.iter().map(|&(role, key, safetensors, in_gguf)| {
            let own = overrides.get(key);
            let name = if gguf {
                own.and_then(|own| own.gguf.as_deref()).unwrap_or(in_gguf)
            } else {
                own.and_then(|own| own.safetensors.as_deref())
                    .unwrap_or(safetensors)
            };
            (role, name.to_owned())
        });
        Self {
            templates: templates.collect(),
            gguf,
        }
    }

    /// Whether `key` names a role.
    pub(super) fn is_role(key: &str) -> bool {
        TABLE.iter().any(|&(_, name, _, _)| name == key)
    }

    /// Whether the experts of a layer are one tensor.
    pub fn experts_stacked(&self) -> bool {
        self.gguf
    }

    /// Adapts to the wrapper that the checkpoint stands in, found by where its embedding is.
    pub fn unwrap_with(mut self, has: impl Fn(&str) -> bool) -> Self {
        if self.gguf {
            return self;
        }
        let embedding = self.name(Role::Embedding, None, None);
        let found = WRAPPERS.iter().find(|(prefix, _)| {
            has(&format!(
                "{}.weight",
                embedding.replacen("model.", prefix, 1)
            ))
        });
        if let Some((prefix, head)) = found {
            for (role, template) in &mut self.templates {
                *template = match role {
                    Role::Head => (*head).to_owned(),
                    _ => template.replacen("model.", prefix, 1),
                };
            }
        }
        self
    }

    /// The name of a tensor.
    pub fn name(&self, role: Role, layer_idx: Option<usize>, expert_idx: Option<usize>) -> String {
        let mut name = self.templates[&role].clone();
        for (mark, index) in [("{l}", layer_idx), ("{e}", expert_idx)] {
            if let Some(index) = index {
                name = name.replace(mark, &index.to_string());
            }
        }
        name
    }

    /// Whether a tensor that nobody claimed may be left alone.
    pub fn is_ignored(&self, name: &str) -> bool {
        // Old checkpoints store the frequencies that every engine recomputes.
        name.ends_with(".rotary_emb.inv_freq") || IGNORED.iter().any(|part| name.starts_with(part))
    }
}
