//! What single parameters may be, outside of JSON.

use serde_json::Value;

use super::tool::Tool;
use crate::EngineError;
use crate::grammar::schema;

/// A parameter of a tool.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) is_required: bool,
}

/// A text that a parameter may be.
#[derive(Debug)]
pub(super) enum Text {
    /// One of these.
    OneOf(Vec<String>),
    /// Any, of so many characters.
    Any { least: u64, most: Option<u64> },
}

/// Keywords of a text that are kept to outside of JSON.
const KEPT: [&str; 6] = ["type", "enum", "const", "minLength", "maxLength", "default"];
/// Keywords that say nothing.
const SILENT: [&str; 9] = [
    "title",
    "description",
    "examples",
    "$defs",
    "definitions",
    "$schema",
    "$comment",
    "deprecated",
    "additionalProperties",
];

/// Whether the reader takes a parameter for text whatever it looks like.
pub(super) fn is_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.iter().all(|kind| kind == "string" || kind == "null"),
        _ => false,
    }
}

/// What a parameter that is text may be.
pub(super) fn text(tool: &Tool, name: &str, schema: &Value) -> Result<Text, EngineError> {
    let keywords = schema.as_object().into_iter().flatten();
    let unkept = keywords
        .map(|(keyword, _)| keyword.as_str())
        .find(|keyword| !KEPT.contains(keyword) && !SILENT.contains(keyword));
    if let Some(keyword) = unkept.filter(|_| tool.is_strict) {
        return tool.refuse(&format!(
            "`{keyword}` of `{name}` cannot be kept to as this model writes its calls (hint: leave it, or `strict`, out)"
        ));
    }
    let one_of = match (&schema["const"], &schema["enum"]) {
        (Value::Null, Value::Array(values)) => values.clone(),
        (Value::Null, _) => Vec::new(),
        (value, _) => vec![value.clone()],
    };
    let texts: Vec<String> = one_of
        .iter()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    if !texts.is_empty() {
        return Ok(Text::OneOf(texts));
    }
    let count = |keyword: &str| schema[keyword].as_u64();
    Ok(Text::Any {
        least: count("minLength").unwrap_or(0),
        most: count("maxLength"),
    })
}

/// The schema of a parameter that is JSON, or of any value where it stands for itself no more.
pub(super) fn json(tool: &Tool, schema: &Value) -> Result<Value, EngineError> {
    match schema::checked(schema) {
        Ok(schema) => Ok(schema),
        Err(EngineError::Format(message)) if tool.is_strict => tool.refuse(&message),
        Err(error) if tool.is_strict => Err(error),
        Err(_) => Ok(Value::Bool(true)),
    }
}

/// The parameters of a tool, or an error where it insists on a schema that is no list of them.
pub(super) fn of(tool: &Tool) -> Result<Option<Vec<Parameter>>, EngineError> {
    match tool.parameters() {
        Some(parameters) => Ok(Some(parameters)),
        None if tool.is_strict => tool.refuse(
            "its parameters are not a plain list of properties, as this model's calls need them",
        ),
        None => Ok(None),
    }
}
