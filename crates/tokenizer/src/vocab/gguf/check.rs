//! What must hold of the metadata before anything is built from it.

use super::GgufVocab;
use crate::TokenizerError;

/// # Errors
/// When lengths differ, a score is not a number, or an id is not that of a token with text.
pub(super) fn check(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    check_lengths(vocab)?;
    if let Some(id) = vocab.scores.iter().position(|score| score.is_nan()) {
        let message = format!("the score of token {id} is not a number");
        return Err(TokenizerError::Vocabulary(message));
    }
    let ids = [
        ("bos", vocab.bos),
        ("eos", vocab.eos),
        ("eot", vocab.eot),
        ("eom", vocab.eom),
        ("unknown", vocab.unk),
        ("padding", vocab.pad),
    ];
    for (name, id) in ids {
        let Some(id) = id.filter(|&id| vocab.existing(id).is_none()) else {
            continue;
        };
        let n = vocab.tokens.len();
        let message =
            format!("tokenizer.ggml.{name}_token_id is {id}, which is none of the {n} pieces");
        return Err(TokenizerError::Vocabulary(message));
    }
    Ok(())
}

fn check_lengths(vocab: &GgufVocab) -> Result<(), TokenizerError> {
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
    Ok(())
}
