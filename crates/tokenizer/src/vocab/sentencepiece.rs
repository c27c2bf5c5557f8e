//! SentencePiece's BPE: of all neighbouring pieces, the pair whose joint piece has the
//! highest score is merged first, the leftmost of equals.
//!
//! The library's BPE ranks merges by a list that has no equals, so it cannot express this
//! exactly, and making that list takes longer than the whole of this model.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};

use tokenizers::models::bpe::{BpeTrainer, Vocab};
use tokenizers::{Model, Token};

/// A vocabulary with scores. Implements the library's [`Model`], so that its added tokens
/// and normalizers work with it.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    ids: Vocab,
    /// By id; `None` for pieces that merging must not make (control tokens, bytes).
    scores: Vec<Option<f32>>,
    /// The ids of `<0x00>` to `<0xFF>`.
    bytes: Box<[Option<u32>; 256]>,
    unk: Option<u32>,
}

/// A piece of the text being encoded; joined to its neighbours in both directions.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    /// Length in bytes; 0 once it was merged into its left neighbour.
    len: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours whose joint text is a piece.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Of both together: a pair whose halves have changed since is out of date.
    len: usize,
}

impl SentencePiece {
    pub(crate) fn new(
        ids: Vocab,
        scores: Vec<Option<f32>>,
        bytes: Box<[Option<u32>; 256]>,
        unk: Option<u32>,
    ) -> Self {
        Self {
            ids,
            scores,
            bytes,
            unk,
        }
    }

    /// Calls `emit` with each id and the range of `text` that it covers.
    fn encode(&self, text: &str, mut emit: impl FnMut(u32, (usize, usize))) {
        let mut symbols = symbols(text);
        let mut queue = BinaryHeap::new();
        for right in 1..symbols.len() {
            self.enqueue(text, &symbols, right - 1, right, &mut queue);
        }
        while let Some(pair) = queue.pop() {
            let (left, right) = (symbols[pair.left], symbols[pair.right]);
            if left.len == 0 || right.len == 0 || left.len + right.len != pair.len {
                continue;
            }
            symbols[pair.left].len = pair.len;
            symbols[pair.left].next = right.next;
            symbols[pair.right].len = 0;
            if let Some(next) = right.next {
                symbols[next].prev = Some(pair.left);
                self.enqueue(text, &symbols, pair.left, next, &mut queue);
            }
            if let Some(prev) = left.prev {
                self.enqueue(text, &symbols, prev, pair.left, &mut queue);
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.len > 0) {
            self.emit_symbol(text, *symbol, &mut emit);
        }
    }

    fn enqueue(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
        queue: &mut BinaryHeap<Pair>,
    ) {
        let (start, len) = (symbols[left].start, symbols[left].len + symbols[right].len);
        let id = self.ids.get(&text[start..start + len]);
        if let Some(score) = id.and_then(|&id| *self.scores.get(id as usize)?) {
            queue.push(Pair {
                score,
                left,
                right,
                len,
            });
        }
    }

    /// A symbol is a piece, or else a single character that is none: then its bytes are.
    fn emit_symbol(&self, text: &str, symbol: Symbol, emit: &mut impl FnMut(u32, (usize, usize))) {
        let range = (symbol.start, symbol.start + symbol.len);
        let piece = &text[range.0..range.1];
        if let Some(&id) = self.ids.get(piece) {
            return emit(id, range);
        }
        let bytes: Option<Vec<u32>> = piece
            .bytes()
            .map(|byte| self.bytes[usize::from(byte)])
            .collect();
        match bytes {
            Some(ids) => ids.into_iter().for_each(|id| emit(id, range)),
            None => self.unk.into_iter().for_each(|id| emit(id, range)),
        }
    }
}

/// One symbol per character.
fn symbols(text: &str) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
    for (idx, (start, c)) in text.char_indices().enumerate() {
        let next = (start + c.len_utf8() < text.len()).then_some(idx + 1);
        symbols.push(Symbol {
            start,
            len: c.len_utf8(),
            prev: idx.checked_sub(1),
            next,
        });
    }
    symbols
}

impl Ord for Pair {
    /// The greatest is merged first.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl Model for SentencePiece {
    /// The trait asks for a trainer; nothing here trains.
    type Trainer = BpeTrainer;

    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        // The pieces' texts are not read by the caller, so they are not copied.
        self.encode(text, |id, range| {
            tokens.push(Token::new(id, String::new(), range))
        });
        Ok(tokens)
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Looked for one by one: the caller has its own table, this is for completeness.
    fn id_to_token(&self, id: u32) -> Option<String> {
        self.ids
            .iter()
            .find(|&(_, &known)| known == id)
            .map(|(piece, _)| piece.clone())
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        self.ids
            .iter()
            .map(|(piece, &id)| (piece.clone(), id))
            .collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.ids.len()
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a SentencePiece model from GGUF metadata is not saved".into())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids in order; a piece without a score is only ever a single character.
    fn model(pieces: &[(&str, f32)]) -> SentencePiece {
        let ids = pieces
            .iter()
            .zip(0..)
            .map(|((piece, _), id)| ((*piece).to_owned(), id))
            .collect();
        let scores = pieces.iter().map(|(_, score)| Some(*score)).collect();
        let mut bytes = Box::new([None; 256]);
        for (byte, slot) in bytes.iter_mut().enumerate().skip(0x80) {
            *slot = Some(1000 + byte as u32);
        }
        SentencePiece::new(ids, scores, bytes, Some(999))
    }

    fn encode(model: &SentencePiece, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        model.encode(text, |id, _| ids.push(id));
        ids
    }

    #[test]
    fn highest_score_first_then_leftmost() {
        let model = model(&[
            ("a", 0.0),
            ("b", 0.0),
            ("ab", -2.0),
            ("ba", -1.0),
            ("aa", -3.0),
            ("aab", -4.0),
        ]);
        assert_eq!(encode(&model, "aba"), [0, 3]);
        assert_eq!(encode(&model, "aaa"), [4, 0]);
        assert_eq!(encode(&model, "aab"), [5]);
        assert_eq!(encode(&model, ""), [0; 0]);
    }

    #[test]
    fn unknown_characters_become_bytes_or_unk() {
        let model = model(&[("a", 0.0)]);
        assert_eq!(encode(&model, "aé"), [0, 1000 + 0xC3, 1000 + 0xA9]);
        assert_eq!(encode(&model, "xa"), [999, 0]);
    }

    #[test]
    fn equal_scores_of_one_piece_take_the_leftmost_pair() {
        // "aba" is both ab+a and a+ba: of two ways at once the one further left wins.
        let model = model(&[
            ("a", 0.0),
            ("b", 0.0),
            ("ab", -1.0),
            ("ba", -1.0),
            ("aba", -2.0),
        ]);
        assert_eq!(encode(&model, "ababa"), [2, 4]);
    }
}
