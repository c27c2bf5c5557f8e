//! `tokenizer.json`: the tokenizers library's own format.
//!
//! The file is read here rather than by the library: its reader trusts the file (a merge
//! whose result is longer than any piece makes it panic), takes ids of added tokens from
//! their order, and knows nothing of decoding token by token. Normalizer, pre-tokenizer and
//! model then are the library's.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use super::encoder::{Encoder, Front};
use super::json_fields::{Merges, Vocab};
use super::pieces::{Kind, Pieces};
use super::spelling::Spelling;
use super::{around, bpe, charsmap, decoder};
use crate::TokenizerError;

/// The file's contents, as far as they matter. Truncation and padding settings are left
/// out on purpose: a prompt is never cut silently.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<AddedEntry>,
    #[serde(default)]
    pub(super) normalizer: Value,
    #[serde(default)]
    pub(super) pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    pub(super) model: Model,
}

#[derive(Debug, Deserialize)]
struct AddedEntry {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    vocab: Vocab,
    #[serde(default)]
    pub(super) merges: Merges,
    unk_token: Option<String>,
    unk_id: Option<usize>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

/// What [`build`] makes of the file.
pub(crate) struct Built {
    pub(crate) encoder: Encoder,
    pub(crate) pieces: Pieces,
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
}

/// Checks the file's parts and builds the encoder and the table of pieces.
pub(crate) fn build(file: TokenizerJson) -> Result<Built, TokenizerError> {
    let TokenizerJson {
        added_tokens,
        normalizer,
        pre_tokenizer,
        post_processor,
        decoder,
        model,
    } = file;
    charsmap::check_normalizer(&normalizer)?;
    let front = Front {
        normalizer: part::<NormalizerWrapper>("normalizer", normalizer)?,
        pre_tokenizer: part::<PreTokenizerWrapper>("pre-tokenizer", pre_tokenizer)?,
        added: added_tokens.iter().map(AddedEntry::to_library).collect(),
    };
    let spelling = decoder::spelling(&decoder)?;
    let (encoder, pieces) = match model.vocab {
        Vocab::Ids(_) => build_bpe(model, &added_tokens, spelling, front)?,
        Vocab::Scores(_) => build_unigram(model, &added_tokens, spelling, front)?,
    };
    let around = around::Around::from_post_processor(&post_processor, &pieces)?;
    Ok(Built {
        encoder,
        pieces,
        prefix: around.prefix,
        suffix: around.suffix,
    })
}

impl AddedEntry {
    fn to_library(&self) -> AddedToken {
        AddedToken::from(self.content.clone(), self.special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!self.special))
    }

    fn kind(&self) -> Kind {
        if self.special {
            Kind::Special
        } else {
            Kind::Added
        }
    }
}

/// A part that the library reads itself; `null` means that there is none.
fn part<T: serde::de::DeserializeOwned>(
    name: &'static str,
    value: Value,
) -> Result<Option<T>, TokenizerError> {
    serde_json::from_value(value).map_err(|error| TokenizerError::build(name, error))
}

fn build_bpe(
    model: Model,
    added: &[AddedEntry],
    spelling: Spelling,
    front: Front,
) -> Result<(Encoder, Pieces), TokenizerError> {
    expect_kind(&model, "BPE")?;
    let affixes = [&model.continuing_subword_prefix, &model.end_of_word_suffix];
    if let Some(affix) = affixes
        .into_iter()
        .flatten()
        .find(|affix| !affix.is_empty())
    {
        let hint = "only vocabularies without word prefixes and suffixes are supported";
        return Err(TokenizerError::Unsupported {
            what: "model affix in tokenizer.json",
            value: affix.clone(),
            hint,
        });
    }
    let Vocab::Ids(entries) = model.vocab else {
        return Err(TokenizerError::vocabulary(
            "a BPE model needs a map of pieces to ids",
        ));
    };
    let mut pieces = Vec::with_capacity(entries.len() + added.len());
    pieces.extend(entries);
    let mut vocab = bpe::vocab_of(pieces)?;
    for token in added.iter().filter(|token| !token.content.is_empty()) {
        // The file's id holds even where the library would number on by itself.
        vocab.entry(token.content.clone()).or_insert(token.id);
    }
    let mut table = Pieces::from_unordered(
        vocab.iter().map(|(piece, &id)| (piece.as_str(), id)),
        spelling,
    )?;
    for token in added {
        if let Some(&id) = vocab.get(&token.content) {
            table.set_kind(id, token.kind());
        }
    }
    bpe::check_merges(&vocab, &model.merges.0)?;
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, model.merges.0)
        .fuse_unk(model.fuse_unk)
        .byte_fallback(model.byte_fallback)
        .ignore_merges(model.ignore_merges);
    if let Some(unk) = model.unk_token {
        builder = builder.unk_token(unk);
    }
    let bpe = builder
        .build()
        .map_err(|error| TokenizerError::build("BPE model", error))?;
    Ok((Encoder::library(bpe, front)?, table))
}

fn build_unigram(
    model: Model,
    added: &[AddedEntry],
    spelling: Spelling,
    front: Front,
) -> Result<(Encoder, Pieces), TokenizerError> {
    expect_kind(&model, "Unigram")?;
    let Vocab::Scores(scores) = model.vocab else {
        return Err(TokenizerError::vocabulary(
            "a Unigram model needs a list of pieces with scores",
        ));
    };
    let numbered = scores
        .iter()
        .zip(0u32..)
        .map(|((piece, _), id)| (piece.as_str(), id));
    let n_model = scores.len();
    let beyond = added.iter().filter(|token| token.id as usize >= n_model);
    let mut table = Pieces::from_unordered(
        numbered.chain(beyond.map(|token| (token.content.as_str(), token.id))),
        Spelling {
            byte_fallback: spelling.byte_fallback || model.byte_fallback,
            ..spelling
        },
    )?;
    for token in added {
        table.set_kind(token.id, token.kind());
    }
    let unigram = Unigram::from(scores, model.unk_id, model.byte_fallback)
        .map_err(|error| TokenizerError::build("Unigram model", error))?;
    let encoder = Encoder::library(unigram, front)?;
    for token in added {
        // The library numbers added tokens itself; a file that says otherwise is broken.
        if encoder.token_id(&token.content) != Some(token.id) {
            let message = format!(
                "the added token `{}` cannot have the id {}",
                token.content, token.id
            );
            return Err(TokenizerError::vocabulary(message));
        }
    }
    Ok((encoder, table))
}

fn expect_kind(model: &Model, expected: &str) -> Result<(), TokenizerError> {
    match model.kind.as_deref() {
        None => Ok(()),
        Some(kind) if kind == expected => Ok(()),
        Some(kind) => Err(TokenizerError::Unsupported {
            what: "model type in tokenizer.json",
            value: kind.to_owned(),
            hint: "BPE and Unigram models are supported",
        }),
    }
}
