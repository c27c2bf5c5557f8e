//! [`Message`]: one turn of a conversation, read leniently from JSON.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};

/// One turn of a conversation.
///
/// Reads the JSON of chat completions and its dialects: the reasoning may be called
/// `reasoning_content`, `reasoning` or `thinking`, content may be text, a list of parts or
/// absent. Fields that are not known are kept and reach the template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "RawMessage")]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// What was said; `None` for a turn that only calls tools.
    pub content: Option<Content>,
    /// The assistant's reasoning before `content`.
    #[serde(rename = "reasoning_content", skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The tools that the assistant calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// In a `tool` turn, the call that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool's name in a `tool` turn, or the speaker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Every other field, passed on to the template.
    #[serde(flatten)]
    pub extra: Map<String, Json>,
}

impl Message {
    /// A turn that is plain text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Some(Content::Text(content.into())),
            ..Self::default()
        }
    }

    /// The text of the content, parts joined; empty without content.
    pub fn text(&self) -> String {
        self.content.as_ref().map(Content::text).unwrap_or_default()
    }
}

/// The shape that is read; the three names of the reasoning become one.
#[derive(Deserialize)]
struct RawMessage {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    tool_calls: Vec<ToolCall>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Json>,
}

impl From<RawMessage> for Message {
    fn from(raw: RawMessage) -> Self {
        Self {
            role: raw.role,
            content: raw.content,
            reasoning: raw.reasoning_content.or(raw.thinking).or(raw.reasoning),
            tool_calls: raw.tool_calls,
            tool_call_id: raw.tool_call_id,
            name: raw.name,
            extra: raw.extra,
        }
    }
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a turn says: text, or a list of parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts, of which a text model can read those that are text.
    Parts(Vec<ContentPart>),
}

impl Content {
    /// The text, parts joined without anything between; other parts count as nothing.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(ContentPart::text).collect(),
        }
    }

    /// Whether every part is text.
    pub fn is_text_only(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Parts(parts) => parts.iter().all(|part| part.text().is_some()),
        }
    }
}

/// One part of a content list, kept as its JSON because templates read fields of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentPart(pub Map<String, Json>);

impl ContentPart {
    /// The text of a part of type `text`.
    pub fn text(&self) -> Option<&str> {
        match self.0.get("type").and_then(Json::as_str) {
            Some("text" | "input_text" | "output_text") | None => self.0.get("text")?.as_str(),
            Some(_) => None,
        }
    }
}

/// A call of a tool by the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call, so that its result can refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function` in every dialect that is spoken today.
    #[serde(rename = "type", default = "function_type")]
    pub kind: String,
    /// What is called.
    pub function: FunctionCall,
}

fn function_type() -> String {
    "function".to_owned()
}

/// The function of a [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The arguments: an object, or text that should hold one.
    #[serde(default)]
    pub arguments: Json,
}

impl FunctionCall {
    /// The arguments as a value: text that is a JSON object is parsed, as templates expect.
    pub fn parsed_arguments(&self) -> Json {
        match &self.arguments {
            Json::String(text) => match serde_json::from_str(text) {
                Ok(object @ Json::Object(_)) => object,
                _ if text.trim().is_empty() => Json::Object(Map::new()),
                _ => self.arguments.clone(),
            },
            Json::Null => Json::Object(Map::new()),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Json) -> Message {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_reasoning_has_three_names() {
        for name in ["reasoning_content", "reasoning", "thinking"] {
            let message = read(json!({"role": "assistant", "content": "4", name: "2+2"}));
            assert_eq!(message.reasoning.as_deref(), Some("2+2"));
            assert!(message.extra.is_empty());
        }
    }

    #[test]
    fn content_is_text_parts_or_nothing() {
        assert_eq!(read(json!({"role": "user", "content": "a"})).text(), "a");
        let parts = read(json!({"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}));
        assert_eq!(parts.text(), "ab");
        let image =
            read(json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}));
        assert!(!image.content.unwrap().is_text_only());
        assert_eq!(
            read(json!({"role": "assistant", "content": null, "tool_calls": null})).content,
            None
        );
        assert_eq!(
            read(json!({"role": "assistant", "mood": 1})).extra["mood"],
            1
        );
    }

    #[test]
    fn arguments_that_are_text_are_parsed() {
        let arguments = |value| {
            FunctionCall {
                name: "f".into(),
                arguments: value,
            }
            .parsed_arguments()
        };
        assert_eq!(
            arguments(json!("{\"b\": 1, \"a\": 2}")).to_string(),
            r#"{"b":1,"a":2}"#
        );
        assert_eq!(arguments(json!("not json")), json!("not json"));
        assert_eq!(arguments(json!("")), json!({}));
        assert_eq!(arguments(json!({"a": 1})), json!({"a": 1}));
    }
}
