//! A tokenizer from GGUF metadata (`tokenizer.ggml.*`).
//!
//! [`GgufVocab`] is the metadata as plain data. [`build`] checks it and hands it to the
//! module of its model: byte-level BPE, SentencePiece BPE or unigram. [`export`] is the way back.

mod bpe;
mod check;
mod export;
mod sentencepiece;
mod unigram;

use std::path::Path;
use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;
use tokenizers::normalizers::{NormalizerWrapper, Replace, Sequence};

use super::bpe::vocab_of;
use super::encoder::Encoder;
use super::pieces::{Kind, Pieces};
use super::pre::StripRight;
use super::spelling::Spelling;
use super::template::ChatTemplates;
use crate::TokenizerError;
use crate::stop::stop_tokens;
use crate::tokenizer::Parts;

/// The `tokenizer.ggml.*` metadata of a GGUF file, as plain data. An array that the file
/// lacks is empty, an id or a flag that it lacks is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocab {
    /// `general.name`, the model's name; a few have rules that their files cannot say.
    pub name: String,
    /// `model`: `gpt2`, `llama`, `t5` or `gemma4`.
    pub model: String,
    /// `pre`: how byte-level BPE splits text into words.
    pub pre: Option<String>,
    /// `tokens`: the pieces, in order of their ids.
    pub tokens: Vec<String>,
    /// `scores`: one per token, for SentencePiece.
    pub scores: Vec<f32>,
    /// `token_type`: one per token. 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Vec<i32>,
    /// `merges`: two pieces with a space between, by rank.
    pub merges: Vec<String>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `eot_token_id`, the end of a turn.
    pub eot: Option<u32>,
    /// `eom_token_id`, the end of a message.
    pub eom: Option<u32>,
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// `eos_token_ids`, and any other ids that end a text.
    pub stop: Vec<u32>,
    /// `add_bos_token`.
    pub add_bos: Option<bool>,
    /// `add_eos_token`.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`.
    pub remove_extra_whitespaces: Option<bool>,
    /// `precompiled_charsmap`, a normalizer for `t5`.
    pub precompiled_charsmap: Vec<u8>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
    /// `tokenizer.chat_template.NAME` by name.
    pub named_chat_templates: Vec<(String, String)>,
}

/// `token_type` values of the GGUF specification.
mod token_type {
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const CONTROL: i32 = 3;
    pub(super) const USER_DEFINED: i32 = 4;
    pub(super) const UNUSED: i32 = 5;
    pub(super) const BYTE: i32 = 6;
}

/// What the module of a model makes of the metadata.
struct Built {
    encoder: Encoder,
    pieces: Pieces,
    defaults: Defaults,
}

/// What holds where the file says nothing.
#[derive(Default)]
struct Defaults {
    add_bos: bool,
    add_eos: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
}

/// Builds a tokenizer's parts from the metadata.
pub(crate) fn build(mut vocab: GgufVocab) -> Result<Parts, TokenizerError> {
    check::check(&vocab)?;
    let Built {
        encoder,
        pieces,
        defaults,
    } = match vocab.model.as_str() {
        "gpt2" => bpe::build(&mut vocab, false)?,
        "gemma4" => bpe::build(&mut vocab, true)?,
        "llama" => sentencepiece::build(&mut vocab)?,
        "t5" => unigram::build(&mut vocab)?,
        other => {
            return Err(TokenizerError::Unsupported {
                what: "tokenizer.ggml.model",
                value: other.to_owned(),
                hint: "gpt2, llama, t5 and gemma4 are supported",
            });
        }
    };
    let bos = vocab.bos.or(defaults.bos);
    let eos = vocab.eos.or(defaults.eos);
    let around = |flag: Option<bool>, default, id: Option<u32>| {
        id.filter(|_| flag.unwrap_or(default)).into_iter().collect()
    };
    let named = [eos, vocab.eot, vocab.eom]
        .into_iter()
        .flatten()
        .chain(vocab.stop);
    let stop = stop_tokens(&pieces, named, |piece| encoder.token_id(piece));
    Ok(Parts {
        prefix: around(vocab.add_bos, defaults.add_bos, bos),
        suffix: around(vocab.add_eos, defaults.add_eos, eos),
        bos,
        eos,
        pad: vocab.pad,
        unk: vocab.unk.or(defaults.unk),
        stop,
        templates: ChatTemplates::from_gguf(vocab.chat_template, vocab.named_chat_templates),
        encoder,
        pieces: Arc::new(pieces),
    })
}

impl GgufVocab {
    /// The metadata for the tokenizer of a folder in Hugging Face layout: what
    /// [`Tokenizer::from_folder`](crate::Tokenizer::from_folder) reads. `name` is the model's name,
    /// replaced where it promises rules that the tokenizer does not have. `n_rows` is the height of
    /// its embedding, which pieces that no text holds are filled up to.
    ///
    /// # Errors
    /// When the folder's tokenizer cannot be read, or has rules that GGUF files cannot say.
    pub fn from_folder(folder: &Path, name: &str, n_rows: usize) -> Result<Self, TokenizerError> {
        export::from_folder(folder, name, n_rows)
    }

    /// Tokens without a type are normal.
    fn token_type(&self, id: usize) -> i32 {
        self.types.get(id).copied().unwrap_or(1)
    }

    fn kind(&self, id: usize) -> Kind {
        match self.token_type(id) {
            _ if self.tokens[id].is_empty() => Kind::Missing,
            token_type::CONTROL | token_type::UNKNOWN => Kind::Special,
            token_type::USER_DEFINED => Kind::Added,
            _ => Kind::Normal,
        }
    }

    fn pieces(&self, spelling: Spelling) -> Pieces {
        let mut pieces = Pieces::with_capacity(self.tokens.len(), spelling);
        for (id, text) in self.tokens.iter().enumerate() {
            pieces.push(text, self.kind(id));
        }
        pieces
    }

    /// Control, unknown and user-defined tokens are matched as a whole in a text.
    fn added(&self) -> Result<Vec<AddedToken>, TokenizerError> {
        let strip_right = StripRight::for_model(&self.name)?;
        let mut added = Vec::new();
        for (id, text) in self.tokens.iter().enumerate() {
            let special = match self.kind(id) {
                Kind::Special => true,
                Kind::Added => false,
                _ => continue,
            };
            let rstrip = special && strip_right.is_some_and(|rule| rule.applies_to(text));
            added.push(
                AddedToken::from(text.as_str(), special)
                    .normalized(false)
                    .rstrip(rstrip),
            );
        }
        Ok(added)
    }

    /// Takes the tokens out as a map of pieces to ids; tokens without text have no piece.
    fn take_ids(&mut self) -> Result<Vocab, TokenizerError> {
        let tokens = std::mem::take(&mut self.tokens);
        vocab_of(
            tokens
                .into_iter()
                .zip(0..)
                .filter(|(text, _)| !text.is_empty())
                .collect(),
        )
    }

    /// `id`, if it is a token with text.
    fn existing(&self, id: u32) -> Option<u32> {
        self.tokens
            .get(id as usize)
            .filter(|text| !text.is_empty())
            .map(|_| id)
    }
}

fn replace_spaces() -> Result<NormalizerWrapper, TokenizerError> {
    let replace =
        Replace::new(" ", "▁").map_err(|error| TokenizerError::build("normalizer", error))?;
    Ok(NormalizerWrapper::Replace(replace))
}

fn sequence(normalizers: Vec<NormalizerWrapper>) -> Option<NormalizerWrapper> {
    (!normalizers.is_empty()).then(|| NormalizerWrapper::Sequence(Sequence::new(normalizers)))
}
