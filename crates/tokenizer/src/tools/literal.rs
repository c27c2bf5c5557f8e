//! Calls written as literals: Python's, and braces with bare keys.

use serde_json::{Map, Value as Json};

use super::{ParsedCall, is_name};

/// Nested deeper than this, a literal is refused.
const MAX_DEPTH: usize = 64;

/// `[name(key=value, …), …]`, with or without the list's brackets.
pub(super) fn pythonic_calls(body: &str) -> Option<Vec<ParsedCall>> {
    let mut reader = Reader {
        rest: body,
        quotes: &["\"", "'"],
        escapes: true,
    };
    let in_list = reader.eat("[");
    let mut calls = Vec::new();
    loop {
        let name = reader.word()?;
        let arguments = reader
            .eat("(")
            .then(|| reader.pairs("=", ")", 0))
            .flatten()?;
        calls.push(ParsedCall { name, arguments });
        if !reader.eat(",") {
            break;
        }
    }
    if in_list && !reader.eat("]") {
        return None;
    }
    reader.at_end().then_some(calls)
}

/// `call:name{key:value, …}`.
pub(super) fn brace_call(body: &str, quote: &str) -> Option<ParsedCall> {
    let (name, arguments) = body.strip_prefix("call:")?.split_once('{')?;
    let quotes = [quote];
    let mut reader = Reader {
        rest: arguments,
        quotes: &quotes,
        escapes: false,
    };
    let arguments = reader.pairs(":", "}", 0)?;
    let name = name.trim();
    (reader.at_end() && is_name(name)).then(|| ParsedCall {
        name: name.to_owned(),
        arguments,
    })
}

/// Reads literals from the front of a text.
struct Reader<'a> {
    rest: &'a str,
    /// What opens and closes a string.
    quotes: &'a [&'a str],
    /// Whether a backslash escapes inside strings.
    escapes: bool,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(token) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn at_end(&self) -> bool {
        self.rest.trim().is_empty()
    }

    /// A bare name.
    fn word(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        self.rest = after;
        is_name(word).then(|| word.to_owned())
    }

    /// `key SEPARATOR value, …` up to and with `close`.
    fn pairs(&mut self, separator: &str, close: &str, depth: usize) -> Option<Map<String, Json>> {
        let mut map = Map::new();
        loop {
            if self.eat(close) {
                return Some(map);
            }
            let key = match self.string() {
                Some(key) => key,
                None => self.word()?,
            };
            if !self.eat(separator) {
                return None;
            }
            map.insert(key, self.value(depth + 1)?);
            if !self.eat(",") {
                return self.eat(close).then_some(map);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(text) = self.string() {
            return Some(Json::String(text));
        }
        if self.eat("{") {
            return self.pairs(":", "}", depth).map(Json::Object);
        }
        if self.eat("[") {
            let mut items = Vec::new();
            loop {
                if self.eat("]") {
                    return Some(Json::Array(items));
                }
                items.push(self.value(depth + 1)?);
                if !self.eat(",") {
                    return self.eat("]").then_some(Json::Array(items));
                }
            }
        }
        self.scalar()
    }

    fn scalar(&mut self) -> Option<Json> {
        let rest = self.rest.trim_start();
        let len = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+')))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        self.rest = after;
        match word {
            "True" | "true" => Some(Json::Bool(true)),
            "False" | "false" => Some(Json::Bool(false)),
            "None" | "null" => Some(Json::Null),
            _ => serde_json::from_str(word).ok().filter(Json::is_number),
        }
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let quote = *self.quotes.iter().find(|quote| rest.starts_with(**quote))?;
        let body = &rest[quote.len()..];
        let mut text = String::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            if body[at..].starts_with(quote) {
                self.rest = &body[at + quote.len()..];
                return Some(text);
            }
            match c {
                '\\' if self.escapes => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'u' => text.push(unicode_escape(&mut chars)?),
                    c => text.push(c),
                },
                c => text.push(c),
            }
        }
        None
    }
}

/// The four digits after `\u`; a lone half of a pair becomes U+FFFD.
fn unicode_escape(chars: &mut std::str::CharIndices) -> Option<char> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + chars.next()?.1.to_digit(16)?;
    }
    Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}
