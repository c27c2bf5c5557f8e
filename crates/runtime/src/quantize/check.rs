//! Whether the metadata say all that the model does: they are read back and compared.

use std::path::Path;

use super::QuantizeError;
use super::tensors::{Output, Values};
use crate::spec::{ArchSpec, FfnSpec, LayerSpec, MixerSpec, RopeTable};
use crate::weights::gguf::Value;
use crate::weights::gguf::write::{TensorInfo, header};
use crate::weights::{Checkpoint, TensorType};

/// Compares the architecture with what a reader of the new file will see.
///
/// # Errors
/// If the metadata cannot be read, or say something else.
pub(super) fn check(
    spec: &ArchSpec,
    keys: &[(String, Value)],
    tables: &[Output],
) -> Result<(), QuantizeError> {
    let read = ArchSpec::of(&small_file(keys, tables)?)?;
    match difference(spec, &read) {
        None => Ok(()),
        Some(what) => Err(QuantizeError::Inexpressible {
            family: spec.family.clone(),
            what,
        }),
    }
}

/// A file in memory with all metadata, and of the tensors only the small tables.
fn small_file(keys: &[(String, Value)], tables: &[Output]) -> Result<Checkpoint, QuantizeError> {
    let info = |table: &Output| TensorInfo {
        name: table.name.clone(),
        shape: table.shape.clone(),
        ty: TensorType::F32,
    };
    let infos: Vec<_> = tables.iter().map(info).collect();
    let mut bytes = header(Path::new("(metadata)"), keys, &infos)?.bytes;
    for table in tables {
        if let Values::Computed(values) = &table.values {
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            bytes.resize(bytes.len().next_multiple_of(32), 0);
        }
    }
    Ok(Checkpoint::from_bytes(bytes)?)
}

/// The first thing that two architectures do differently, whatever their tensors are called and
/// however they are stored.
fn difference(model: &ArchSpec, read: &ArchSpec) -> Option<String> {
    let same = [
        ("vocabulary size", model.vocab_size == read.vocab_size),
        ("hidden size", model.hidden_size == read.hidden_size),
        ("context length", model.context_len == read.context_len),
        ("number of layers", model.layers.len() == read.layers.len()),
        ("norm epsilon", near(model.norm.eps, read.norm.eps)),
        (
            "scale of the embedding",
            near(model.embed_scale, read.embed_scale),
        ),
        (
            "cap on logits",
            near_or_absent(model.logit_softcap, read.logit_softcap),
        ),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Some(what.to_owned());
    }
    let tables = |spec: &ArchSpec| spec.ropes.iter().map(RopeTable::new).collect::<Vec<_>>();
    let (model_ropes, read_ropes) = (tables(model), tables(read));
    let layers = model.layers.iter().zip(&read.layers).enumerate();
    layers
        .filter_map(|(layer_idx, (model, read))| {
            let what = layer_difference(model, read, &model_ropes, &read_ropes)?;
            Some(format!("{what} of layer {layer_idx}"))
        })
        .next()
}

fn layer_difference(
    model: &LayerSpec,
    read: &LayerSpec,
    model_ropes: &[RopeTable],
    read_ropes: &[RopeTable],
) -> Option<&'static str> {
    if model.norms != read.norms {
        return Some("norms");
    }
    if !same_ffn(&model.ffn, &read.ffn) {
        return Some("feed-forward");
    }
    let (MixerSpec::Attention(model), MixerSpec::Attention(read)) = (&model.mixer, &read.mixer)
    else {
        return (model.mixer != read.mixer).then_some("mixer");
    };
    let heads = |spec: &crate::spec::AttentionSpec| (spec.n_heads, spec.n_kv_heads, spec.head_dim);
    let rope = match (model.rope, read.rope) {
        (Some(model), Some(read)) => same_rope(&model_ropes[model], &read_ropes[read]),
        (model, read) => model == read,
    };
    let same = [
        ("heads", heads(model) == heads(read)),
        ("scale of scores", near(model.scale, read.scale)),
        ("window", model.window == read.window),
        ("position encoding", rope),
        ("norms of queries and keys", model.qk_norm == read.qk_norm),
        ("fused projections", model.fused_qkv == read.fused_qkv),
        ("growth of queries", model.query_growth == read.query_growth),
    ];
    same.into_iter()
        .find(|(_, same)| !same)
        .map(|(what, _)| what)
}

/// Biases are found by their tensors.
fn same_ffn(model: &FfnSpec, read: &FfnSpec) -> bool {
    let without_bias = |ffn: &FfnSpec| match ffn.clone() {
        FfnSpec::Gated {
            width,
            activation,
            fused,
            ..
        } => FfnSpec::Gated {
            width,
            activation,
            fused,
            bias: None,
        },
        experts => experts,
    };
    without_bias(model) == without_bias(read)
}

/// Which elements pair up is made equal by permuting rows.
fn same_rope(model: &RopeTable, read: &RopeTable) -> bool {
    let all_near =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b));
    let long = match (&model.long, &read.long) {
        (Some((model_from, model)), Some((read_from, read))) => {
            model_from == read_from && all_near(model, read)
        }
        (model, read) => model.is_none() && read.is_none(),
    };
    long && all_near(&model.inv_freq, &read.inv_freq)
        && near(model.attention_factor, read.attention_factor)
}

fn near_or_absent(a: Option<f32>, b: Option<f32>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => near(a, b),
        (a, b) => a == b,
    }
}

/// Equal but for what rounding to `f32` on the way may have changed.
fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}
