//! A marker that may come anywhere in a text.

use ponder_tokenizer::Tokenizer;

use super::words::Words;
use crate::effort::fragment;

/// A marker with the tokens that complete it after so many of its bytes.
#[derive(Debug)]
pub(super) struct Marker {
    text: Vec<u8>,
    /// Tokens that write it.
    pub(super) tokens: Vec<u32>,
    /// Those that do, whatever they hold behind it.
    completing: Vec<Vec<u32>>,
    /// Of these, those that hold more than white space behind it.
    beyond: Vec<Vec<u32>>,
}

impl Marker {
    /// `None` for a marker without a text.
    pub(super) fn new(text: &str, tokenizer: &Tokenizer, words: &Words) -> Option<Self> {
        let tokens = fragment(tokenizer, text).unwrap_or_default();
        let text = text.as_bytes();
        let mut completing = vec![Vec::new(); text.len()];
        let mut beyond = vec![Vec::new(); text.len()];
        for (id, bytes) in words.iter() {
            for at in 0..text.len() {
                let Some(rest) = bytes.strip_prefix(&text[at..]) else {
                    continue;
                };
                completing[at].push(id);
                if !rest.trim_ascii().is_empty() {
                    beyond[at].push(id);
                }
            }
        }
        (!text.is_empty()).then(|| Self {
            text: text.to_vec(),
            tokens,
            completing,
            beyond,
        })
    }

    /// How much of it may stand at the end of a text where so much of it stood before a token.
    pub(super) fn advance(&self, written: usize, token: &[u8]) -> usize {
        let tail = [&self.text[..written], token].concat();
        let from = (tail.len() + 1).saturating_sub(self.text.len());
        let ends = (from..tail.len()).map(|at| &tail[at..]);
        let mut begun = ends.filter(|end| self.text.starts_with(end));
        begun.next().map_or(0, <[u8]>::len)
    }

    /// Tokens that complete it.
    pub(super) fn completing(&self, written: usize) -> &[u32] {
        self.completing.get(written).map_or(&[], Vec::as_slice)
    }

    /// Tokens that complete it and go on with words.
    pub(super) fn beyond(&self, written: usize) -> &[u32] {
        self.beyond.get(written).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_become_the_marker_is_known() {
        let marker = Marker {
            text: b"<ab<abc".to_vec(),
            tokens: Vec::new(),
            completing: Vec::new(),
            beyond: Vec::new(),
        };
        assert_eq!(marker.advance(0, b"x"), 0);
        assert_eq!(marker.advance(0, b"x<"), 1);
        assert_eq!(marker.advance(1, b"ab"), 3);
        assert_eq!(marker.advance(3, b"<ab"), 6);
        assert_eq!(marker.advance(6, b"<"), 4);
        assert_eq!(marker.advance(6, b"x"), 0);
        assert_eq!(marker.advance(6, b"c"), 0, "it is complete");
    }
}
