//! `llama`: SentencePiece BPE.

use tokenizers::normalizers::{NormalizerWrapper, Prepend};

use super::{Built, Defaults, GgufVocab, replace_spaces, sequence, token_type};
use crate::TokenizerError;
use crate::vocab::encoder::{Encoder, Front};
use crate::vocab::sentencepiece::SentencePiece;
use crate::vocab::spelling::{Spelling, byte_piece};

/// SentencePiece BPE: merges by score, `▁` for spaces, bytes for unknown characters.
pub(super) fn build(vocab: &mut GgufVocab) -> Result<Built, TokenizerError> {
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
        added: vocab.added()?,
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
    let bytes = byte_ids(&vocab.tokens);
    // Files from before these ids were written have SentencePiece's own: <unk>, <s>, </s>.
    let default = |id, kind| {
        vocab
            .existing(id)
            .filter(|&id| vocab.token_type(id as usize) == kind)
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
    Ok(Built {
        encoder: Encoder::sentencepiece(model, front)?,
        pieces,
        defaults,
    })
}

/// The ids of the pieces `<0x00>` to `<0xFF>`.
fn byte_ids(tokens: &[String]) -> Box<[Option<u32>; 256]> {
    let mut bytes = Box::new([None; 256]);
    for (text, id) in tokens.iter().zip(0u32..) {
        if let Some(byte) = byte_piece(text) {
            bytes[usize::from(byte)] = Some(id);
        }
    }
    bytes
}
