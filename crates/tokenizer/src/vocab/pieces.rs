//! The id → piece table: every piece's text in one arena, and what kind of piece it is.

use super::spelling::{Spelling, byte_piece};
use crate::TokenizerError;

/// What a token id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary piece, spelled by the tokenizer's [`Spelling`].
    Normal,
    /// One byte, written `<0x0A>`.
    Byte,
    /// An added token that belongs to the text, such as `<think>`; its text is taken as it is.
    Added,
    /// A control token, such as `<|im_end|>`; its text is taken as it is, or skipped.
    Special,
    /// A hole in the numbering.
    Missing,
}

/// All pieces of a vocabulary, by id.
#[derive(Debug)]
pub(crate) struct Pieces {
    text: String,
    /// Where piece `id` ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    pub(crate) spelling: Spelling,
}

/// Ids may have holes, but no more of them than this: the table must not outgrow its file.
const MAX_HOLES: usize = 1 << 16;

impl Pieces {
    pub(crate) fn with_capacity(n: usize, spelling: Spelling) -> Self {
        let (text, ends, kinds) = (
            String::with_capacity(n.saturating_mul(8)),
            Vec::with_capacity(n),
            Vec::with_capacity(n),
        );
        Self {
            text,
            ends,
            kinds,
            spelling,
        }
    }

    /// Builds the table from pieces in any order.
    ///
    /// # Errors
    /// When an id occurs twice or the numbering has more than 65,536 holes.
    pub(crate) fn from_unordered<'a>(
        pieces: impl IntoIterator<Item = (&'a str, u32)>,
        spelling: Spelling,
    ) -> Result<Self, TokenizerError> {
        let mut pieces: Vec<(&str, u32)> = pieces.into_iter().collect();
        pieces.sort_unstable_by_key(|&(_, id)| id);
        let mut table = Self::with_capacity(pieces.len(), spelling);
        for (text, id) in &pieces {
            let id = *id as usize;
            if id < table.len() {
                let other = table.text(id as u32);
                return Err(TokenizerError::vocabulary(format!(
                    "`{text}` and `{other}` share the id {id}"
                )));
            }
            if id - pieces.len().min(id) > MAX_HOLES {
                return Err(TokenizerError::vocabulary(format!(
                    "`{text}` has the id {id}, but there are only {} pieces",
                    pieces.len()
                )));
            }
            while table.len() < id {
                table.push("", Kind::Missing);
            }
            table.push(text, Kind::Normal);
        }
        Ok(table)
    }

    /// Appends the next id. A piece `<0x0A>` becomes a byte where the spelling has such.
    pub(crate) fn push(&mut self, text: &str, kind: Kind) {
        let is_byte =
            kind == Kind::Normal && self.spelling.byte_fallback && byte_piece(text).is_some();
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.kinds.push(if is_byte { Kind::Byte } else { kind });
    }

    pub(crate) fn set_kind(&mut self, id: u32, kind: Kind) {
        if let Some(slot) = self.kinds.get_mut(id as usize) {
            *slot = kind;
        }
    }

    /// One more than the largest id.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The kind of an id; `None` outside of the vocabulary and in its holes.
    pub(crate) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds
            .get(id as usize)
            .copied()
            .filter(|&kind| kind != Kind::Missing)
    }

    /// The piece as the vocabulary writes it; empty for unknown ids.
    pub(crate) fn text(&self, id: u32) -> &str {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return "";
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.text[start..end]
    }

    /// Appends the bytes that a token stands for; nothing for unknown ids.
    pub(crate) fn append_bytes(&self, id: u32, out: &mut Vec<u8>) {
        let text = self.text(id);
        match self.kind(id) {
            Some(Kind::Normal) => self.spelling.append_bytes(text, out),
            Some(Kind::Byte) => out.extend(byte_piece(text)),
            Some(Kind::Added | Kind::Special) => out.extend_from_slice(text.as_bytes()),
            Some(Kind::Missing) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pieces: &[(&str, u32)]) -> Result<Pieces, TokenizerError> {
        Pieces::from_unordered(pieces.iter().copied(), Spelling::sentencepiece())
    }

    #[test]
    fn holes_and_order() {
        let table = table(&[("b", 3), ("▁a", 0), ("<0xE2>", 1)]).unwrap();
        assert_eq!(table.len(), 4);
        assert_eq!(
            (table.text(0), table.text(2), table.text(3), table.text(9)),
            ("▁a", "", "b", "")
        );
        assert_eq!(table.kind(2), None);
        assert_eq!(table.kind(1), Some(Kind::Byte));
        let mut bytes = Vec::new();
        for id in [0, 1, 2, 3, 77] {
            table.append_bytes(id, &mut bytes);
        }
        assert_eq!(bytes, b" a\xE2b");
    }

    #[test]
    fn broken_numbering_is_an_error() {
        assert!(
            table(&[("a", 1), ("b", 1)])
                .unwrap_err()
                .to_string()
                .contains("share the id 1")
        );
        assert!(
            table(&[("a", u32::MAX)])
                .unwrap_err()
                .to_string()
                .contains("only 1 pieces")
        );
        assert_eq!(table(&[]).unwrap().len(), 0);
    }
}
