//! Keeps control characters of foreign text away from the terminal.

use std::borrow::Cow;

/// Makes text safe to show on a terminal.
///
/// A model, or a name in a file that someone else made, may hold escape sequences that
/// move the cursor, change the window's title or write to the clipboard. Every C0 control
/// character but newline and tab becomes its visible picture (U+2400 and following), every
/// C1 control character becomes U+FFFD, and carriage returns go, since models write them
/// before newlines. Nothing that a terminal could obey is left, whatever way the text was
/// cut into pieces, because each character is judged by itself.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter_map(replacement).collect())
}

/// Whether a character may make a terminal do something.
fn is_unsafe(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

fn replacement(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\r' => None,
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32),
        '\x7f' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => Some(char::REPLACEMENT_CHARACTER),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        let text = "a\tb\nc – 日本 🦀";
        assert!(matches!(clean(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn escapes_become_visible() {
        assert_eq!(clean("\x1b]0;title\x07"), "␛]0;title␇");
        assert_eq!(clean("a\r\nb\x7f"), "a\nb␡");
        assert_eq!(clean("\u{9b}2J"), "\u{fffd}2J");
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let left: Vec<char> = clean(&all).chars().filter(|c| c.is_control()).collect();
        assert_eq!(left, ['\t', '\n']);
    }
}
