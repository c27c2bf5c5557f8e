//! How the pieces of a vocabulary spell bytes.
//!
//! Byte-level vocabularies (GPT-2 and its heirs) write each byte as one printable
//! character; SentencePiece vocabularies write text as it is, with `▁` for a space and
//! `<0x0A>` for a byte that no piece covers.

use std::sync::LazyLock;

/// The rule that turns an ordinary piece into bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spelling {
    /// Characters stand for bytes by the alphabet of GPT-2.
    pub(crate) byte_level: bool,
    /// Replacements in a piece, in order: usually `▁` by a space.
    pub(crate) replace: Vec<(String, String)>,
    /// Pieces of the form `<0x0A>` stand for one byte.
    pub(crate) byte_fallback: bool,
    /// This many spaces at the beginning of a decoded text are not part of it.
    pub(crate) strip_spaces: usize,
}

impl Spelling {
    /// Byte-level BPE.
    pub(crate) fn byte_level() -> Self {
        Self {
            byte_level: true,
            ..Self::default()
        }
    }

    /// SentencePiece with byte fallback, before any rule about the leading space.
    pub(crate) fn sentencepiece() -> Self {
        let replace = vec![("▁".to_owned(), " ".to_owned())];
        Self {
            replace,
            byte_fallback: true,
            ..Self::default()
        }
    }

    /// Appends the bytes of an ordinary piece.
    pub(crate) fn append_bytes(&self, piece: &str, out: &mut Vec<u8>) {
        if self.byte_level {
            append_byte_level(piece, out);
        } else if self
            .replace
            .iter()
            .any(|(from, _)| piece.contains(from.as_str()))
        {
            let mut text = piece.to_owned();
            for (from, to) in &self.replace {
                text = text.replace(from.as_str(), to);
            }
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

/// The byte of a piece `<0x0A>`, with two hexadecimal digits of either case.
pub(crate) fn byte_piece(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_byte
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The alphabet of GPT-2's `encoder.py`: printable Latin-1 characters stand for
/// themselves, the other 68 bytes, in order, for the characters from U+0100 on.
fn byte_to_char(byte: u8) -> char {
    static ALPHABET: LazyLock<[char; 256]> = LazyLock::new(|| {
        let mut next = 0x100;
        std::array::from_fn(|byte| {
            let byte = byte as u8;
            if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        })
    });
    ALPHABET[usize::from(byte)]
}

/// The byte that a character of the byte-level alphabet stands for.
fn char_to_byte(c: char) -> Option<u8> {
    static BYTES: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
        let mut bytes = [None; 0x144];
        for byte in 0..=u8::MAX {
            bytes[byte_to_char(byte) as usize] = Some(byte);
        }
        bytes
    });
    BYTES.get(c as usize).copied().flatten()
}

/// A piece with a character outside of the alphabet is no byte-level piece: its text is
/// taken as it is, as the tokenizers library does.
fn append_byte_level(piece: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in piece.chars() {
        let Some(byte) = char_to_byte(c) else {
            out.truncate(start);
            out.extend_from_slice(piece.as_bytes());
            return;
        };
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(spelling: &Spelling, piece: &str) -> Vec<u8> {
        let mut out = Vec::new();
        spelling.append_bytes(piece, &mut out);
        out
    }

    #[test]
    fn byte_level_alphabet_is_a_bijection() {
        let piece: String = (0..=u8::MAX).map(byte_to_char).collect();
        assert_eq!(
            bytes(&Spelling::byte_level(), &piece),
            (0..=u8::MAX).collect::<Vec<_>>()
        );
        assert_eq!(
            (byte_to_char(b' '), byte_to_char(b'\n'), byte_to_char(0xAD)),
            ('Ġ', 'Ċ', '\u{143}')
        );
        assert_eq!(char_to_byte('\u{144}'), None);
    }

    #[test]
    fn pieces_outside_of_the_alphabet_are_verbatim() {
        assert_eq!(bytes(&Spelling::byte_level(), "Ġ｜"), "Ġ｜".as_bytes());
        assert_eq!(bytes(&Spelling::byte_level(), "ĠÃ©"), " é".as_bytes());
        assert_eq!(bytes(&Spelling::sentencepiece(), "▁▁a"), b"  a");
    }

    #[test]
    fn byte_pieces() {
        assert_eq!(byte_piece("<0x0A>"), Some(10));
        assert_eq!(byte_piece("<0xff>"), Some(255));
        for other in ["<0x>", "<0x+1>", "<0x0A", "0x0A", "<0x0AB>", "<0xé>"] {
            assert_eq!(byte_piece(other), None, "{other}");
        }
    }
}
