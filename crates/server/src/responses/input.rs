//! What a client sends as `input`, checked and kept as [`Item`]s.

use serde_json::{Value, json};

use super::item::{OutputItem, Part};
use super::sealed;
use crate::http::{ApiError, Fields, unknown_word, wrong_type};
use crate::ids::new_id;

/// A piece of a conversation, whoever made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Message {
        id: String,
        role: String,
        texts: Vec<String>,
    },
    Reasoning {
        id: String,
        summary: Vec<String>,
        content: Vec<String>,
    },
    Call {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
    },
    CallOutput {
        id: String,
        call_id: String,
        output: String,
    },
}

impl Item {
    /// Its name.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Message { id, .. }
            | Self::Reasoning { id, .. }
            | Self::Call { id, .. }
            | Self::CallOutput { id, .. } => id,
        }
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let sum = |texts: &[String]| texts.iter().map(|text| text.len() + 24).sum::<usize>();
        160 + match self {
            Self::Message { texts, .. } => sum(texts),
            Self::Reasoning {
                summary, content, ..
            } => sum(summary) + sum(content),
            Self::Call {
                call_id,
                name,
                arguments,
                ..
            } => call_id.len() + name.len() + arguments.len(),
            Self::CallOutput {
                call_id, output, ..
            } => call_id.len() + output.len(),
        }
    }

    /// As it is listed.
    pub(crate) fn to_json(&self) -> Value {
        let parts = |kind: &str, texts: &[String]| -> Vec<Value> {
            texts
                .iter()
                .map(|text| json!({"type": kind, "text": text}))
                .collect()
        };
        match self {
            Self::Message { id, role, texts } => {
                let content: Vec<Value> = match role.as_str() {
                    "assistant" => texts
                        .iter()
                        .map(|text| json!(Part::output(text, Vec::new())))
                        .collect(),
                    _ => parts("input_text", texts),
                };
                json!({"type": "message", "id": id, "status": "completed", "role": role, "content": content})
            }
            Self::Reasoning {
                id,
                summary,
                content,
            } => json!({
                "type": "reasoning", "id": id, "status": "completed",
                "summary": parts("summary_text", summary),
                "content": parts("reasoning_text", content),
            }),
            Self::Call {
                id,
                call_id,
                name,
                arguments,
            } => json!({
                "type": "function_call", "id": id, "status": "completed",
                "call_id": call_id, "name": name, "arguments": arguments,
            }),
            Self::CallOutput {
                id,
                call_id,
                output,
            } => json!({
                "type": "function_call_output", "id": id, "status": "completed",
                "call_id": call_id, "output": output,
            }),
        }
    }
}

impl From<&OutputItem> for Item {
    fn from(item: &OutputItem) -> Self {
        let texts = |parts: &[Part]| -> Vec<String> {
            let text = |part: &Part| match part {
                Part::ReasoningText { text } | Part::OutputText { text, .. } => text.clone(),
            };
            parts.iter().map(text).collect()
        };
        match item {
            OutputItem::Reasoning { id, content, .. } => Self::Reasoning {
                id: id.clone(),
                summary: Vec::new(),
                content: texts(content),
            },
            OutputItem::Message { id, content, .. } => Self::Message {
                id: id.clone(),
                role: "assistant".to_owned(),
                texts: texts(content),
            },
            OutputItem::FunctionCall {
                id,
                call_id,
                name,
                arguments,
                ..
            } => Self::Call {
                id: id.clone(),
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
            },
        }
    }
}

/// Who may have said a message.
const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

/// Finds an item that was made earlier, by its name.
pub(crate) type Find<'a> = &'a dyn Fn(&str) -> Option<Item>;

/// Reads `input`: a text, or a list of items.
///
/// # Errors
/// What this server cannot read, by the name of the field.
pub(crate) fn read(input: Value, find: Find<'_>) -> Result<Vec<Item>, ApiError> {
    let list = match input {
        Value::String(text) => return Ok(vec![message("user", vec![text])]),
        Value::Array(list) => list,
        other => return Err(wrong_type("input", "a string or an array", &other)),
    };
    if list.is_empty() {
        return Err(ApiError::invalid("input", "`input` is empty"));
    }
    let items = list.into_iter().enumerate();
    items
        .map(|(i, value)| item(Fields::new(value, &format!("input[{i}]"))?, find))
        .collect()
}

