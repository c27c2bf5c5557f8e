//! Calls written as JSON.

use serde_json::{Map, Value as Json};

use super::{ParsedCall, is_name};

/// One call or a list of calls; several values may follow each other, with `;` between.
pub(super) fn calls(body: &str) -> Option<Vec<ParsedCall>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
        match stream.next()?.ok()? {
            Json::Array(items) => {
                for item in items {
                    calls.push(call(item)?);
                }
            }
            value => calls.push(call(value)?),
        }
        rest = rest[stream.byte_offset()..]
            .trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    }
    Some(calls)
}

/// `name` `separator` `{…}`, repeated, or what [`calls`] reads.
pub(super) fn named_calls(body: &str, separator: &str) -> Option<Vec<ParsedCall>> {
    if body.starts_with(['[', '{']) {
        return calls(body);
    }
    let (name, arguments) = body.split_once(separator)?;
    // Some versions put the id of the call between the name and the arguments.
    let name = name
        .split_once("[CALL_ID]")
        .map_or(name, |(name, _)| name)
        .trim();
    let arguments = object(&serde_json::from_str(arguments).ok()?)?;
    is_name(name).then(|| {
        vec![ParsedCall {
            name: name.to_owned(),
            arguments,
        }]
    })
}

/// The object of one call, possibly inside `{"type": "function", "function": {…}}`.
fn call(value: Json) -> Option<ParsedCall> {
    let Json::Object(mut map) = value else {
        return None;
    };
    if let Some(Json::Object(function)) = map.remove("function") {
        map = function;
    }
    let name = map.get("name")?.as_str()?.to_owned();
    let arguments = map.get("arguments").or_else(|| map.get("parameters"));
    let arguments = match arguments {
        None => Map::new(),
        Some(value) => object(value)?,
    };
    is_name(&name).then_some(ParsedCall { name, arguments })
}

/// Arguments are an object, the text of one, or null for none.
pub(super) fn object(value: &Json) -> Option<Map<String, Json>> {
    match value {
        Json::Object(map) => Some(map.clone()),
        Json::Null => Some(Map::new()),
        Json::String(text) => match serde_json::from_str(text).ok()? {
            Json::Object(map) => Some(map),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a text that holds JSON values ends inside a JSON text of one.
pub(super) fn ends_in_text(text: &str) -> bool {
    let mut end = JsonEnd::default();
    while end.advance(text).is_some() {}
    end.is_in_text()
}

/// The length of the JSON value at the beginning of a text, if one stands there.
pub(super) fn value_len(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// Finds where a JSON object or list ends, fed piece by piece; each byte is looked at once.
#[derive(Debug, Default, Clone)]
pub(crate) struct JsonEnd {
    pos: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    /// Leaves out the first `pos` bytes.
    pub(crate) fn skip_to(&mut self, pos: usize) {
        self.pos = self.pos.max(pos);
    }

    /// Looks on in `text`, which starts as it did at the last call; the offset behind the first
    /// value that is complete.
    pub(crate) fn advance(&mut self, text: &str) -> Option<usize> {
        while let Some(byte) = text.as_bytes().get(self.pos) {
            self.pos += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string && self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.pos);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Whether the text so far ends inside a JSON text.
    pub(crate) fn is_in_text(&self) -> bool {
        self.in_string
    }

    /// Whether the text so far ends inside a value.
    pub(crate) fn is_inside(&self) -> bool {
        self.depth > 0
    }
}
