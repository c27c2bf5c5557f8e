//! Checks that stand between a file and the library's BPE model.

use tokenizers::models::bpe::{Merges, Vocab};

use crate::TokenizerError;

/// The map of pieces to ids.
///
/// # Errors
/// When a piece occurs twice.
pub(super) fn vocab_of(pieces: Vec<(String, u32)>) -> Result<Vocab, TokenizerError> {
    let mut vocab = Vocab::with_capacity(pieces.len());
    for (piece, id) in pieces {
        if let Some(other) = vocab.get(&piece) {
            let message = format!("the piece `{piece}` has two ids, {other} and {id}");
            return Err(TokenizerError::Vocabulary(message));
        }
        vocab.insert(piece, id);
    }
    Ok(vocab)
}

/// The library joins the two halves of a merge in a buffer as long as the longest piece,
/// and panics where they do not fit. That halves and result are pieces it checks itself.
pub(super) fn check_merges(vocab: &Vocab, merges: &Merges) -> Result<(), TokenizerError> {
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    match merges
        .iter()
        .position(|(left, right)| left.len() + right.len() > longest)
    {
        None => Ok(()),
        Some(rank) => {
            let (left, right) = &merges[rank];
            Err(TokenizerError::vocabulary(format!(
                "merge {rank} joins `{left}` and `{right}`, which make no piece"
            )))
        }
    }
}

/// Merges as GGUF files write them: two pieces with a space between. A piece may begin
/// with a space itself.
///
/// # Errors
/// When there is no space between two pieces.
pub(super) fn parse_merges(merges: Vec<String>) -> Result<Merges, TokenizerError> {
    let split = |(rank, merge): (usize, String)| {
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let space = merge[first..]
            .find(' ')
            .map(|at| first + at)
            .filter(|at| at + 1 < merge.len());
        let at = space.ok_or_else(|| {
            TokenizerError::vocabulary(format!("merge {rank}, `{merge}`, is not of two pieces"))
        })?;
        Ok((merge[..at].to_owned(), merge[at + 1..].to_owned()))
    };
    merges.into_iter().enumerate().map(split).collect()
}
