//! `gpt2`: byte-level BPE; `gemma4`: BPE on characters with byte fallback.

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{NFC, NormalizerWrapper};

use super::{Built, Defaults, GgufVocab, replace_spaces, sequence};
use crate::TokenizerError;
use crate::vocab::bpe::{check_merges, parse_merges};
use crate::vocab::encoder::{Encoder, Front};
use crate::vocab::pre::PreTokenizer;
use crate::vocab::spelling::Spelling;

/// Byte-level BPE, or with `raw` the BPE on characters with byte fallback that Gemma 4 has.
pub(super) fn build(vocab: &mut GgufVocab, raw: bool) -> Result<Built, TokenizerError> {
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
        added: vocab.added()?,
    };
    let ids = vocab.take_ids()?;
    let merges = parse_merges(std::mem::take(&mut vocab.merges))?;
    check_merges(&ids, &merges)?;
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .byte_fallback(!pre.byte_level)
        .ignore_merges(pre.ignore_merges)
        .build()
        .map_err(|error| TokenizerError::build("BPE model", error))?;
    let defaults = Defaults {
        add_bos: pre.add_bos,
        ..Defaults::default()
    };
    Ok(Built {
        encoder: Encoder::library(model, front)?,
        pieces,
        defaults,
    })
}
