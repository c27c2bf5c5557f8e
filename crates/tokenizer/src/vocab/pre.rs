//! How byte-level BPE splits text into words: the values of `tokenizer.ggml.pre`.
//!
//! A GGUF file names the pre-tokenizer instead of holding it. What each name means is data,
//! in `models/pre_tokenizers.toml`; a name that is not there is refused, as a tokenizer
//! that splits differently gives a model that is silently worse.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use crate::TokenizerError;

/// One pre-tokenizer of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreTokenizer {
    /// The values of `tokenizer.ggml.pre` that mean it.
    names: Vec<String>,
    /// The name of its patterns in the table's `patterns`.
    patterns: String,
    /// A word that is a piece is taken as that piece without merging.
    #[serde(default)]
    pub(super) ignore_merges: bool,
    /// A BOS goes before a text unless the file says otherwise.
    #[serde(default)]
    pub(super) add_bos: bool,
    /// Text is brought to Unicode's normalization form C first.
    #[serde(default)]
    pub(super) nfc: bool,
    /// Pieces are spelled in the byte-level alphabet; if not, as text with `▁` for spaces.
    #[serde(default = "yes")]
    pub(super) byte_level: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Regular expressions, applied one after the other: each isolates its matches within
    /// what the ones before left or isolated.
    patterns: BTreeMap<String, Vec<String>>,
    pre_tokenizer: Vec<PreTokenizer>,
    strip_right: Vec<StripRight>,
}

/// Models whose control tokens swallow the whitespace after them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StripRight {
    /// Parts of the model's name, in lower case.
    model_names: Vec<String>,
    /// Control tokens that do not.
    except: Vec<String>,
}

/// The patterns that a byte-level pre-tokenizer isolates one after the other; `None` for any
/// other pre-tokenizer.
fn byte_level_patterns(pre_tokenizer: &Value) -> Option<Vec<String>> {
    let kind = |part: &Value| part.get("type").and_then(Value::as_str).map(str::to_owned);
    let parts = match kind(pre_tokenizer)?.as_str() {
        "Sequence" => pre_tokenizer.get("pretokenizers")?.as_array()?.as_slice(),
        _ => std::slice::from_ref(pre_tokenizer),
    };
    let (last, splits) = parts.split_last()?;
    let flag = |part: &Value, key| part.get(key).and_then(Value::as_bool);
    if kind(last)? != "ByteLevel" || flag(last, "add_prefix_space").unwrap_or(true) {
        return None;
    }
    let mut patterns = Vec::new();
    for part in splits {
        patterns.push(match kind(part)?.as_str() {
            "Digits" if flag(part, "individual_digits") == Some(true) => r"\p{N}".to_owned(),
            "Split" if flag(part, "invert") != Some(true) => {
                let isolated = part.get("behavior")?.as_str()? == "Isolated";
                let pattern = part.get("pattern")?.get("Regex")?.as_str()?;
                isolated.then(|| pattern.to_owned())?
            }
            _ => return None,
        });
    }
    // By itself the byte-level part splits as GPT-2 does.
    if flag(last, "use_regex").unwrap_or(true) {
        patterns.extend(table().ok()?.patterns.get("gpt2")?.iter().cloned());
    }
    Some(patterns)
}

impl StripRight {
    /// The rule for a model, if there is one for it.
    pub(super) fn for_model(name: &str) -> Result<Option<&'static Self>, TokenizerError> {
        let name = name.to_lowercase();
        let is_for = |rule: &&Self| {
            rule.model_names
                .iter()
                .any(|part| name.contains(part.as_str()))
        };
        Ok(table()?.strip_right.iter().find(is_for))
    }

    pub(super) fn applies_to(&self, piece: &str) -> bool {
        !self.except.iter().any(|exception| exception == piece)
    }
}

fn yes() -> bool {
    true
}

fn table() -> Result<&'static Table, TokenizerError> {
    static TABLE: LazyLock<Result<Table, String>> = LazyLock::new(|| {
        toml::from_str(ponder_models::PRE_TOKENIZERS).map_err(|error| error.to_string())
    });
    TABLE
        .as_ref()
        .map_err(|error| TokenizerError::build("table of pre-tokenizers", error))
}

