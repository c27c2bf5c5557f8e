//! `t5`: SentencePiece unigram.

use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Prepend, Replace, Strip};

use super::{Built, Defaults, GgufVocab, replace_spaces, sequence};
use crate::TokenizerError;
use crate::vocab::charsmap;
use crate::vocab::encoder::{Encoder, Front};
use crate::vocab::spelling::{Spelling, byte_piece};

/// SentencePiece unigram, as T5 has it.
pub(super) fn build(vocab: &mut GgufVocab) -> Result<Built, TokenizerError> {
    if vocab.scores.is_empty() {
        return Err(TokenizerError::vocabulary(
            "tokenizer.ggml.scores is missing, which `t5` vocabularies need",
        ));
    }
    let defaults = Defaults {
        add_bos: false,
        add_eos: true,
        bos: None,
        eos: vocab.existing(1),
        unk: vocab.existing(2),
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
        normalizer: sequence(normalizers(vocab, space_prefix)?),
        pre_tokenizer: None,
        added: vocab.added()?,
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
    Ok(Built {
        encoder: Encoder::library(model, front)?,
        pieces,
        defaults,
    })
}

fn normalizers(
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
        normalizers.push(NormalizerWrapper::StripNormalizer(Strip::new(true, true)));
        let runs = ReplacePattern::Regex(" {2,}".to_owned());
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
