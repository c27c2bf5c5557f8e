//! Calls in markers of their own inside one block.

use super::json::object;
use super::{ParsedCall, is_name};

/// `open` name `separator` `{…}` `close`, repeated.
pub(super) fn sections(
    body: &str,
    open: &str,
    separator: &str,
    close: &str,
) -> Option<Vec<ParsedCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let inner = rest.strip_prefix(open)?;
        let (inner, after) = inner.split_once(close)?;
        let (head, arguments) = inner.split_once(separator)?;
        calls.push(section(head.trim(), arguments.trim())?);
        rest = after.trim_start();
    }
    Some(calls)
}

/// Two dialects: the name before the separator, or `function` there and then the name on a
/// line of its own with the arguments in a fenced block.
fn section(head: &str, arguments: &str) -> Option<ParsedCall> {
    let (name, arguments) = match (head, arguments.split_once('\n')) {
        ("function", Some((name, fenced))) => {
            let fenced = fenced.trim();
            let inner = fenced
                .strip_prefix("```json")
                .and_then(|inner| inner.strip_suffix("```"));
            (name.trim(), inner.unwrap_or(fenced).trim())
        }
        _ => (function_name(head), arguments),
    };
    let arguments = object(&serde_json::from_str(arguments).ok()?)?;
    is_name(name).then(|| ParsedCall {
        name: name.to_owned(),
        arguments,
    })
}

/// The name in an id like `functions.get_weather:0`.
fn function_name(id: &str) -> &str {
    let name = id.strip_prefix("functions.").unwrap_or(id);
    match name.rsplit_once(':') {
        Some((name, index)) if index.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    }
}
