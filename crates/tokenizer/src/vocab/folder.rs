//! A tokenizer from a folder in Hugging Face layout.
//!
//! `tokenizer.json` decides how text is encoded. The other files add what it does not say:
//! which tokens are BOS, EOS and padding, which end generation, and the chat template.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::template::ChatTemplates;
use super::tokenizer_json::{self, TokenizerJson};
use crate::TokenizerError;
use crate::stop::stop_tokens;
use crate::tokenizer::Parts;

/// Builds a tokenizer's parts from the files in `folder`.
pub(crate) fn load(folder: &Path) -> Result<Parts, TokenizerError> {
    let file = read_tokenizer_json(folder)?;
    let configs = Configs::read(folder)?;
    let built = tokenizer_json::build(file)?;

    let token = |name| configs.token(name, |piece| built.encoder.token_id(piece));
    let (bos, eos, pad, unk) = (token("bos"), token("eos"), token("pad"), token("unk"));
    let mut prefix = built.prefix;
    if let Some(bos) = bos.filter(|bos| configs.adds_bos() && !prefix.contains(bos)) {
        prefix.insert(0, bos);
    }
    let named = configs.eos_ids().chain(eos);
    let stop = stop_tokens(&built.pieces, named, |piece| built.encoder.token_id(piece));
    Ok(Parts {
        prefix,
        suffix: built.suffix,
        bos,
        eos,
        pad,
        unk,
        stop,
        templates: ChatTemplates::from_folder(folder, configs.tokenizer.as_ref())?,
        encoder: built.encoder,
        pieces: Arc::new(built.pieces),
    })
}

/// Reads `tokenizer.json`, without a look at what it says.
pub(super) fn read_tokenizer_json(folder: &Path) -> Result<TokenizerJson, TokenizerError> {
    let path = folder.join("tokenizer.json");
    let text = std::fs::read(&path).map_err(|source| TokenizerError::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| TokenizerError::Json { path, source })
}

/// The small JSON files beside `tokenizer.json`.
struct Configs {
    tokenizer: Option<Value>,
    special_tokens_map: Option<Value>,
    generation: Option<Value>,
    model: Option<Value>,
}

impl Configs {
    fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let read = |name| read_json(&folder.join(name));
        Ok(Self {
            tokenizer: read("tokenizer_config.json")?,
            special_tokens_map: read("special_tokens_map.json")?,
            generation: read("generation_config.json")?,
            model: read("config.json")?,
        })
    }

    /// The id of `bos`, `eos`, `pad` or `unk`. The tokenizer's own files name a piece; only
    /// where neither exists do the ids of the generation's and the model's configuration
    /// count, as those may name a token that the tokenizer deliberately does without.
    fn token(&self, name: &str, id_of: impl Fn(&str) -> Option<u32>) -> Option<u32> {
        let key = format!("{name}_token");
        let files = [&self.tokenizer, &self.special_tokens_map];
        let piece = files
            .iter()
            .find_map(|file| piece_of(file.as_ref()?.get(&key)?));
        if piece.is_some() || files.iter().any(|file| file.is_some()) {
            return piece.and_then(id_of);
        }
        let key = format!("{name}_token_id");
        self.model_values(&key).find_map(|value| ids(value).next())
    }

    fn adds_bos(&self) -> bool {
        let flag = self
            .tokenizer
            .as_ref()
            .and_then(|config| config.get("add_bos_token"));
        flag.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Every id that some configuration calls an end of text.
    fn eos_ids(&self) -> impl Iterator<Item = u32> {
        self.model_values("eos_token_id").flat_map(ids)
    }

    /// `key` in the generation's and the model's configuration, and in the text part of a
    /// model with several.
    fn model_values(&self, key: &str) -> impl Iterator<Item = &Value> {
        let text = self
            .model
            .as_ref()
            .and_then(|config| config.get("text_config"));
        let configs = [self.generation.as_ref(), self.model.as_ref(), text];
        configs
            .into_iter()
            .flatten()
            .filter_map(move |config| config.get(key))
    }
}

/// A special token is written as a string or as an added token with its `content`.
fn piece_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// An id or a list of ids; anything else is none.
fn ids(value: &Value) -> impl Iterator<Item = u32> {
    let many = value.as_array().map(Vec::as_slice);
    let one = many.is_none().then_some(value);
    many.unwrap_or_default()
        .iter()
        .chain(one)
        .filter_map(|id| u32::try_from(id.as_u64()?).ok())
}

/// A text file that may be absent.
pub(super) fn read_optional(path: &Path) -> Result<Option<String>, TokenizerError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A JSON file that may be absent.
pub(super) fn read_json(path: &Path) -> Result<Option<Value>, TokenizerError> {
    let parse = |text: String| serde_json::from_str(&text);
    let json = |source| TokenizerError::Json {
        path: path.to_owned(),
        source,
    };
    read_optional(path)?.map(parse).transpose().map_err(json)
}
