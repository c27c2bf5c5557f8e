//! What each token does to a text, a byte of facts for each, worked out once for a vocabulary.

/// The facts on one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenClass(u8);

const SENTENCE: u8 = 1;
const PARAGRAPH: u8 = 1 << 1;
const BREAK: u8 = 1 << 2;
/// Holds nothing but continuation bytes (`10xxxxxx`); how many is in [`N_CONTINUATION`].
const CONTINUATION: u8 = 1 << 3;
const MISSING: u32 = 4;
const N_CONTINUATION: u32 = 6;

impl TokenClass {
    /// The class of a token that adds these bytes to a text.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|&byte| is_continuation(byte)) {
            return Self(CONTINUATION | (bytes.len().min(3) as u8) << N_CONTINUATION);
        }
        Self(ends(bytes) | missing_after(bytes) << MISSING)
    }

    /// The same with a mark: the token begins a new thought, as "Wait" does.
    pub fn as_break(self) -> Self {
        Self(self.0 | BREAK)
    }

    /// Whether a sentence may end here.
    pub fn ends_sentence(self) -> bool {
        self.0 & SENTENCE != 0
    }

    /// Whether a paragraph ends here.
    pub fn ends_paragraph(self) -> bool {
        self.0 & PARAGRAPH != 0
    }

    /// Whether it begins a new thought.
    pub fn is_break(self) -> bool {
        self.0 & BREAK != 0
    }

    /// Bytes that a character still lacks after this token, if it lacked so many before.
    pub(super) fn missing(self, before: u8) -> u8 {
        match self.0 & CONTINUATION {
            0 => self.0 >> MISSING & 3,
            _ => before.saturating_sub(self.0 >> N_CONTINUATION),
        }
    }

    /// Whether it goes on with a character and leaves none unfinished, if its bytes are these.
    fn finishes_character(self, bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|&byte| is_continuation(byte))
            && (self.0 & CONTINUATION != 0 || self.missing(0) == 0)
    }
}

/// The classes of a vocabulary.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    classes: Vec<TokenClass>,
    /// Tokens that go on with a character and leave none unfinished, as a mask; empty if there are
    /// none.
    finishing: Vec<u32>,
}

impl Classes {
    /// The classes of tokens with these bytes, in the order of their ids; logits without a token are
    /// tokens without bytes.
    pub fn new<B: AsRef<[u8]>>(tokens: impl Iterator<Item = B>) -> Self {
        let mut all = Self::default();
        let mut any = false;
        for (id, bytes) in tokens.enumerate() {
            let bytes = bytes.as_ref();
            let class = TokenClass::of(bytes);
            all.classes.push(class);
            if id % 32 == 0 {
                all.finishing.push(0);
            }
            if class.finishes_character(bytes) {
                any = true;
                all.finishing[id / 32] |= 1 << (id % 32);
            }
        }
        if !any {
            all.finishing.clear();
        }
        all
    }

    /// Marks a token as one that begins a new thought.
    pub fn mark_break(&mut self, token: u32) {
        if let Some(class) = self.classes.get_mut(token as usize) {
            *class = class.as_break();
        }
    }

    /// The class of a token; that of nothing for an unknown one.
    pub fn of(&self, token: u32) -> TokenClass {
        self.classes
            .get(token as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Tokens that may come where a character is unfinished.
    pub(super) fn finishing(&self) -> Option<&[u32]> {
        (!self.finishing.is_empty()).then_some(&self.finishing)
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Bytes that the last character of `bytes` lacks. What can never become a character lacks nothing.
fn missing_after(bytes: &[u8]) -> u8 {
    let n_tail = bytes
        .iter()
        .rev()
        .take_while(|&&byte| is_continuation(byte))
        .count();
    let lead = bytes.len().checked_sub(n_tail + 1).map(|at| bytes[at]);
    let n_wanted = match lead {
        Some(0xc2..=0xdf) => 1,
        Some(0xe0..=0xef) => 2,
        Some(0xf0..=0xf4) => 3,
        _ => 0,
    };
    (n_wanted as usize).saturating_sub(n_tail) as u8
}

/// Which ends a token holds. An empty line ends a paragraph; a line or a sentence mark a sentence,
/// also behind closing quotes and brackets.
fn ends(bytes: &[u8]) -> u8 {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let line = text.trim_end_matches([' ', '\t']);
    if line.ends_with("\n\n") || line.ends_with("\r\n\r\n") {
        return PARAGRAPH | SENTENCE;
    }
    let word = line.trim_end_matches(['"', '\'', ')', ']', '”', '’', '*']);
    let ends_sentence =
        line.ends_with('\n') || word.ends_with(['.', '!', '?', '。', '！', '？', '…']);
    if ends_sentence { SENTENCE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_lack_what_utf8_says() {
        for text in ["a", "é", "€", "😀", "x€", "é😀"] {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                // Byte by byte and as one token, the same is missing.
                let whole = TokenClass::of(&bytes[..cut]).missing(0);
                let steps = bytes[..cut]
                    .iter()
                    .fold(0, |before, &byte| TokenClass::of(&[byte]).missing(before));
                let valid = std::str::from_utf8(&bytes[..cut]).is_ok();
                assert_eq!((whole == 0, whole), (valid, steps), "{text} {cut}");
                let rest = TokenClass::of(&bytes[cut..]).missing(whole);
                assert_eq!(rest, 0);
            }
        }
        for broken in [&[0xff][..], &[0xc0], &[0xf5], &[0x80, 0x80]] {
            assert_eq!(TokenClass::of(broken).missing(0), 0);
        }
        assert_eq!(TokenClass::of(b"").missing(2), 2, "a token without bytes");
        assert_eq!(TokenClass::of(b"a").missing(2), 0, "what was begun is lost");
    }

    #[test]
    fn ends_are_told_apart() {
        let class = |text: &str| TokenClass::of(text.as_bytes());
        for text in [".", "?\n", " done.\"", ".)", "。", "\n", "!' "] {
            assert!(
                class(text).ends_sentence() && !class(text).ends_paragraph(),
                "{text:?}"
            );
        }
        for text in ["\n\n", ".\n\n", "\n\n  "] {
            assert!(class(text).ends_paragraph(), "{text:?}");
        }
        for text in ["a", ",", "", " ", ".5", "é"] {
            assert!(!class(text).ends_sentence(), "{text:?}");
        }
        assert!(!class("Wait").is_break() && class("Wait").as_break().is_break());
    }

    #[test]
    fn masks_hold_what_finishes_a_character() {
        let tokens: [&[u8]; 5] = [b"a", &[0x9f], &[0x98, 0x80], &[0x80, b'!'], &[0x80, 0xf0]];
        let classes = Classes::new(tokens.iter());
        assert_eq!(classes.finishing(), Some(&[0b01110][..]));
        assert_eq!(Classes::new([b"a", b"b"].iter()).finishing(), None);
    }
}
