//! What may stand between a thought, or the beginning of a turn, and the answer.

use ponder_tokenizer::Tokenizer;

use super::words::Words;
use crate::effort::fragment;

/// Where a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Into a thought.
    Thought,
    /// To the answer.
    Answer,
    /// Into a header, behind the role.
    Header,
    /// To words beside the answer.
    Aside,
    /// It was layout.
    Start,
}

/// A text that may be written before the answer, with the tokens that go on with it.
#[derive(Clone, Debug)]
pub(super) struct Way {
    text: Vec<u8>,
    pub(super) to: To,
    /// Tokens that go on with it after so many of its bytes.
    steps: Vec<Vec<u32>>,
    /// Tokens that it takes at most.
    pub(super) n_tokens: usize,
}

impl Way {
    /// A text that is written as the tokenizer writes it, or if it cannot in any pieces.
    pub(super) fn new(text: &str, to: To, tokenizer: &Tokenizer, words: &Words) -> Self {
        let mut steps = vec![Vec::new(); text.len()];
        let is_known = |id: &u32| (*id as usize) < words.len();
        let tokens = fragment(tokenizer, text).filter(|tokens| tokens.iter().all(is_known));
        if let Some(tokens) = &tokens {
            let mut at = 0;
            for &id in tokens {
                if let Some(steps) = steps.get_mut(at) {
                    steps.push(id);
                }
                at += words.bytes(id).len();
            }
        } else {
            let pieces = words.iter().filter(|(_, bytes)| !bytes.is_empty());
            for (id, bytes) in pieces {
                for (at, steps) in steps.iter_mut().enumerate() {
                    if text.as_bytes()[at..].starts_with(bytes) {
                        steps.push(id);
                    }
                }
            }
        }
        Self {
            n_tokens: tokens.map_or(text.len(), |tokens| tokens.len()),
            text: text.as_bytes().to_vec(),
            to,
            steps,
        }
    }

    pub(super) fn steps(&self, at: usize) -> &[u32] {
        self.steps.get(at).map_or(&[], Vec::as_slice)
    }

    /// How far it is written with some more bytes, if they go on with it.
    pub(super) fn advance(&self, at: usize, bytes: &[u8]) -> Option<usize> {
        let goes_on = !bytes.is_empty() && self.text.get(at..)?.starts_with(bytes);
        goes_on.then_some(at + bytes.len())
    }

    pub(super) fn is_complete(&self, at: usize) -> bool {
        at == self.text.len()
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}
