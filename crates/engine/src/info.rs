//! What can be said of a model without running it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ponder_runtime::{
    backend::{DeviceFacts, KvFormat},
    cache::CachePlan,
    hub::ModelRef,
    spec::{ArchSpec, MixerSpec},
    weights::{Checkpoint, TensorType},
};
use ponder_tokenizer::{Tokenizer, split::ChatFormat};
use serde::Serialize;

use crate::{Effort, EffortOverrides, MemoryPlace, Pooling, ResolvedEffort, Work, effort::Profile};

/// Facts about a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInfo {
    /// As the user named it.
    pub name: String,
    /// File or folder; for the model that is part of the program a text that says so.
    pub path: PathBuf,
    /// Whether it is part of the program.
    pub embedded: bool,
    /// Family file that describes its architecture.
    pub family: String,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// The type that most parameters are stored in.
    pub quantization: String,
    /// Tokens that prompt and answer may have together, as loaded.
    pub context: usize,
    /// Positions that the model was trained for.
    pub trained_context: usize,
    /// Bytes of the weights on disk.
    pub file_bytes: u64,
    /// Layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Query heads of an attention layer.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Whether there is a chat template.
    pub template: bool,
    /// How thinking and tool calls are marked.
    pub chat_format: String,
    /// Whether it is known how thinking is marked.
    pub thinks: bool,
    /// File that says what effort levels mean for it.
    pub effort_profile: String,
    /// How it gives texts as vectors, if it is made for that.
    pub pooling: Option<Pooling>,
    /// Licence, where the files name one.
    pub licence: Option<String>,
    /// Bytes of cache that a token takes at first, before windows are full.
    pub kv_bytes_per_token: u64,
    /// Where it was loaded, as `--device` calls it; `None` where it was not.
    pub device: Option<String>,
    /// The device beside the processor, where it runs on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// Whose memory it took when it was loaded; empty where it was not.
    #[serde(skip)]
    pub places: Vec<MemoryPlace>,
    /// Seconds that loading took. Weights may be on their way to a device by then: the first answer
    /// waits for them.
    pub load_s: f64,
    /// What it must read and compute.
    #[serde(skip)]
    pub work: Work,
    #[serde(skip)]
    pub(crate) plan: CachePlan,
    #[serde(skip)]
    pub(crate) cache_type: KvFormat,
    #[serde(skip)]
    profile: &'static Profile,
}

/// A device beside the processor, before the model was loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Accelerator {
    /// What it is.
    #[serde(flatten)]
    pub facts: DeviceFacts,
    /// Bytes of its memory that nobody had, in 10⁶, when it was ready for the model.
    pub free_mb: Option<u64>,
}

impl ModelInfo {
    pub(crate) fn new(
        name: &str,
        checkpoint: &Checkpoint,
        spec: &ArchSpec,
        tokenizer: &Tokenizer,
        format: &ChatFormat,
        cache_type: KvFormat,
    ) -> Self {
        let profile = Profile::detect(tokenizer.chat_template());
        let plan = CachePlan::new(spec);
        let attention = spec.layers.iter().find_map(|layer| match &layer.mixer {
            MixerSpec::Attention(attention) => {
                Some((attention.n_heads, attention.n_kv_heads, attention.head_dim))
            }
            MixerSpec::ShortConv(_) => None,
        });
        let (n_heads, n_kv_heads, head_dim) = attention.unwrap_or_default();
        Self {
            name: name.to_owned(),
            path: checkpoint.path().to_owned(),
            embedded: ModelRef::parse(name).is_ok_and(|model| model == ModelRef::Default),
            family: spec.family.clone(),
            parameters: checkpoint
                .tensors()
                .map(|tensor| tensor.n_values() as u64)
                .sum(),
            quantization: main_type(checkpoint),
            context: spec.context_len,
            trained_context: spec.context_len,
            file_bytes: checkpoint.file_bytes(),
            n_layers: spec.layers.len(),
            hidden_size: spec.hidden_size,
            n_heads,
            n_kv_heads,
            head_dim,
            vocab_size: spec.vocab_size,
            template: tokenizer.chat_template().is_some(),
            chat_format: format.name.clone(),
            thinks: format.reasoning.is_some(),
            effort_profile: profile.name.clone(),
            pooling: Pooling::of(checkpoint),
            licence: licence(checkpoint),
            kv_bytes_per_token: plan.bytes_per_token(cache_type.bytes_of_32()),
            device: None,
            accelerator: None,
            places: Vec::new(),
            load_s: 0.0,
            work: Work::new(checkpoint, spec, &plan, cache_type.bytes_of_32()),
            plan,
            cache_type,
            profile,
        }
    }

    /// What a level, or the model's own way, means for it, with what is asked for beside it.
    pub fn effort(&self, level: Option<Effort>, overrides: EffortOverrides) -> ResolvedEffort {
        self.profile.resolve(level, overrides)
    }

    /// Bytes that running the model takes with `context` tokens: weights and cache.
    pub fn memory_bytes(&self, context: usize) -> u64 {
        self.file_bytes + self.plan.bytes(context, self.cache_type.bytes_of_32())
    }
}

/// The name of the type that holds most parameters; of equals the first in alphabetical order.
fn main_type(checkpoint: &Checkpoint) -> String {
    let mut values: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in checkpoint
        .tensors()
        .filter(|tensor| tensor.shape().len() > 1)
    {
        *values
            .entry(TensorType::to_string(&tensor.ty()))
            .or_default() += tensor.n_values();
    }
    let most = values.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(|| "none".to_owned(), |(name, _)| name)
}

/// The licence that a checkpoint names.
pub(crate) fn licence(checkpoint: &Checkpoint) -> Option<String> {
    if let Some(metadata) = checkpoint.gguf() {
        return metadata
            .opt_str("general.license")
            .ok()
            .flatten()
            .map(str::to_owned);
    }
    let card = std::fs::read_to_string(checkpoint.dir()?.join("README.md")).ok()?;
    licence_of_card(&card)
}

/// The `license` of a model card's front matter.
fn licence_of_card(card: &str) -> Option<String> {
    let front = card.strip_prefix("---")?.split("\n---").next()?;
    let value = front
        .lines()
        .find_map(|line| line.strip_prefix("license:"))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned()).filter(|licence| !licence.is_empty())
}

/// The folder that holds a model's other files.
pub(crate) fn folder_of(path: &Path) -> &Path {
    if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new("."))
    }
}

#[cfg(test)]
mod tests {
    use super::licence_of_card;

    #[test]
    fn the_licence_is_read_from_the_front_matter_only() {
        let card = "---\nlanguage: en\nlicense: \"apache-2.0\"\n---\n# Model\nlicense: none\n";
        assert_eq!(licence_of_card(card).as_deref(), Some("apache-2.0"));
        assert_eq!(licence_of_card("# Model\nlicense: mit\n"), None);
        assert_eq!(licence_of_card("---\nlicense:\n---\n"), None);
    }
}
