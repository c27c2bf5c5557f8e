//! Decoding, whole and token by token.
//!
//! [`DecodeStream`] is the one decoder of the crate: decoding a whole text feeds it all ids
//! and finishes it, so the parts of a stream always add up to the whole. It keeps back at
//! most the three bytes of an unfinished character, never text that is already certain.

use std::sync::Arc;

use crate::TokenizerError;
use crate::vocab::pieces::{Kind, Pieces};

/// Turns token ids into text as they arrive; from
/// [`Tokenizer::decode_stream`](crate::Tokenizer::decode_stream).
///
/// 1. [`push`](Self::push) each id: the text that is certain by now comes back.
/// 2. [`finish`](Self::finish): an unfinished character at the end comes out as U+FFFD.
///
/// The work per token depends on the token's length only.
#[derive(Clone, Debug)]
pub struct DecodeStream {
    pieces: Arc<Pieces>,
    skip_special: bool,
    /// Bytes that do not make whole characters yet.
    pending: Vec<u8>,
    /// Spaces still to be taken from the beginning of the text.
    strip_spaces: usize,
}

impl DecodeStream {
    pub(crate) fn new(pieces: Arc<Pieces>, skip_special: bool) -> Self {
        let strip_spaces = pieces.spelling.strip_spaces;
        Self {
            pieces,
            skip_special,
            pending: Vec::new(),
            strip_spaces,
        }
    }

    /// Takes the next token and returns the text that became certain, often the token's
    /// own, sometimes empty.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownToken`] when the vocabulary does not hold `id`. The stream
    /// is then as it was, and can go on.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let mut text = String::new();
        if self.push_into(id, &mut text) {
            Ok(text)
        } else {
            Err(TokenizerError::UnknownToken {
                id,
                vocab_size: self.pieces.len(),
            })
        }
    }

    /// Ends the text: what is left of an unfinished character comes out as one U+FFFD. The
    /// stream is then ready for another text.
    pub fn finish(&mut self) -> String {
        self.strip_spaces = self.pieces.spelling.strip_spaces;
        self.flush_pending()
    }

    /// An unfinished character that nothing can finish any more.
    fn flush_pending(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }

    /// Appends to `out` what becomes certain with `id`; `false` for an unknown id.
    fn push_into(&mut self, id: u32, out: &mut String) -> bool {
        let Some(kind) = self.pieces.kind(id) else {
            return false;
        };
        if kind == Kind::Special && self.skip_special {
            return true;
        }
        let start = self.pending.len();
        self.pieces.append_bytes(id, &mut self.pending);
        if self.strip_spaces > 0 && self.pending.len() > start {
            self.strip_leading(start);
        }
        self.take_characters(out);
        true
    }

    /// Spaces come off the beginning only: anything else ends the search for them.
    fn strip_leading(&mut self, start: usize) {
        let n_leading = self.pending[start..]
            .iter()
            .take_while(|&&byte| byte == b' ')
            .count();
        let n_taken = n_leading.min(self.strip_spaces);
        let all_spaces = n_leading == self.pending.len() - start;
        self.pending.drain(start..start + n_taken);
        self.strip_spaces = if all_spaces {
            self.strip_spaces - n_taken
        } else {
            0
        };
    }

    /// Moves whole characters to `out`, bytes that can never become one as U+FFFD (one per
    /// maximal invalid sequence, as [`String::from_utf8_lossy`] does); keeps the rest.
    fn take_characters(&mut self, out: &mut String) {
        let mut rest = self.pending.as_slice();
        while let Err(error) = std::str::from_utf8(rest) {
            let (valid, after) = rest.split_at(error.valid_up_to());
            out.push_str(&String::from_utf8_lossy(valid));
            rest = after;
            let Some(n_invalid) = error.error_len() else {
                let n_done = self.pending.len() - rest.len();
                self.pending.drain(..n_done);
                return;
            };
            out.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[n_invalid..];
        }
        out.push_str(&String::from_utf8_lossy(rest));
        self.pending.clear();
    }
}

/// Decodes a whole text; an id outside of the vocabulary comes out as U+FFFD.
pub(crate) fn decode(pieces: &Arc<Pieces>, ids: &[u32], skip_special: bool) -> String {
    let mut stream = DecodeStream::new(Arc::clone(pieces), skip_special);
    let mut text = String::with_capacity(ids.len().saturating_mul(4));
    for &id in ids {
        if !stream.push_into(id, &mut text) {
            text.push_str(&stream.flush_pending());
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text.push_str(&stream.finish());
    text
}
