//! Calls that a message's header opens.

use ponder_tokenizer::split::{HeaderFormat, ToolFormat};

use super::{Family, Kind, Words, json, rules::Rules, tool::Tool};
use crate::EngineError;

/// A message that is a call, from behind the role in its header. There is one in a turn.
pub(super) fn calls(
    headers: &HeaderFormat,
    format: Option<&ToolFormat>,
    words: &Words,
    tools: &[Tool],
    kind: Kind,
    rules: &mut Rules,
) -> Result<String, EngineError> {
    let message = words.markup(&headers.message);
    let mut calls = Vec::new();
    for tool in tools {
        let header = |call: &String| words.markup(&call.replace("NAME", &tool.name));
        let header: Vec<String> = headers.calls.iter().map(header).collect();
        let body = match format {
            None => json::arguments(tool, rules),
            Some(format) => {
                let family = Family {
                    tools: std::slice::from_ref(tool),
                    format,
                    words,
                    is_many: !kind.is_one,
                };
                family.block(rules)?
            }
        };
        let header = rules.add("header", &header.join(" | "));
        calls.push(format!("{header} {message} WS? {body}"));
    }
    Ok(rules.add("calls", &calls.join(" | ")))
}
