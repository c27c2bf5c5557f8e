//! Two tokenizers on texts that tell their rules apart.

use super::{TokenizerError, refuse};
use crate::tokenizer::Parts;
use crate::vocab::pieces::Kind;

/// Words, numbers, spaces, line breaks, contractions in both cases, scripts, marks that
/// normalization would join, code, and what a template writes.
const TEXTS: &[&str] = &[
    "Hello, World! It's 3 o'clock; WE'LL see: don'T.",
    "1 12 123 1234 12345678 3.14 1,000,000 0x1F ２３ ²",
    " leading, trailing  and   many    spaces ",
    "tabs\tand\nlines\r\n\n\n  indented\n\t\tdeeper \n ",
    "naïve café Größe e\u{301} A\u{30a} ﬁ ½ İstanbul ß",
    "日本語のテキスト、中文文本。한국어 문장 ไทย हिन्दी العربية עברית ελληνικά русский",
    "🦙🙂👩‍👩‍👧 ∑∫√ → «quotes» – — … “x” ‘y’",
    "fn main() { let x: Vec<u8> = vec![0; 10]; } // CamelCase snake_case HTTPServer",
    "https://example.org/a/b?c=d&e=f#g user@example.com C:\\path\\file",
    "<|im_start|>user\nHi<|im_end|>\n<think>\n\n</think>\n\n[INST] a [/INST]</s>",
    "▁ a▁b \u{a0} \u{200b} \u{feff} \0 \u{7f}",
    "",
    " ",
    "a",
];
/// Added tokens that are tried inside a text.
const MOST_ADDED: usize = 300;

/// # Errors
/// When the two give other ids for one of the texts, naming it.
pub(super) fn compare(original: &Parts, converted: &Parts) -> Result<(), TokenizerError> {
    let is_added =
        |id: &u32| matches!(original.pieces.kind(*id), Some(Kind::Added | Kind::Special));
    let added = (0..original.pieces.len() as u32).filter(is_added);
    let around = added
        .take(MOST_ADDED)
        .map(|id| format!("x {} y{0}z", original.pieces.text(id)));
    let texts = TEXTS.iter().map(|text| (*text).to_owned()).chain(around);
    for text in texts {
        if original.encoder.encode(&text)? != converted.encoder.encode(&text)? {
            let text = text.escape_debug().to_string();
            return Err(refuse(
                "tokenizer whose rules GGUF cannot say, on the text",
                &text,
            ));
        }
    }
    Ok(())
}