fn message(role: &str, texts: Vec<String>) -> Item {
    Item::Message {
        id: new_id("msg_"),
        role: role.to_owned(),
        texts,
    }
}

fn item(mut fields: Fields, find: Find<'_>) -> Result<Item, ApiError> {
    let kind = fields.string("type")?;
    let id = fields.string("id")?;
    fields.string("status")?;
    let item = match kind.as_deref() {
        None | Some("message") => read_message(&mut fields, id)?,
        Some("reasoning") => read_reasoning(&mut fields, id)?,
        Some("function_call") => Item::Call {
            id: id.unwrap_or_else(|| new_id("fc_")),
            call_id: fields.required_string("call_id")?,
            name: fields.required_string("name")?,
            arguments: fields.required_string("arguments")?,
        },
        Some("function_call_output") => {
            let call_id = fields.required_string("call_id")?;
            let (path, output) = (fields.path_of("output"), fields.take("output"));
            let texts = content(path, output)?;
            Item::CallOutput {
                id: id.unwrap_or_else(|| new_id("fco_")),
                call_id,
                output: texts.concat(),
            }
        }
        Some("item_reference") => {
            let id = id.unwrap_or_default();
            let missing = || {
                let param = fields.path_of("id");
                ApiError::invalid(param, format!("no stored item is named \"{id}\""))
            };
            find(&id).ok_or_else(missing)?
        }
        Some(other) => {
            let known = [
                "message",
                "reasoning",
                "function_call",
                "function_call_output",
                "item_reference",
            ];
            return Err(unknown_word(
                &fields.path_of("type"),
                other,
                known.into_iter(),
            ));
        }
    };
    fields.finish()?;
    Ok(item)
}

fn read_message(fields: &mut Fields, id: Option<String>) -> Result<Item, ApiError> {
    let role = fields.required_string("role")?;
    if !ROLES.contains(&role.as_str()) {
        return Err(unknown_word(
            &fields.path_of("role"),
            &role,
            ROLES.into_iter(),
        ));
    }
    // Which of several messages is the last word is for who shows them, not for the model.
    fields.string("phase")?;
    let (path, value) = (fields.path_of("content"), fields.take("content"));
    Ok(Item::Message {
        id: id.unwrap_or_else(|| new_id("msg_")),
        role,
        texts: content(path, value)?,
    })
}

fn read_reasoning(fields: &mut Fields, id: Option<String>) -> Result<Item, ApiError> {
    let summary = parts(fields.path_of("summary"), fields.array("summary")?)?;
    let mut content = parts(fields.path_of("content"), fields.array("content")?)?;
    let sealed = fields
        .string("encrypted_content")?
        .filter(|_| content.is_empty());
    if let Some(sealed) = sealed {
        let foreign = || {
            let message =
                "This reasoning was encrypted elsewhere; send its 'content', or leave it out.";
            ApiError::invalid(fields.path_of("encrypted_content"), message)
        };
        content.push(sealed::open(&sealed).ok_or_else(foreign)?);
    }
    Ok(Item::Reasoning {
        id: id.unwrap_or_else(|| new_id("rs_")),
        summary,
        content,
    })
}

/// A text, or parts that are text.
fn content(path: String, value: Option<Value>) -> Result<Vec<String>, ApiError> {
    match value {
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => parts(path, Some(list)),
        Some(other) => Err(wrong_type(&path, "a string or an array of parts", &other)),
        None => Err(ApiError::missing(path)),
    }
}

fn parts(path: String, list: Option<Vec<Value>>) -> Result<Vec<String>, ApiError> {
    let list = list.unwrap_or_default().into_iter().enumerate();
    list.map(|(i, value)| part(Fields::new(value, &format!("{path}[{i}]"))?))
        .collect()
}

fn part(mut fields: Fields) -> Result<String, ApiError> {
    let kind = fields.required_string("type")?;
    let text = match kind.as_str() {
        "input_text" | "output_text" | "reasoning_text" | "summary_text" | "text" => {
            fields.required_string("text")?
        }
        "refusal" => fields.required_string("refusal")?,
        other => {
            let why =
                format!("a part of type '{other:.50}' cannot be read; models here read text only");
            return Err(ApiError::unsupported(fields.path_of("type"), &why));
        }
    };
    // What a response says of its own texts, and may come back with.
    fields.array("annotations")?;
    fields.array("logprobs")?;
    fields.finish()?;
    Ok(text)
}
