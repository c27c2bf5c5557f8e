//! The chat templates that come with a tokenizer.

use std::path::Path;

use serde_json::Value;

use super::folder::{read_json, read_optional};
use crate::TokenizerError;

/// Chat templates by name; most models have one, called `default`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChatTemplates(Vec<(String, String)>);

const DEFAULT: &str = "default";

impl ChatTemplates {
    /// From GGUF metadata: the main template and the named ones.
    pub(crate) fn from_gguf(main: Option<String>, named: Vec<(String, String)>) -> Self {
        let main = main.map(|source| (DEFAULT.to_owned(), source));
        Self(main.into_iter().chain(named).collect())
    }

    /// In the order of transformers: `chat_template.jinja` (and `additional_chat_templates/`)
    /// wins over `chat_template.json`, which wins over `tokenizer_config.json`.
    pub(crate) fn from_folder(
        folder: &Path,
        tokenizer_config: Option<&Value>,
    ) -> Result<Self, TokenizerError> {
        if let Some(source) = read_optional(&folder.join("chat_template.jinja"))? {
            let mut templates = vec![(DEFAULT.to_owned(), source)];
            templates.extend(additional(&folder.join("additional_chat_templates"))?);
            return Ok(Self(templates));
        }
        let legacy = read_json(&folder.join("chat_template.json"))?;
        let in_file = legacy.as_ref().and_then(|value| value.get("chat_template"));
        let in_config = tokenizer_config.and_then(|config| config.get("chat_template"));
        Ok(in_file
            .or(in_config)
            .map(Self::from_value)
            .unwrap_or_default())
    }

    /// A string, or a list of `{"name": ..., "template": ...}`.
    fn from_value(value: &Value) -> Self {
        let named = |entry: &Value| {
            let text = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
            Some((text("name")?, text("template")?))
        };
        match value {
            Value::String(source) => Self(vec![(DEFAULT.to_owned(), source.clone())]),
            Value::Array(entries) => Self(entries.iter().filter_map(named).collect()),
            _ => Self(Vec::new()),
        }
    }

    /// The template called `default`, or else the only one.
    pub(crate) fn main(&self) -> Option<&str> {
        let only = match self.0.as_slice() {
            [(_, only)] => Some(only.as_str()),
            _ => None,
        };
        self.get(DEFAULT).or(only)
    }

    /// All but the main one, by name.
    pub(crate) fn named(&self) -> Vec<(String, String)> {
        let main = self.main();
        let others = self
            .0
            .iter()
            .filter(|(_, source)| Some(source.as_str()) != main);
        others.cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, source)| source.as_str())
    }
}

/// `additional_chat_templates/NAME.jinja`; a folder that is not there has none.
fn additional(folder: &Path) -> Result<Vec<(String, String)>, TokenizerError> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jinja")
    });
    paths.sort();
    let mut templates = Vec::new();
    for path in paths {
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        if let (Some(name), Some(source)) = (name, read_optional(&path)?) {
            templates.push((name, source));
        }
    }
    Ok(templates)
}
