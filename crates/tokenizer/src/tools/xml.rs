//! Calls written with tags, whose values are plain text.
//!
//! The tags are not XML: nothing is escaped, and a value may hold any text but its closing
//! tag. What a value means, the tool's schema says ([`Schemas`]).

use serde_json::Map;

use super::json::{self, value_len};
use super::{ParsedCall, Schemas, is_name};

/// `<function=name><parameter=key>value</parameter>…</function>`, one or several.
pub(super) fn function_calls(body: &str, schemas: &Schemas) -> Option<Vec<ParsedCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix("<function=")?.split_once('>')?;
        let name = name.trim();
        let (call, after) = parameters(
            name,
            after,
            "<parameter=",
            ">",
            "</parameter>",
            "</function>",
            schemas,
        )?;
        calls.push(call);
        rest = after.trim_start();
    }
    Some(calls)
}

/// `<PREFIXinvoke name="f"><PREFIXparameter name="k">value</PREFIXparameter>…</PREFIXinvoke>`.
pub(super) fn invoke_calls(body: &str, prefix: &str, schemas: &Schemas) -> Option<Vec<ParsedCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let opening = format!("<{prefix}invoke name=\"");
        let (name, after) = rest.strip_prefix(opening.as_str())?.split_once("\">")?;
        let (call, after) = parameters(
            name,
            after,
            &format!("<{prefix}parameter name=\""),
            "\">",
            &format!("</{prefix}parameter>"),
            &format!("</{prefix}invoke>"),
            schemas,
        )?;
        calls.push(call);
        rest = after.trim_start();
    }
    Some(calls)
}

/// Reads parameters up to `end`; models leave out closing tags at times, so the next opening
/// tag and `end` close a value too.
fn parameters<'a>(
    name: &str,
    mut rest: &'a str,
    open: &str,
    open_end: &str,
    close: &str,
    end: &str,
    schemas: &Schemas,
) -> Option<(ParsedCall, &'a str)> {
    if !is_name(name) {
        return None;
    }
    let mut arguments = Map::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        if let Some(after) = rest.strip_prefix(end) {
            rest = after;
            break;
        }
        let (key, after) = rest.strip_prefix(open)?.split_once(open_end)?;
        let len = match schemas.is_text(name, key.trim()) {
            true => after.find(close),
            false => json_len(after, close).or_else(|| after.find(close)),
        };
        let len = len
            .or_else(|| after.find(open))
            .or_else(|| after.find(end))
            .unwrap_or(after.len());
        let value = &after[..len];
        // The one line break after the opening and before the closing tag is layout.
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        arguments.insert(
            key.trim().to_owned(),
            schemas.value(name, key.trim(), value),
        );
        rest = &after[len..];
        rest = rest.strip_prefix(close).unwrap_or(rest);
    }
    Some((
        ParsedCall {
            name: name.to_owned(),
            arguments,
        },
        rest,
    ))
}

/// The length of a value that is JSON with a closing tag behind it: such a tag may stand in a text of
/// it too.
fn json_len(text: &str, close: &str) -> Option<usize> {
    let value = text.trim_start();
    let len = text.len() - value.len() + value_len(value)?;
    let space = text[len..].len() - text[len..].trim_start().len();
    text[len + space..]
        .starts_with(close)
        .then_some(len + space)
}

/// Whether the last value of a call ends inside a JSON text. `open` stands before and behind a key.
pub(super) fn ends_in_text(body: &str, open: [&str; 2], close: &str) -> bool {
    let last = body.rsplit_once(open[0]);
    let Some((_, value)) = last.and_then(|(_, after)| after.split_once(open[1])) else {
        return false;
    };
    let value = value.trim_start();
    match value.chars().next() {
        Some('"') => value_len(value).is_none(),
        Some('{' | '[') => json_len(value, close).is_none() && json::ends_in_text(value),
        _ => false,
    }
}

/// `name<arg_key>key</arg_key><arg_value>value</arg_value>…`.
pub(super) fn arg_pairs(body: &str, schemas: &Schemas) -> Option<ParsedCall> {
    let (name, mut rest) = body.split_at(body.find("<arg_key>").unwrap_or(body.len()));
    let name = name.trim();
    if !is_name(name) {
        return None;
    }
    let mut arguments = Map::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(ParsedCall {
                name: name.to_owned(),
                arguments,
            });
        }
        let (key, after) = rest.strip_prefix("<arg_key>")?.split_once("</arg_key>")?;
        let after = after.trim_start().strip_prefix("<arg_value>")?;
        let close = "</arg_value>";
        let len = match schemas.is_text(name, key.trim()) {
            true => after.find(close)?,
            false => json_len(after, close).or_else(|| after.find(close))?,
        };
        let (value, after) = (&after[..len], &after[len + close.len()..]);
        arguments.insert(
            key.trim().to_owned(),
            schemas.value(name, key.trim(), value),
        );
        rest = after;
    }
}
