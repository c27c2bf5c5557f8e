//! Items → the messages that a model reads.
//!
//! A turn of the assistant is one message with thought, text and calls; in items they lie side by
//! side.

use std::collections::HashMap;

use ponder_engine::{Content, FunctionCall, Message, ToolCall};
use serde_json::Value;

use super::input::Item;
use crate::http::ApiError;

/// The messages of a conversation, `instructions` first. Errors name items by their place behind
/// the first `n_earlier`, which were sent with earlier requests.
///
/// # Errors
/// Where the result of a call belongs to none.
pub(crate) fn messages(
    instructions: Option<&str>,
    items: &[&Item],
    n_earlier: usize,
) -> Result<Vec<Message>, ApiError> {
    let mut talk = Talk::default();
    if let Some(instructions) = instructions {
        talk.messages.push(Message::new("system", instructions));
    }
    for (i, &item) in items.iter().enumerate() {
        match item {
            Item::Message { role, texts, .. } => talk.message(role, &texts.concat()),
            Item::Reasoning {
                summary, content, ..
            } => talk.thought(match content.is_empty() {
                true => summary.concat(),
                false => content.concat(),
            }),
            Item::Call {
                call_id,
                name,
                arguments,
                ..
            } => talk.call(call_id, name, arguments),
            Item::CallOutput {
                call_id, output, ..
            } => {
                if !talk.output(call_id, output) {
                    let param = match i.checked_sub(n_earlier) {
                        Some(i) => format!("input[{i}].call_id"),
                        None => "previous_response_id".to_owned(),
                    };
                    let message =
                        format!("no function call before it has the call_id \"{call_id}\"");
                    return Err(ApiError::invalid(param, message));
                }
            }
        }
    }
    talk.flush();
    Ok(talk.messages)
}

#[derive(Default)]
struct Talk {
    messages: Vec<Message>,
    /// The turn of the assistant that goes on.
    open: Option<Message>,
    /// Functions by the names of their calls.
    calls: HashMap<String, String>,
}

impl Talk {
    fn message(&mut self, role: &str, text: &str) {
        if role != "assistant" {
            self.flush();
            return self.of_others(role, text);
        }
        let has_spoken = |open: &Message| open.content.is_some() || !open.tool_calls.is_empty();
        if self.open.as_ref().is_some_and(has_spoken) {
            self.flush();
        }
        self.turn().content = Some(Content::Text(text.to_owned()));
    }

    /// Templates take one system message at most: what a conversation begins with goes behind the
    /// instructions.
    fn of_others(&mut self, role: &str, text: &str) {
        if let [first] = self.messages.as_mut_slice()
            && first.role == "system"
            && ["system", "developer"].contains(&role)
        {
            let both = format!("{}\n\n{text}", first.text());
            first.content = Some(Content::Text(both));
            return;
        }
        self.messages.push(Message::new(role, text));
    }

    fn thought(&mut self, text: String) {
        let has_spoken = |open: &Message| open.content.is_some() || !open.tool_calls.is_empty();
        if self.open.as_ref().is_some_and(has_spoken) {
            self.flush();
        }
        if !text.is_empty() {
            self.turn()
                .reasoning
                .get_or_insert_default()
                .push_str(&text);
        }
    }

    fn call(&mut self, call_id: &str, name: &str, arguments: &str) {
        self.calls.insert(call_id.to_owned(), name.to_owned());
        self.turn().tool_calls.push(ToolCall {
            id: Some(call_id.to_owned()),
            kind: "function".to_owned(),
            function: FunctionCall {
                name: name.to_owned(),
                arguments: Value::String(arguments.to_owned()),
            },
        });
    }

    /// Whether there is a call that it belongs to.
    fn output(&mut self, call_id: &str, output: &str) -> bool {
        self.flush();
        let Some(name) = self.calls.get(call_id) else {
            return false;
        };
        self.messages.push(Message {
            tool_call_id: Some(call_id.to_owned()),
            name: Some(name.clone()),
            ..Message::new("tool", output)
        });
        true
    }

    fn turn(&mut self) -> &mut Message {
        self.open.get_or_insert_with(|| Message {
            role: "assistant".to_owned(),
            ..Message::default()
        })
    }

    fn flush(&mut self) {
        self.messages.extend(self.open.take());
    }
}

#[cfg(test)]
mod tests;
