//! Finding out by trial what a template can be given.
//!
//! Templates differ in what they take: a list of parts as content, no content beside a tool
//! call, arguments as an object or as text. Nothing declares it, so small conversations are
//! rendered once and the outcome tells.

use serde_json::{Value as Json, json};

use super::clock::LocalTime;
use super::template::ChatTemplate;

const PROBE_FUEL: u64 = 400_000;
const MARK: &str = "PROBE-5d1f";

/// What [`template_vars`](super::template_vars) may write for this template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Content may be a list of parts.
    pub(super) content_parts: bool,
    /// Tool call arguments may be an object (else they are written as JSON text).
    pub(super) object_arguments: bool,
    /// A tool call is written when the content beside it is `null`.
    pub(super) null_beside_calls: bool,
    /// A tool call is written when the content beside it is the empty text.
    pub(super) empty_beside_calls: bool,
    /// The role `developer` means something.
    pub(super) developer_role: bool,
}

impl Capabilities {
    pub(super) fn probe(template: &ChatTemplate) -> Self {
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": MARK}]}]);
        // A list that was merely printed shows its keys.
        let content_parts = render(template, &parts).is_some_and(|out| {
            out.contains(MARK) && !out.contains("'text'") && !out.contains("\"text\"")
        });
        let object = json!({"a": MARK});
        let text = json!(object.to_string());
        let [null_object, empty_object] =
            [Json::Null, json!("")].map(|content| writes_call(template, &content, &object));
        let [null_text, empty_text] =
            [Json::Null, json!("")].map(|content| writes_call(template, &content, &text));
        let object_arguments = null_object || empty_object || !(null_text || empty_text);
        Self {
            content_parts,
            object_arguments,
            null_beside_calls: if object_arguments {
                null_object
            } else {
                null_text
            },
            empty_beside_calls: if object_arguments {
                empty_object
            } else {
                empty_text
            },
            developer_role: template.source().contains("developer"),
        }
    }
}

/// Whether a call beside this content, with these arguments, reaches the prompt.
fn writes_call(template: &ChatTemplate, content: &Json, arguments: &Json) -> bool {
    let call = json!({"id": "call00000", "type": "function",
        "function": {"name": "f", "arguments": arguments}});
    let messages = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00000", "name": "f", "content": "1"},
    ]);
    render(template, &messages).is_some_and(|out| out.contains(MARK) && !out.contains("None"))
}

fn render(template: &ChatTemplate, messages: &Json) -> Option<String> {
    let vars = json!({"messages": messages, "tools": null, "add_generation_prompt": false,
        "bos_token": "", "eos_token": ""});
    let epoch: LocalTime = "2026-01-01T00:00:00".parse().ok()?;
    template
        .render_with_fuel(&vars, Some(epoch), PROBE_FUEL)
        .ok()
}
