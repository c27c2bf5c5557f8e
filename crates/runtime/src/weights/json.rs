//! Reading JSON files that come with a model.
//!
//! Configurations may hold numbers that JSON does not have: transformers 5 writes
//! `{"__float__": "Infinity"}`, Python's own `json` the bare words `Infinity`, `-Infinity` and
//! `NaN`. Both end up in the first form, which [`float`] reads.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{DAMAGED, Fault, Result, WeightsError, io_error};

/// Reads and parses a file of at most `largest` bytes.
pub(super) fn read<T: DeserializeOwned>(path: &Path, largest: u64) -> Result<T> {
    let metadata = std::fs::metadata(path).map_err(io_error(path))?;
    let fault = |expected: String, found: String| {
        WeightsError::Malformed(Fault::new(path, "JSON", expected, found, DAMAGED))
    };
    if !metadata.is_file() || metadata.len() > largest {
        let expected = format!("a file of at most {largest} bytes");
        return Err(fault(expected, format!("{} bytes", metadata.len())));
    }
    let bytes = std::fs::read(path).map_err(io_error(path))?;
    parse(&bytes).map_err(|e| fault("valid JSON of the right form".into(), e.to_string()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes).or_else(|first| match quote_bare_words(bytes) {
        Some(quoted) => serde_json::from_slice(&quoted),
        None => Err(first),
    })
}

/// The number that a configuration means: a JSON number, or one of the words for what JSON cannot
/// write, as `{"__float__": "Infinity"}`.
#[must_use]
pub fn float(value: &Value) -> Option<f64> {
    match value.as_object() {
        None => value.as_f64(),
        Some(object) => match object.get("__float__")?.as_str()? {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            _ => None,
        },
    }
}

/// Replaces Python's bare words by the form that [`float`] reads; `None` if there are none.
fn quote_bare_words(json: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut out = Vec::with_capacity(json.len());
    let mut found = false;
    let mut at = 0;
    while at < json.len() {
        let rest = &json[at..];
        if rest[0] == b'"' {
            let len = string_len(rest);
            out.extend_from_slice(&rest[..len]);
            at += len;
        } else if let Some(word) = WORDS.iter().find(|w| rest.starts_with(w.as_bytes())) {
            out.extend_from_slice(format!("{{\"__float__\":\"{word}\"}}").as_bytes());
            at += word.len();
            found = true;
        } else {
            out.push(rest[0]);
            at += 1;
        }
    }
    found.then_some(out)
}

/// The length of the string literal that `json` starts with, quotes included.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while at < json.len() {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_floats_but_strings_stay() {
        let json =
            br#"{"a": [0.001, Infinity], "b": -Infinity, "NaN \" Infinity": NaN, "c": "NaN"}"#;
        let value: Value = parse(json).unwrap();
        assert_eq!(float(&value["a"][0]), Some(0.001));
        assert_eq!(float(&value["a"][1]), Some(f64::INFINITY));
        assert_eq!(float(&value["b"]), Some(f64::NEG_INFINITY));
        assert!(float(&value["NaN \" Infinity"]).unwrap().is_nan());
        assert_eq!(value["c"], "NaN");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for json in [
            r#"{"__float__": "big"}"#,
            r#"{"__float__": 1}"#,
            "{}",
            "null",
            r#""1""#,
        ] {
            assert_eq!(float(&serde_json::from_str(json).unwrap()), None, "{json}");
        }
    }

    #[test]
    fn broken_json_is_an_error() {
        for json in [
            "",
            "{",
            r#"{"a": Infinit}"#,
            r#"{"a": "Infinity}"#,
            r#"{"a": "\"#,
            "NaN,",
        ] {
            assert!(parse::<Value>(json.as_bytes()).is_err(), "{json}");
        }
    }
}
