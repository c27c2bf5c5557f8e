//! The conversation so far.

use ponder_engine::{Content, FunctionCall, Message, ToolCall};
use serde_json::{Map, Value, json};

use crate::http::{ApiError, Fields, wrong_type};

/// Messages of a conversation.
const MAX_MESSAGES: usize = 4096;

/// Reads `messages`.
pub(crate) fn read(body: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let path = body.path_of("messages");
    let Some(items) = body.array("messages")? else {
        return Err(ApiError::missing(path));
    };
    if items.is_empty() || items.len() > MAX_MESSAGES {
        let message =
            format!("'{path}' must hold at least one message, and {MAX_MESSAGES} at most.");
        return Err(ApiError::invalid(path, message));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{i}]");
        let message = message(item, &path)?;
        if message.role == "tool" && !answers_a_call(&message, &messages) {
            let message = format!(
                "Invalid '{path}.tool_call_id': no call in 'tool_calls' of a message before it has this id."
            );
            return Err(ApiError::invalid(format!("{path}.tool_call_id"), message));
        }
        messages.push(message);
    }
    Ok(messages)
}

fn answers_a_call(result: &Message, before: &[Message]) -> bool {
    let mut calls = before.iter().flat_map(|message| &message.tool_calls);
    calls.any(|call| call.id == result.tool_call_id)
}

fn message(item: Value, path: &str) -> Result<Message, ApiError> {
    let mut fields = Fields::new(item, path)?;
    let role = fields.required_string("role")?;
    let message = match role.as_str() {
        "developer" | "system" | "user" => said(&mut fields, role)?,
        "assistant" => answered(&mut fields)?,
        "tool" => result(&mut fields)?,
        "function" => {
            return Err(ApiError::unsupported(
                fields.path_of("role"),
                "messages with the role 'function' are not read; use 'tool'",
            ));
        }
        other => {
            let known = ["developer", "system", "user", "assistant", "tool"];
            let path = fields.path_of("role");
            return Err(crate::http::unknown_word(&path, other, known.into_iter()));
        }
    };
    fields.finish()?;
    Ok(message)
}

/// What a user says, or who runs the conversation.
fn said(fields: &mut Fields, role: String) -> Result<Message, ApiError> {
    let missing = ApiError::missing(fields.path_of("content"));
    Ok(Message {
        role,
        content: Some(content(fields, &["text"])?.ok_or(missing)?),
        name: fields.string("name")?,
        ..Message::default()
    })
}

/// What the model has said before. Its thinking has a name in every dialect.
fn answered(fields: &mut Fields) -> Result<Message, ApiError> {
    let content = content(fields, &["text", "refusal"])?;
    let refusal = fields.string("refusal")?;
    let tool_calls = tool_calls(fields)?;
    let mut reasoning = None;
    for name in ["reasoning_content", "reasoning", "thinking"] {
        reasoning = reasoning.or(fields.string(name)?);
    }
    // Clients send back what they were sent, with fields that say nothing new.
    for name in ["annotations", "parsed"] {
        fields.take(name);
    }
    fields.refuse("audio", "models here read text only")?;
    fields.refuse("function_call", "use 'tool_calls'")?;
    let content = content.or(refusal.map(Content::Text));
    if content.is_none() && tool_calls.is_empty() && reasoning.is_none() {
        return Err(ApiError::missing(fields.path_of("content")));
    }
    Ok(Message {
        role: "assistant".to_owned(),
        content,
        reasoning,
        tool_calls,
        name: fields.string("name")?,
        ..Message::default()
    })
}

/// What a tool has said.
fn result(fields: &mut Fields) -> Result<Message, ApiError> {
    let missing = ApiError::missing(fields.path_of("content"));
    Ok(Message {
        role: "tool".to_owned(),
        content: Some(content(fields, &["text"])?.ok_or(missing)?),
        tool_call_id: Some(fields.required_string("tool_call_id")?),
        name: fields.string("name")?,
        ..Message::default()
    })
}

/// A text, or a list of parts of these types.
fn content(fields: &mut Fields, types: &[&str]) -> Result<Option<Content>, ApiError> {
    let path = fields.path_of("content");
    match fields.take("content") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(Content::Text(text))),
        Some(Value::Array(items)) if items.is_empty() => Err(ApiError::invalid(
            path.as_str(),
            format!("'{path}' must hold at least one part."),
        )),
        Some(Value::Array(items)) => {
            let parts = items.into_iter().enumerate();
            let parts = parts.map(|(i, item)| part(item, &format!("{path}[{i}]"), types));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            // Parts are the tokenizer's own type, which is read from JSON.
            let parts = serde_json::from_value(Value::Array(parts));
            parts
                .map(Some)
                .map_err(|error| ApiError::invalid(path, error.to_string()))
        }
        Some(other) => Err(wrong_type(&path, "a string or an array of parts", &other)),
    }
}