impl PreTokenizer {
    /// # Errors
    /// When the file has no `tokenizer.ggml.pre` or an unknown one.
    pub(super) fn by_name(name: Option<&str>) -> Result<&'static Self, TokenizerError> {
        let refuse = |value: &str, hint| TokenizerError::Unsupported {
            what: "tokenizer.ggml.pre",
            value: value.to_owned(),
            hint,
        };
        let hint = "the file is too old to say how it splits text; convert the model again with a current converter";
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| refuse("", hint))?;
        let mut known = table()?.pre_tokenizer.iter();
        let hint =
            "a newer release may know it; a Hugging Face folder of the model works without it";
        known
            .find(|pre| pre.names.iter().any(|known| known == name))
            .ok_or_else(|| refuse(name, hint))
    }

    /// The name of the table's entry for the `pre_tokenizer` of a `tokenizer.json`, if that is
    /// byte-level and splits like one. Of several entries those come first that treat merges and
    /// normalization alike.
    pub(super) fn named_like(
        pre_tokenizer: &Value,
        ignore_merges: bool,
        nfc: bool,
    ) -> Result<Option<&'static str>, TokenizerError> {
        let Some(patterns) = byte_level_patterns(pre_tokenizer) else {
            return Ok(None);
        };
        let table = table()?;
        let alike =
            |pre: &&Self| pre.byte_level && table.patterns.get(&pre.patterns) == Some(&patterns);
        let differences = |pre: &&Self| {
            u8::from(pre.ignore_merges != ignore_merges) + 2 * u8::from(pre.nfc != nfc)
        };
        let found = table.pre_tokenizer.iter().filter(alike);
        let found = found.min_by_key(differences);
        Ok(found.and_then(|pre| pre.names.first().map(String::as_str)))
    }

    /// The splits as the library's pre-tokenizer.
    pub(super) fn build(&self) -> Result<PreTokenizerWrapper, TokenizerError> {
        let patterns = table()?
            .patterns
            .get(&self.patterns)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut steps = Vec::with_capacity(patterns.len() + 1);
        for pattern in patterns {
            let pattern = SplitPattern::Regex(pattern.clone());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            steps.push(PreTokenizerWrapper::Split(
                split.map_err(|error| TokenizerError::build("pre-tokenizer", error))?,
            ));
        }
        if self.byte_level {
            steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(
                false, false, false,
            )));
        }
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut words = PreTokenizedString::from(text);
        PreTokenizer::by_name(Some(name))
            .unwrap()
            .build()
            .unwrap()
            .pre_tokenize(&mut words)
            .unwrap();
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits
            .into_iter()
            .map(|(_, (start, end), _)| text[start..end].to_owned())
            .collect()
    }

    #[test]
    fn every_entry_builds_and_keeps_the_text() {
        let text = "Hello World's  12345 naïve Größe, 3.14\r\n\n\t日本語テスト 한국어 ไทย हिन्दी 🦙!! don'T <a> x²  ";
        let table = table().unwrap();
        for pre in &table.pre_tokenizer {
            assert!(
                table.patterns.contains_key(&pre.patterns),
                "{:?}",
                pre.names
            );
            for name in &pre.names {
                assert_eq!(words(name, text).concat(), text, "{name}");
                let same = table
                    .pre_tokenizer
                    .iter()
                    .flat_map(|pre| &pre.names)
                    .filter(|other| *other == name);
                assert_eq!(same.count(), 1, "{name} is there once");
            }
        }
        for name in table.patterns.keys() {
            assert!(
                table.pre_tokenizer.iter().any(|pre| pre.patterns == *name),
                "{name} is used"
            );
        }
    }

    #[test]
    fn known_splits() {
        assert_eq!(
            words("gpt-2", "it's  42 cats"),
            ["it", "'s", " ", " 42", " cats"]
        );
        assert_eq!(
            words("qwen2", "it'S 42\n\n x"),
            ["it", "'S", " ", "4", "2", "\n\n", " x"]
        );
        assert_eq!(words("llama-bpe", "12345 a"), ["123", "45", " a"]);
        assert_eq!(
            words("gpt-4o", "HelloWorld I'm"),
            ["Hello", "World", " I'm"]
        );
        assert_eq!(
            words("tekken", "HelloWorld 42"),
            ["Hello", "World", " ", "4", "2"]
        );
        assert_eq!(words("smollm", "x 2024"), ["x", " ", "2", "0", "2", "4"]);
        assert_eq!(
            words("afmoe", "12345 1 1234567"),
            ["12", "345", " ", "1", " ", "1", "234", "567"]
        );
        assert_eq!(
            words("superbpe", "by 1234567 it"),
            ["by ", "1", "234", "567", " it"]
        );
        assert_eq!(
            words("kimi-k2", "你好world 中文a"),
            ["你好", "world", " ", "中文", "a"]
        );
        assert_eq!(words("falcon", "a 12345!"), ["a", " ", "123", "45", "!"]);
        assert_eq!(words("gemma4", "a b\n\nc"), ["a b", "\n\n", "c"]);
    }

    #[test]
    fn unknown_and_missing_names_are_refused() {
        let error = PreTokenizer::by_name(Some("no-such-pre"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tokenizer.ggml.pre `no-such-pre`"),
            "{error}"
        );
        assert!(
            PreTokenizer::by_name(None)
                .unwrap_err()
                .to_string()
                .contains("convert the model again")
        );
    }
}
