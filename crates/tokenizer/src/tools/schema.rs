//! What the declared tools say about their parameters.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

/// The string parameters of the tools on offer.
///
/// Tagged syntaxes write every value as bare text. Whether `5` is a number or a text, only the
/// schema knows; without one, what reads as JSON is taken as JSON.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schemas {
    strings: HashMap<String, HashSet<String>>,
}

impl Schemas {
    /// Reads declarations like `{"type": "function", "function": {"name": …, "parameters": …}}`.
    pub(crate) fn new(tools: &[Json]) -> Self {
        let mut strings = HashMap::new();
        for tool in tools {
            let function = tool.get("function").unwrap_or(tool);
            let properties = &function["parameters"]["properties"];
            let (Some(name), Some(properties)) =
                (function["name"].as_str(), properties.as_object())
            else {
                continue;
            };
            let of_type_string = |schema: &Json| match &schema["type"] {
                Json::String(kind) => kind == "string",
                Json::Array(kinds) => kinds.iter().all(|kind| kind == "string" || kind == "null"),
                _ => false,
            };
            let names = properties
                .iter()
                .filter(|(_, schema)| of_type_string(schema));
            strings.insert(name.to_owned(), names.map(|(key, _)| key.clone()).collect());
        }
        Self { strings }
    }

    /// Whether parameter `key` of `function` is text whatever it looks like.
    pub(super) fn is_text(&self, function: &str, key: &str) -> bool {
        let keys = self.strings.get(function);
        keys.is_some_and(|keys| keys.contains(key))
    }

    /// The value that `text` stands for as parameter `key` of `function`.
    pub(super) fn value(&self, function: &str, key: &str, text: &str) -> Json {
        if self.is_text(function, key) {
            return Json::String(text.to_owned());
        }
        match text.trim() {
            "True" => Json::Bool(true),
            "False" => Json::Bool(false),
            "None" => Json::Null,
            trimmed => {
                serde_json::from_str(trimmed).unwrap_or_else(|_| Json::String(text.to_owned()))
            }
        }
    }
}