/// One part, as the text that it is.
fn part(item: Value, path: &str, types: &[&str]) -> Result<Value, ApiError> {
    let mut fields = Fields::new(item, path)?;
    let kind = fields.required_string("type")?;
    if !types.contains(&kind.as_str()) {
        let known = ["image_url", "input_audio", "file", "refusal"];
        let path = fields.path_of("type");
        return Err(match known.contains(&kind.as_str()) {
            true => ApiError::unsupported(
                path,
                &format!("a part of type '{kind}' cannot be read here; models here read text only"),
            ),
            false => crate::http::unknown_word(&path, &kind, types.iter().copied()),
        });
    }
    let text = fields.required_string(&kind)?;
    fields.take("annotations");
    fields.finish()?;
    Ok(json!({"type": "text", "text": text}))
}

fn tool_calls(fields: &mut Fields) -> Result<Vec<ToolCall>, ApiError> {
    let path = fields.path_of("tool_calls");
    let calls = fields.array("tool_calls")?.unwrap_or_default();
    let calls = calls.into_iter().enumerate();
    calls
        .map(|(i, call)| tool_call(call, &format!("{path}[{i}]")))
        .collect()
}

fn tool_call(call: Value, path: &str) -> Result<ToolCall, ApiError> {
    let mut fields = Fields::new(call, path)?;
    let kind = fields.string("type")?.unwrap_or("function".to_owned());
    if kind != "function" {
        return Err(ApiError::unsupported(
            fields.path_of("type"),
            "only calls of functions are read",
        ));
    }
    // Chunks of a stream carry their place; who puts them together may leave it in.
    fields.integer("index", 0..=i64::MAX)?;
    let id = fields.required_string("id")?;
    let missing = ApiError::missing(fields.path_of("function"));
    let mut function = fields.object("function")?.ok_or(missing)?;
    let name = function.required_string("name")?;
    let path = function.path_of("arguments");
    let arguments = match function.take("arguments") {
        None => Value::Object(Map::new()),
        Some(Value::String(text)) => Value::String(text),
        Some(other) => return Err(wrong_type(&path, "a string", &other)),
    };
    function.take("parsed_arguments");
    function.finish()?;
    fields.finish()?;
    Ok(ToolCall {
        id: Some(id),
        kind,
        function: FunctionCall { name, arguments },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(messages: Value) -> Result<Vec<Message>, ApiError> {
        read(&mut Fields::new(json!({"messages": messages}), "")?)
    }

    #[test]
    fn every_role_is_read() {
        let messages = read_json(json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "refusal": null, "annotations": [], "reasoning": "hm",
             "tool_calls": [{"id": "call_1", "type": "function",
                             "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        ]));
        let messages = messages.expect("messages");
        assert_eq!(messages[1].text(), "ab");
        assert_eq!(messages[2].reasoning.as_deref(), Some("hm"));
        assert_eq!(messages[2].content, None);
        assert_eq!(messages[3].tool_call_id.as_deref(), Some("call_1"));
    }

    #[test]
    fn thinking_is_read_under_every_name() {
        for name in ["reasoning_content", "reasoning", "thinking"] {
            let messages = read_json(json!([{"role": "assistant", "content": "4", name: "2+2"}]));
            let reasoning = messages.expect("a message")[0].reasoning.clone();
            assert_eq!(reasoning.as_deref(), Some("2+2"));
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (messages, param) in [
            (json!([]), "messages"),
            (json!("hi"), "messages"),
            (json!([{"content": "a"}]), "messages[0].role"),
            (
                json!([{"role": "judge", "content": "a"}]),
                "messages[0].role",
            ),
            (
                json!([{"role": "function", "content": "a", "name": "f"}]),
                "messages[0].role",
            ),
            (json!([{"role": "user"}]), "messages[0].content"),
            (
                json!([{"role": "user", "content": 3}]),
                "messages[0].content",
            ),
            (
                json!([{"role": "user", "content": []}]),
                "messages[0].content",
            ),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
                "messages[0].content[0].type",
            ),
            (
                json!([{"role": "user", "content": "a", "mood": 1}]),
                "messages[0].mood",
            ),
            (json!([{"role": "assistant"}]), "messages[0].content"),
            (
                json!([{"role": "tool", "tool_call_id": "x", "content": "a"}]),
                "messages[0].tool_call_id",
            ),
            (
                json!([{"role": "assistant", "tool_calls": [{"id": "x", "function": {"arguments": "{}"}}]}]),
                "messages[0].tool_calls[0].function.name",
            ),
        ] {
            let error = read_json(messages.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{messages}");
        }
    }
}
