//! Numbers in documents that every reader can hold: a grammar lets digits go on forever.

use super::{Mask, words::Words};

/// Digits of a whole number: what 64-bit floats hold exactly, and 64-bit numbers with a few more, which
/// a number that must be a multiple may need.
const WHOLE: usize = 15;
/// Digits behind the point.
const FRACTION: usize = 20;
/// Digits of an exponent.
const EXPONENT: usize = 2;

/// Tokens that are digits, or hold numbers that are too long by themselves.
#[derive(Debug)]
pub(super) struct DigitTokens {
    /// By how many digits they begin with, less one; the last also those with more.
    leading: Vec<Vec<u32>>,
    /// They go on with a number to one that is too long wherever they come.
    long: Vec<u32>,
}

impl DigitTokens {
    pub(super) fn new(words: &Words) -> Self {
        let mut leading = vec![Vec::new(); FRACTION + 1];
        let mut long = Vec::new();
        for (id, bytes) in words.iter() {
            let n = bytes
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if n > 0 {
                leading[n.min(FRACTION + 1) - 1].push(id);
            }
            let mut number = Number::default();
            if bytes.iter().any(|&byte| number.push(byte).is_none()) {
                long.push(id);
            }
        }
        Self { leading, long }
    }
}

/// Where the numbers of a text stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// It has none that a reader must hold.
    Nowhere,
    /// In JSON, outside of its texts.
    Json,
    /// Anywhere; only what no float can be is too long.
    Anywhere,
}

/// The number at the end of a text, if one stands there.
#[derive(Clone, Debug, Default)]
struct Number {
    part: Part,
    n_digits: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Whole,
    Fraction,
    Exponent,
}

impl Number {
    fn left(&self) -> usize {
        let most = match self.part {
            Part::Whole => WHOLE,
            Part::Fraction => FRACTION,
            Part::Exponent => EXPONENT,
        };
        most.saturating_sub(self.n_digits)
    }

    /// Takes a byte outside of a text; `None` where the number is too long with it.
    fn push(&mut self, byte: u8) -> Option<()> {
        let (is_begun, left) = (self.n_digits > 0, self.left());
        let part = |part| Self { part, n_digits: 0 };
        *self = match byte {
            b'0'..=b'9' => Self {
                part: self.part,
                n_digits: self.n_digits + 1,
            },
            b'.' if is_begun && self.part == Part::Whole => part(Part::Fraction),
            b'e' | b'E' if is_begun && self.part != Part::Exponent => part(Part::Exponent),
            b'+' | b'-' if self.part == Part::Exponent && !is_begun => part(Part::Exponent),
            _ => Self::default(),
        };
        (left > 0 || !byte.is_ascii_digit()).then_some(())
    }
}

/// Reads a text as it comes and keeps its numbers short.
#[derive(Clone, Debug)]
pub(super) struct Digits {
    place: Where,
    in_text: bool,
    is_escaped: bool,
    number: Number,
}

impl Digits {
    pub(super) fn new(place: Where) -> Self {
        Self {
            place,
            in_text: false,
            is_escaped: false,
            number: Number::default(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_text {
                self.in_text = byte != b'"' || self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                continue;
            }
            self.in_text = byte == b'"' && self.place == Where::Json;
            // What is too long already is as it is.
            let _ = self.number.push(byte);
        }
    }

    /// Takes out what would make the number at the end too long, where anything else is left.
    pub(super) fn limit(&self, tokens: &DigitTokens, mask: &mut Mask) {
        let is_free = match self.place {
            Where::Nowhere => true,
            Where::Json => self.in_text,
            Where::Anywhere => self.number.part != Part::Exponent,
        };
        if is_free {
            return;
        }
        let left = self.number.left();
        let leading = tokens.leading[left.min(FRACTION)..].iter().flatten();
        let out: Vec<u32> = leading
            .chain(&tokens.long)
            .filter(|&&id| mask.contains(id))
            .copied()
            .collect();
        if out.is_empty() {
            return;
        }
        out.iter().for_each(|&id| mask.remove(id));
        if mask.is_empty() {
            out.iter().for_each(|&id| mask.insert(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(text: &str) -> Option<usize> {
        let mut digits = Digits::new(Where::Json);
        digits.push(text.as_bytes());
        (!digits.in_text).then(|| digits.number.left())
    }

    #[test]
    fn numbers_are_counted_where_they_stand() {
        assert_eq!(left("{\"a\": 12"), Some(13));
        assert_eq!(left("[12,-3"), Some(14));
        assert_eq!(left("[1.25"), Some(18));
        assert_eq!(left("[1.5e-1"), Some(1));
        assert_eq!(left("[1e10"), Some(0));
        assert_eq!(left("[1e10, 7"), Some(14));
        assert_eq!(left("[true"), Some(15));
        assert_eq!(left("[\"1e100"), None, "a text is free");
        assert_eq!(left(r#"["\"1", "#), Some(15));
        assert_eq!(left(r#"["\\", 1"#), Some(14));
    }

    #[test]
    fn numbers_are_short_where_they_must_be() {
        let mut mask = Mask::none(8);
        let tokens = DigitTokens {
            leading: (0..=FRACTION)
                .map(|n| if n == 0 { vec![1] } else { Vec::new() })
                .collect(),
            long: vec![2],
        };
        let mut allowed = |place, text: &str, all: &[u32]| {
            mask.fill(false);
            all.iter().for_each(|&id| mask.insert(id));
            let mut digits = Digits::new(place);
            digits.push(text.as_bytes());
            digits.limit(&tokens, &mut mask);
            let kept = all.iter().copied().filter(|&id| mask.contains(id));
            kept.collect::<Vec<u32>>()
        };
        assert_eq!(allowed(Where::Json, "[1e1", &[0, 1, 2]), [0, 1]);
        assert_eq!(allowed(Where::Json, "[1e10", &[0, 1, 2]), [0]);
        assert_eq!(allowed(Where::Json, "[1e10", &[1, 2]), [1, 2]);
        assert_eq!(allowed(Where::Json, "[\"1e10", &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(allowed(Where::Anywhere, "\"1e10", &[0, 1, 2]), [0]);
        assert_eq!(allowed(Where::Anywhere, "page123", &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(allowed(Where::Nowhere, "1e10", &[0, 1, 2]), [0, 1, 2]);
    }
}
