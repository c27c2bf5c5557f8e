//! Fields of `tokenizer.json` that come in two shapes, read without a detour through
//! generic JSON values: they make up nearly all of the file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A model's `vocab`: a map of pieces to ids, or a list of pieces with scores.
#[derive(Debug, PartialEq)]
pub(super) enum Vocab {
    Ids(Vec<(String, u32)>),
    Scores(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VocabVisitor;
        impl<'de> Visitor<'de> for VocabVisitor {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of pieces to ids, or a list of pairs of piece and score")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Vocab::Ids(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocab, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(Vocab::Scores(entries))
            }
        }
        deserializer.deserialize_any(VocabVisitor)
    }
}

/// A BPE model's merges, in order of rank.
#[derive(Debug, Default)]
pub(super) struct Merges(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let merges = Option::<Vec<Merge>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self(merges.into_iter().map(|merge| merge.0).collect()))
    }
}

/// One merge: `"a b"` in older files, `["a", "b"]` in newer ones.
struct Merge((String, String));

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MergeVisitor;
        impl<'de> Visitor<'de> for MergeVisitor {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "two pieces in one string with a space between, or a list of two pieces",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                let pair = text
                    .split_once(' ')
                    .filter(|(_, right)| !right.contains(' '));
                let (left, right) = pair
                    .ok_or_else(|| E::custom(format!("`{text}` is not a merge of two pieces")))?;
                Ok(Merge((left.to_owned(), right.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let missing = || serde::de::Error::custom("a merge has two pieces");
                let left = seq.next_element()?.ok_or_else(missing)?;
                let right = seq.next_element()?.ok_or_else(missing)?;
                match seq.next_element::<String>()? {
                    None => Ok(Merge((left, right))),
                    Some(_) => Err(missing()),
                }
            }
        }
        deserializer.deserialize_any(MergeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes() {
        let vocab: Vocab = serde_json::from_str(r#"{"a": 1, "b": 0}"#).unwrap();
        assert_eq!(vocab, Vocab::Ids(vec![("a".into(), 1), ("b".into(), 0)]));
        let vocab: Vocab = serde_json::from_str(r#"[["a", -1.5], ["b", 0]]"#).unwrap();
        assert_eq!(
            vocab,
            Vocab::Scores(vec![("a".into(), -1.5), ("b".into(), 0.0)])
        );
        let merges: Merges = serde_json::from_str(r#"["a b", ["c", "d e"]]"#).unwrap();
        assert_eq!(
            merges.0,
            [("a".into(), "b".into()), ("c".into(), "d e".into())]
        );
    }

    #[test]
    fn broken_fields_are_errors() {
        for text in [r#"{"a": -1}"#, r#"{"a": 4294967296}"#, r#"[["a"]]"#, "7"] {
            assert!(serde_json::from_str::<Vocab>(text).is_err(), "{text}");
        }
        for text in [
            r#"["ab"]"#,
            r#"["a b c"]"#,
            r#"[["a"]]"#,
            r#"[["a","b","c"]]"#,
            "[3]",
        ] {
            assert!(serde_json::from_str::<Merges>(text).is_err(), "{text}");
        }
    }
}
