//! Grammars that users write, before they are compiled.

use serde_json::Value;

use super::schema;
use crate::EngineError;

/// Bytes of a grammar.
const MAX_BYTES: usize = 64 << 10;

/// A grammar that says nothing but how a text is made: without settings of the library and without
/// tokens by name, its schemas checked as those that stand alone.
pub(super) fn checked(grammar: &str) -> Result<String, EngineError> {
    if grammar.len() > MAX_BYTES {
        return refuse("", &format!("it is larger than {} KiB", MAX_BYTES >> 10));
    }
    let mut out = String::with_capacity(grammar.len());
    let mut rest = grammar;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '"' => quoted_len(rest, '"'),
            '#' => line_len(rest),
            '/' if rest.starts_with("//") => line_len(rest),
            '/' => quoted_len(rest, '/'),
            '<' => return refuse("<", "tokens cannot be named"),
            '%' if rest.starts_with("%llguidance") => {
                return refuse("%llguidance", "settings cannot be changed");
            }
            '%' if rest.starts_with("%json") => {
                let (schema, len) = json(&rest[5..])?;
                out.push_str("%json ");
                out.push_str(&schema::checked(&schema)?.to_string());
                rest = &rest[5 + len..];
                continue;
            }
            '%' if rest.starts_with("%regex") => 6 + json(&rest[6..])?.1,
            c => c.len_utf8(),
        };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    Ok(out)
}

fn refuse<T>(what: &str, why: &str) -> Result<T, EngineError> {
    let what = match what {
        "" => String::new(),
        what => format!(", `{what}`"),
    };
    Err(EngineError::Format(format!("grammar{what}: {why}")))
}

/// The length of what stands between two quotes of a kind, in which a backslash hides the next
/// character; all of the text where the second is missing.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut is_hidden = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_hidden => is_hidden = false,
            '\\' => is_hidden = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn line_len(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The JSON value at the beginning of a text, and its length.
fn json(text: &str) -> Result<(Value, usize), EngineError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    match values.next() {
        Some(Ok(value)) => Ok((value, values.byte_offset())),
        Some(Err(error)) => refuse("%", &format!("the JSON behind it cannot be read: {error}")),
        None => refuse("%", "there is no JSON behind it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_comments_are_left_alone() {
        let grammar = "start: \"<a \\\"%llguidance\" /<b\\/>%json/ | X // <c>\nX: \"#\" # <d>\n";
        assert_eq!(checked(grammar).expect("a grammar"), grammar);
        let grammar = "start: %regex {\"substring_chars\": \"<%json\"} \"x\"";
        assert_eq!(checked(grammar).expect("a grammar"), grammar);
    }

    #[test]
    fn what_reaches_beyond_the_text_is_refused() {
        for (grammar, word) in [
            ("start: <|im_end|>", "`<`"),
            ("start: <[1-9]>", "`<`"),
            (
                "%llguidance {\"no_forcing\": true}\nstart: \"a\"",
                "`%llguidance`",
            ),
            ("start: %json {\"not\": {}}", "`not` at `#`"),
            ("start: %json {\"type\":", "JSON"),
        ] {
            let error = checked(grammar).expect_err(grammar).to_string();
            assert!(error.contains(word), "{grammar}: {error}");
        }
        assert!(checked(&"x".repeat(MAX_BYTES + 1)).is_err());
        let schema = "start: %json {\"x-guidance\": {\"lenient\": true}, \"type\": \"null\"} \"b\"";
        let expected = "start: %json {\"type\":\"null\"} \"b\"";
        assert_eq!(checked(schema).expect("a grammar"), expected);
    }
}
