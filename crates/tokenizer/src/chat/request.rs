//! From messages to the variables that a template is rendered with.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::message::{Content, Message};
use super::probe::Capabilities;
use super::template::ChatTemplate;

/// What of a chat request decides on the prompt; every other field is ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tool declarations, passed to the template as they are.
    #[serde(default)]
    pub tools: Option<Vec<Json>>,
    /// Further template variables; they win over everything else.
    #[serde(default)]
    pub chat_template_kwargs: Option<Map<String, Json>>,
    /// The variable `reasoning_effort`.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Whether the prompt ends where the assistant's turn begins (by default it does).
    #[serde(default)]
    pub add_generation_prompt: Option<bool>,
}

impl ChatRequest {
    /// The options of this request, with the tokenizer's special tokens by variable name.
    pub fn prompt_options(&self, special_tokens: &[(&str, String)]) -> PromptOptions {
        let mut extra = Map::new();
        for (name, token) in special_tokens {
            extra.insert((*name).to_owned(), json!(token));
        }
        if let Some(effort) = &self.reasoning_effort {
            extra.insert("reasoning_effort".to_owned(), json!(effort));
        }
        extra.extend(self.chat_template_kwargs.clone().unwrap_or_default());
        PromptOptions {
            add_generation_prompt: self.add_generation_prompt.unwrap_or(true),
            extra,
        }
    }
}

/// What a prompt depends on beside messages and tools.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptOptions {
    /// Whether the prompt ends where the assistant's turn begins.
    pub add_generation_prompt: bool,
    /// Further variables: `bos_token`, `eos_token`, `enable_thinking`, …
    pub extra: Map<String, Json>,
}

impl Default for PromptOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            extra: Map::new(),
        }
    }
}

/// The variables to render `template` with.
///
/// The names are those of transformers: `messages`, `tools` and `documents` (null when there
/// are none), `add_generation_prompt`, and all of [`PromptOptions::extra`]. Messages are
/// written the way this template can read them: reasoning under each name that it knows,
/// text parts joined if it takes only text, tool arguments as an object (or as JSON text if
/// it insists), `developer` as `system` where it does not know developers.
pub fn template_vars(
    template: &ChatTemplate,
    messages: &[Message],
    tools: &[Json],
    options: &PromptOptions,
) -> Json {
    let messages: Vec<Json> = messages
        .iter()
        .map(|message| message_vars(template, message))
        .collect();
    let tools = if tools.is_empty() {
        Json::Null
    } else {
        json!(tools)
    };
    let mut vars = Map::new();
    vars.insert("messages".to_owned(), Json::Array(messages));
    vars.insert("tools".to_owned(), tools);
    vars.insert("documents".to_owned(), Json::Null);
    vars.insert(
        "add_generation_prompt".to_owned(),
        json!(options.add_generation_prompt),
    );
    vars.extend(options.extra.clone());
    Json::Object(vars)
}

fn message_vars(template: &ChatTemplate, message: &Message) -> Json {
    let can = template.capabilities();
    let mut vars = message.extra.clone();
    let role = match message.role.as_str() {
        "developer" if !can.developer_role => "system",
        role => role,
    };
    vars.insert("role".to_owned(), json!(role));
    vars.insert("content".to_owned(), content_vars(can, message));
    if let Some(reasoning) = &message.reasoning {
        for name in ["reasoning_content", "thinking", "reasoning"] {
            if name == "reasoning_content" || template.source().contains(name) {
                vars.insert(name.to_owned(), json!(reasoning));
            }
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = match call.function.parsed_arguments() {
                value if can.object_arguments => value,
                // As text, they stay as they were written.
                value => match &call.function.arguments {
                    text @ Json::String(_) => text.clone(),
                    _ => Json::String(python_json(&value)),
                },
            };
            json!({"id": call.id, "type": call.kind,
                "function": {"name": call.function.name, "arguments": arguments}})
        });
        vars.insert("tool_calls".to_owned(), calls.collect());
    }
    for (name, value) in [
        ("tool_call_id", &message.tool_call_id),
        ("name", &message.name),
    ] {
        if let Some(value) = value {
            vars.insert(name.to_owned(), json!(value));
        }
    }
    Json::Object(vars)
}

/// JSON with the spaces that Python writes, which is what models have read.
fn python_json(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(python_json).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| format!("{}: {}", json!(key), python_json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn content_vars(can: &Capabilities, message: &Message) -> Json {
    let empty = message
        .content
        .as_ref()
        .is_none_or(|content| *content == Content::Text(String::new()));
    match &message.content {
        content if empty && !message.tool_calls.is_empty() => {
            // Some templates write the calls only beside a null, others only beside a text.
            let null = match content {
                None => can.null_beside_calls,
                Some(_) => can.null_beside_calls && !can.empty_beside_calls,
            };
            if null { Json::Null } else { json!("") }
        }
        None => json!(""),
        Some(content @ Content::Parts(_)) if !can.content_parts && content.is_text_only() => {
            json!(content.text())
        }
        Some(content) => json!(content),
    }
}
