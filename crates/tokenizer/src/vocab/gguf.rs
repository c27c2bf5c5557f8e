//! A tokenizer from GGUF metadata (`tokenizer.ggml.*`).

use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NFC, NormalizerWrapper, Precompiled, Prepend, Replace, Sequence};

use super::encoder::{Encoder, Front};
use super::pieces::{Kind, Pieces};
use super::pre::PreTokenizer;
use super::sentencepiece::SentencePiece;
use super::spelling::{Spelling, byte_piece};
use super::template::ChatTemplates;
use super::{bpe, charsmap};
use crate::TokenizerError;
use crate::stop::stop_tokens;
use crate::tokenizer::Parts;

/// The `tokenizer.ggml.*` metadata of a GGUF file, as plain data. An array that the file
/// lacks is empty, an id or a flag that it lacks is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocab {
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

/// What a file that says nothing does around a text, and how pieces are spelled.
struct Defaults {
    add_bos: bool,
    add_eos: bool,
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
}

/// Builds a tokenizer's parts from the metadata.
pub(crate) fn build(mut vocab: GgufVocab) -> Result<Parts, TokenizerError> {
    check(&vocab)?;
    let (encoder, pieces, defaults) = match vocab.model.as_str() {
        "gpt2" => build_bpe(&mut vocab, false)?,
        "gemma4" => build_bpe(&mut vocab, true)?,
        "llama" => build_sentencepiece(&mut vocab)?,
        "t5" => build_unigram(&mut vocab)?,
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

/// Lengths and ids that must agree, before anything is built.
fn check(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    let n = vocab.tokens.len();
    if n == 0 || u32::try_from(n).is_err() {
        return Err(TokenizerError::vocabulary(format!(
            "tokenizer.ggml.tokens has {n} pieces"
        )));
    }
    for (name, len) in [
        ("scores", vocab.scores.len()),
        ("token_type", vocab.types.len()),
    ] {
        if len != 0 && len != n {
            let message = format!("tokenizer.ggml.{name} has {len} entries for {n} pieces");
            return Err(TokenizerError::Vocabulary(message));
        }
    }
    if let Some(id) = vocab.scores.iter().position(|score| score.is_nan()) {
        return Err(TokenizerError::vocabulary(format!(
            "the score of token {id} is not a number"
        )));
    }
    let ids = [
        ("bos", vocab.bos),
        ("eos", vocab.eos),
        ("eot", vocab.eot),
        ("eom", vocab.eom),
        ("unknown", vocab.unk),
        ("padding", vocab.pad),
    ];
    match ids
        .iter()
        .find(|(_, id)| id.is_some_and(|id| id as usize >= n))
    {
        None => Ok(()),
        Some((name, id)) => {
            let id = id.unwrap_or_default();
            Err(TokenizerError::vocabulary(format!(
                "tokenizer.ggml.{name}_token_id is {id}, but there are {n} pieces"
            )))
        }
    }
}

impl GgufVocab {
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
    fn added(&self) -> Vec<AddedToken> {
        let kinds = self
            .tokens
            .iter()
            .enumerate()
            .map(|(id, text)| (text, self.kind(id)));
        let added = kinds.filter(|(_, kind)| matches!(kind, Kind::Added | Kind::Special));
        added
            .map(|(text, kind)| {
                AddedToken::from(text.clone(), kind == Kind::Special).normalized(false)
            })
            .collect()
    }

    /// Takes the tokens out as a map of pieces to ids; tokens without text have no piece.
    fn take_ids(&mut self) -> Result<tokenizers::models::bpe::Vocab, TokenizerError> {
        let tokens = std::mem::take(&mut self.tokens);
        bpe::vocab_of(
            tokens
                .into_iter()
                .zip(0..)
                .filter(|(text, _)| !text.is_empty())
                .collect(),
        )
    }
}

/// Byte-level BPE, or with `raw` the BPE on characters with byte fallback that Gemma 4 has.
fn build_bpe(
    vocab: &mut GgufVocab,
    raw: bool,
) -> Result<(Encoder, Pieces, Defaults), TokenizerError> {
    let pre = if raw {
        Some("gemma4")
    } else {
        vocab.pre.as_deref()
    };
    let pre = PreTokenizer::by_name(pre)?;
    let spelling = if pre.byte_level {
        Spelling::byte_level()
    } else {
        Spelling::sentencepiece()
    };
    let pieces = vocab.pieces(spelling);
    let mut normalizers = Vec::new();
    if pre.nfc {
        normalizers.push(NormalizerWrapper::NFC(NFC));
    }
    if !pre.byte_level {
        normalizers.push(replace_spaces()?);
    }
    let front = Front {
        normalizer: sequence(normalizers),
        pre_tokenizer: Some(pre.build()?),
        added: vocab.added(),
    };
    let ids = vocab.take_ids()?;
    let merges = bpe::parse_merges(std::mem::take(&mut vocab.merges))?;
    bpe::check_merges(&ids, &merges)?;
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .byte_fallback(!pre.byte_level)
        .ignore_merges(pre.ignore_merges)
        .build()
        .map_err(|error| TokenizerError::build("BPE model", error))?;
    let defaults = Defaults {
        add_bos: pre.add_bos,
        add_eos: false,
        bos: None,
        eos: None,
        unk: None,
    };
    Ok((Encoder::library(model, front)?, pieces, defaults))
}

/// SentencePiece BPE: merges by score, `▁` for spaces, bytes for unknown characters.
fn build_sentencepiece(
    vocab: &mut GgufVocab,
) -> Result<(Encoder, Pieces, Defaults), TokenizerError> {
    if vocab.scores.is_empty() {
        return Err(TokenizerError::vocabulary(
            "tokenizer.ggml.scores is missing, which `llama` vocabularies need",
        ));
    }
    let space_prefix = vocab.add_space_prefix.unwrap_or(true);
    let spelling = Spelling {
        strip_spaces: usize::from(space_prefix),
        ..Spelling::sentencepiece()
    };
    let pieces = vocab.pieces(spelling);
    let mut normalizers = Vec::new();
    if space_prefix {
        normalizers.push(NormalizerWrapper::Prepend(Prepend::new("▁".to_owned())));
    }
    normalizers.push(replace_spaces()?);
    let front = Front {
        normalizer: sequence(normalizers),
        pre_tokenizer: None,
        added: vocab.added(),
    };

    let mergeable = |id: usize| {
        let kind = vocab.token_type(id);
        !matches!(
            kind,
            token_type::CONTROL | token_type::UNKNOWN | token_type::BYTE | token_type::UNUSED
        )
    };
    let scores = vocab
        .scores
        .iter()
        .enumerate()
        .map(|(id, &score)| mergeable(id).then_some(score))
        .collect();
    let mut bytes = Box::new([None; 256]);
    for (text, id) in vocab.tokens.iter().zip(0u32..) {
        if let Some(byte) = byte_piece(text) {
            bytes[usize::from(byte)] = Some(id);
        }
    }
    // Files from before these ids were written have SentencePiece's own: <unk>, <s>, </s>.
    let default = |id: u32, kind| {
        (vocab.token_type(id as usize) == kind && (id as usize) < vocab.tokens.len()).then_some(id)
    };
    let defaults = Defaults {
        add_bos: true,
        add_eos: false,
        bos: default(1, token_type::CONTROL),
        eos: default(2, token_type::CONTROL),
        unk: default(0, token_type::UNKNOWN),
    };
    let unk = vocab.unk.or(defaults.unk);
    let model = SentencePiece::new(vocab.take_ids()?, scores, bytes, unk);
    Ok((Encoder::sentencepiece(model, front)?, pieces, defaults))
}

/// SentencePiece unigram, as T5 has it.
fn build_unigram(vocab: &mut GgufVocab) -> Result<(Encoder, Pieces, Defaults), TokenizerError> {
    if vocab.scores.is_empty() {
        return Err(TokenizerError::vocabulary(
            "tokenizer.ggml.scores is missing, which `t5` vocabularies need",
        ));
    }
    let default = |id: u32| ((id as usize) < vocab.tokens.len()).then_some(id);
    let defaults = Defaults {
        add_bos: false,
        add_eos: true,
        bos: None,
        eos: default(1),
        unk: default(2),
    };
    let space_prefix = vocab.add_space_prefix.unwrap_or(true);
    let has_bytes = vocab.tokens.iter().any(|text| byte_piece(text).is_some());
    let spelling = Spelling {
        strip_spaces: usize::from(space_prefix),
        byte_fallback: has_bytes,
        ..Spelling::sentencepiece()
    };
    let pieces = vocab.pieces(spelling);
    let front = Front {
        normalizer: sequence(unigram_normalizers(vocab, space_prefix)?),
        pre_tokenizer: None,
        added: vocab.added(),
    };
    let scored = |(text, score): (String, &f32)| (text, f64::from(*score));
    let scores = std::mem::take(&mut vocab.tokens)
        .into_iter()
        .zip(&vocab.scores)
        .map(scored)
        .collect();
    let unk = vocab.unk.or(defaults.unk).map(|id| id as usize);
    let model = Unigram::from(scores, unk, has_bytes)
        .map_err(|error| TokenizerError::build("unigram model", error))?;
    Ok((Encoder::library(model, front)?, pieces, defaults))
}

fn unigram_normalizers(
    vocab: &GgufVocab,
    space_prefix: bool,
) -> Result<Vec<NormalizerWrapper>, TokenizerError> {
    let mut normalizers = Vec::new();
    if !vocab.precompiled_charsmap.is_empty() {
        charsmap::check(&vocab.precompiled_charsmap)?;
        let charsmap = Precompiled::from(&vocab.precompiled_charsmap);
        let charsmap =
            charsmap.map_err(|error| TokenizerError::build("precompiled_charsmap", error))?;
        normalizers.push(NormalizerWrapper::Precompiled(charsmap));
    }
    if vocab.remove_extra_whitespaces.unwrap_or(false) {
        normalizers.push(NormalizerWrapper::StripNormalizer(
            tokenizers::normalizers::Strip::new(true, true),
        ));
        let runs = tokenizers::normalizers::replace::ReplacePattern::Regex(" {2,}".to_owned());
        let runs =
            Replace::new(runs, " ").map_err(|error| TokenizerError::build("normalizer", error))?;
        normalizers.push(NormalizerWrapper::Replace(runs));
    }
    if space_prefix {
        normalizers.push(NormalizerWrapper::Prepend(Prepend::new("▁".to_owned())));
    }
    normalizers.push(replace_spaces()?);
    Ok(normalizers)
}

fn replace_spaces() -> Result<NormalizerWrapper, TokenizerError> {
    let replace =
        Replace::new(" ", "▁").map_err(|error| TokenizerError::build("normalizer", error))?;
    Ok(NormalizerWrapper::Replace(replace))
}

fn sequence(normalizers: Vec<NormalizerWrapper>) -> Option<NormalizerWrapper> {
    (!normalizers.is_empty()).then(|| NormalizerWrapper::Sequence(Sequence::new(normalizers)))
}
