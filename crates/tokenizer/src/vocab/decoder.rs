//! The `decoder` of `tokenizer.json`, read as a rule for single pieces.
//!
//! The library decodes whole lists of tokens; every decoder that generative models use can
//! be stated as a rule for one piece at a time, which is what streaming needs.

use serde_json::Value;

use super::spelling::Spelling;
use crate::TokenizerError;

/// The rule that a decoder amounts to.
///
/// # Errors
/// For decoders that are no such rule, as those of BERT's or CTC models.
pub(super) fn spelling(decoder: &Value) -> Result<Spelling, TokenizerError> {
    let mut spelling = Spelling::default();
    apply(decoder, &mut spelling)?;
    Ok(spelling)
}

fn apply(decoder: &Value, spelling: &mut Spelling) -> Result<(), TokenizerError> {
    let text = |key: &str| decoder.get(key).and_then(Value::as_str);
    match decoder.get("type").and_then(Value::as_str) {
        None if decoder.is_null() => {}
        Some("ByteLevel") => spelling.byte_level = true,
        Some("ByteFallback") => spelling.byte_fallback = true,
        Some("Fuse") => {}
        Some("Sequence") => {
            let decoders = decoder.get("decoders").and_then(Value::as_array);
            for decoder in decoders.into_iter().flatten() {
                apply(decoder, spelling)?;
            }
        }
        Some("Replace") => {
            let from = decoder
                .get("pattern")
                .and_then(|pattern| pattern.get("String")?.as_str());
            let (Some(from), Some(to)) = (from.filter(|from| !from.is_empty()), text("content"))
            else {
                return Err(unsupported(decoder));
            };
            spelling.replace.push((from.to_owned(), to.to_owned()));
        }
        Some("Strip") => {
            let count = |key| {
                decoder
                    .get(key)
                    .and_then(Value::as_u64)
                    .and_then(|n| usize::try_from(n).ok())
            };
            let (Some(" "), Some(start), Some(0)) =
                (text("content"), count("start"), count("stop"))
            else {
                return Err(unsupported(decoder));
            };
            spelling.strip_spaces = start;
        }
        Some("Metaspace") => {
            let mark = text("replacement").unwrap_or("▁");
            spelling.replace.push((mark.to_owned(), " ".to_owned()));
            let never = text("prepend_scheme") == Some("never")
                || decoder.get("add_prefix_space").and_then(Value::as_bool) == Some(false);
            spelling.strip_spaces = usize::from(!never);
        }
        _ => return Err(unsupported(decoder)),
    }
    Ok(())
}

fn unsupported(decoder: &Value) -> TokenizerError {
    TokenizerError::Unsupported {
        what: "decoder in tokenizer.json",
        value: decoder.to_string(),
        hint: "byte-level and SentencePiece tokenizers are supported",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decoders_of_generative_models() {
        assert_eq!(spelling(&Value::Null).unwrap(), Spelling::default());
        assert_eq!(
            spelling(&json!({"type": "ByteLevel", "use_regex": true})).unwrap(),
            Spelling::byte_level()
        );
        let llama = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        assert_eq!(
            spelling(&llama).unwrap(),
            Spelling {
                strip_spaces: 1,
                ..Spelling::sentencepiece()
            }
        );
        let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false});
        assert_eq!(
            spelling(&metaspace).unwrap(),
            Spelling {
                byte_fallback: false,
                ..Spelling::sentencepiece()
            }
        );
    }

    #[test]
    fn others_are_refused_by_name() {
        let decoders = [
            json!({"type": "WordPiece", "prefix": "##"}),
            json!({"type": "Strip", "content": "x", "start": 1, "stop": 0}),
            json!({"type": "Replace", "pattern": {"Regex": "a+"}, "content": " "}),
            json!("ByteLevel"),
        ];
        for decoder in decoders {
            let error = spelling(&decoder).unwrap_err().to_string();
            assert!(error.contains(&decoder.to_string()), "{error}");
        }
    }
}
