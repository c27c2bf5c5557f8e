//! Scores of pieces, from the merges of a `tokenizer.json` that was made from SentencePiece.
//!
//! SentencePiece merges the pair whose result has the highest score. The library's form of the
//! same vocabulary lists all pairs by the score of their result, so the rank of the first pair
//! that makes a piece orders pieces as their scores did.

use std::collections::HashMap;

/// The score of pieces that no merge makes.
pub(super) const NEVER: f32 = -1e9;

/// A score for each piece: minus the rank of the first merge that makes it.
pub(super) fn from_merges(pieces: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut ranks = HashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    // Ranks are exact in f32 up to 16.7 million, far beyond any vocabulary.
    let score = |piece: &String| ranks.get(piece).map_or(NEVER, |rank| -(*rank as f32));
    pieces.iter().map(score).collect()
}
