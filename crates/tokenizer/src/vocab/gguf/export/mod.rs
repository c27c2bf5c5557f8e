//! The way back: a tokenizer in Hugging Face layout as the metadata of a GGUF file.
//!
//! GGUF names a pre-tokenizer instead of holding it, and knows less of added tokens than
//! `tokenizer.json` does. So what comes out is tried: [`from_folder`] builds both tokenizers and
//! compares them on texts that tell their rules apart (`trial`). One that differs is refused.

mod scores;
mod trial;

use std::path::Path;

use serde_json::Value;

use super::{GgufVocab, build, token_type};
use crate::TokenizerError;
use crate::tokenizer::Parts;
use crate::vocab::folder;
use crate::vocab::pieces::Kind;
use crate::vocab::pre::{PreTokenizer, StripRight};
use crate::vocab::tokenizer_json::{Model, TokenizerJson};

/// More rows than pieces are filled up to the width of the embedding, but no more of them than
/// this: a table must not outgrow its file.
const MOST_PADDING: usize = 1 << 16;
/// A name that no rule goes by.
const NEUTRAL_NAME: &str = "model";
/// What people can do about a tokenizer that has no place in a GGUF file.
const HINT: &str = "keep the model in its own format, which ponder runs as well";

/// The metadata for the tokenizer in `folder`.
pub(super) fn from_folder(
    folder: &Path,
    name: &str,
    n_rows: usize,
) -> Result<GgufVocab, TokenizerError> {
    let file = folder::read_tokenizer_json(folder)?;
    let kind = Spelled::of(&file)?;
    let merges = &file.model.merges.0;
    let parts = folder::load(folder)?;
    // A token that goes around every text is what GGUF means by BOS and EOS, named or not.
    let bos = parts.bos.or(parts.prefix.first().copied());
    let eos = parts.eos.or(parts.suffix.first().copied());
    let mut vocab = GgufVocab {
        name: name.to_owned(),
        tokens: pieces(&parts),
        types: types(&parts, &kind),
        bos,
        eos,
        eot: parts.stop.iter().copied().find(|id| Some(*id) != eos),
        unk: parts.unk,
        pad: parts.pad,
        stop: parts.stop.clone(),
        add_bos: Some(around("before", &parts.prefix, bos)?),
        add_eos: Some(around("after", &parts.suffix, eos)?),
        chat_template: parts.templates.main().map(str::to_owned),
        named_chat_templates: parts.templates.named(),
        ..GgufVocab::default()
    };
    match kind {
        Spelled::ByteLevel { pre } => {
            vocab.model = "gpt2".to_owned();
            vocab.pre = Some(pre.to_owned());
            vocab.merges = joined(merges)?;
        }
        Spelled::SentencePiece { space_prefix } => {
            vocab.model = "llama".to_owned();
            vocab.pre = Some("default".to_owned());
            vocab.scores = scores::from_merges(&vocab.tokens, merges);
            vocab.add_space_prefix = Some(space_prefix);
        }
    }
    fill_up(&mut vocab, n_rows);
    // Readers infer some rules from the name. A model that is called after one whose rules it does
    // not have gets a name that means nothing.
    let tried = trial::compare(&parts, &build(vocab.clone())?);
    if tried.is_ok() || StripRight::for_model(name)?.is_none() {
        return tried.map(|()| vocab);
    }
    vocab.name = NEUTRAL_NAME.to_owned();
    trial::compare(&parts, &build(vocab.clone())?)?;
    Ok(vocab)
}

