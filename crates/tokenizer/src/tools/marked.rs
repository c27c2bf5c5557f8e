//! Calls in markers of their own inside one block.

use super::json::{self, object, value_len};
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
        let (head, arguments) = inner.split_once(separator)?;
        // The marker may stand in a text of the arguments.
        let start = arguments.find('{').unwrap_or(arguments.len());
        let len = start + value_len(&arguments[start..]).unwrap_or(0);
        let (_, after) = arguments[len..].split_once(close)?;
        let arguments = &arguments[..arguments.len() - after.len() - close.len()];
        if head.contains(close) {
            return None;
        }
        calls.push(section(head.trim(), arguments.trim())?);
        rest = after.trim_start();
    }
    Some(calls)
}

/// Whether the last section ends inside a JSON text of its arguments.
pub(super) fn ends_in_text(body: &str, open: &str, separator: &str, close: &str) -> bool {
    let mut rest = body;
    loop {
        let Some((head, arguments)) = rest
            .strip_prefix(open)
            .and_then(|r| r.split_once(separator))
        else {
            return false;
        };
        let start = arguments.find('{').unwrap_or(arguments.len());
        match value_len(&arguments[start..]) {
            _ if head.contains(close) => return false,
            None => return json::ends_in_text(&arguments[start..]),
            Some(len) => match arguments[start + len..].split_once(close) {
                Some((_, after)) => rest = after.trim_start(),
                None => return false,
            },
        }
    }
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