/// How a tokenizer's pieces are spelled, and which rules go with that.
enum Spelled {
    /// With the name of the pre-tokenizer.
    ByteLevel { pre: &'static str },
    /// Merging by score.
    SentencePiece { space_prefix: bool },
}

impl Spelled {
    fn of(file: &TokenizerJson) -> Result<Self, TokenizerError> {
        let Model {
            kind,
            byte_fallback,
            ignore_merges,
            ..
        } = &file.model;
        if kind.as_deref() == Some("Unigram") {
            return Err(refuse("model type in tokenizer.json", "Unigram"));
        }
        if let Some(pre) = PreTokenizer::named_like(
            &file.pre_tokenizer,
            *ignore_merges,
            has_part(&file.normalizer, "NFC"),
        )? {
            return Ok(Self::ByteLevel { pre });
        }
        let marks_spaces =
            has_part(&file.normalizer, "Replace") || has_part(&file.pre_tokenizer, "Metaspace");
        if *byte_fallback && marks_spaces {
            let space_prefix = has_part(&file.normalizer, "Prepend")
                || (has_part(&file.pre_tokenizer, "Metaspace")
                    && file
                        .pre_tokenizer
                        .get("prepend_scheme")
                        .and_then(Value::as_str)
                        != Some("never"));
            return Ok(Self::SentencePiece { space_prefix });
        }
        let pre_tokenizer = file.pre_tokenizer.to_string();
        Err(refuse("pre-tokenizer in tokenizer.json", &pre_tokenizer))
    }
}

/// Whether a normalizer or pre-tokenizer is of a type, or a sequence with such a part.
fn has_part(value: &Value, wanted: &str) -> bool {
    if value.get("type").and_then(Value::as_str) == Some(wanted) {
        return true;
    }
    let parts = value.get("normalizers").or(value.get("pretokenizers"));
    let mut parts = parts.and_then(Value::as_array).into_iter().flatten();
    parts.any(|part| has_part(part, wanted))
}

fn refuse(what: &'static str, value: &str) -> TokenizerError {
    TokenizerError::Unsupported {
        what,
        value: value.chars().take(200).collect(),
        hint: HINT,
    }
}

/// The pieces by id. Holes get a name that no text holds.
fn pieces(parts: &Parts) -> Vec<String> {
    let piece = |id: u32| match parts.pieces.kind(id) {
        Some(_) => parts.pieces.text(id).to_owned(),
        None => filler(id as usize),
    };
    (0..parts.pieces.len() as u32).map(piece).collect()
}

fn types(parts: &Parts, kind: &Spelled) -> Vec<i32> {
    const NORMAL: i32 = 1;
    let is_unknown = |id| matches!(kind, Spelled::SentencePiece { .. }) && parts.unk == Some(id);
    let type_of = |id: u32| match parts.pieces.kind(id) {
        Some(Kind::Special) if is_unknown(id) => token_type::UNKNOWN,
        Some(Kind::Special) => token_type::CONTROL,
        Some(Kind::Added) => token_type::USER_DEFINED,
        Some(Kind::Byte) => token_type::BYTE,
        Some(Kind::Normal) => NORMAL,
        Some(Kind::Missing) | None => token_type::UNUSED,
    };
    (0..parts.pieces.len() as u32).map(type_of).collect()
}

/// Embeddings often have more rows than there are pieces; GGUF wants one for each.
fn fill_up(vocab: &mut GgufVocab, n_rows: usize) {
    let n_pieces = vocab.tokens.len();
    if n_rows <= n_pieces || n_rows - n_pieces > MOST_PADDING {
        return;
    }
    vocab.tokens.extend((n_pieces..n_rows).map(filler));
    vocab.types.resize(n_rows, token_type::UNUSED);
    if !vocab.scores.is_empty() {
        vocab.scores.resize(n_rows, scores::NEVER);
    }
}

fn filler(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Whether one side of a text gets the one token that GGUF can put there.
fn around(side: &str, ids: &[u32], only: Option<u32>) -> Result<bool, TokenizerError> {
    match ids {
        [] => Ok(false),
        [id] if Some(*id) == only => Ok(true),
        _ => {
            let value = format!("{ids:?} {side} a text");
            Err(refuse("post-processor in tokenizer.json", &value))
        }
    }
}

fn joined(merges: &[(String, String)]) -> Result<Vec<String>, TokenizerError> {
    let join = |(left, right): &(String, String)| match left.contains(' ') || right.contains(' ') {
        false => Ok(format!("{left} {right}")),
        true => Err(refuse(
            "merge with a space in tokenizer.json",
            &format!("{left}+{right}"),
        )),
    };
    merges.iter().map(join).collect()
}
