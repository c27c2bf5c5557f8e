//! Markdown that is readable while it streams.
//!
//! Text comes in arbitrary pieces and leaves as soon as it is decided what it is, and what
//! has left is never taken back, so nothing flickers. What needs a look ahead is short: the
//! first characters of a line ([`block`]) and an emphasis or code span until it is closed
//! ([`inline`]). Markers that turn out to be none are shown as they are; only markers that
//! took effect disappear.
//!
//! Code blocks and tables keep every character. Lines are not wrapped: the terminal does
//! that, also after its window was resized.

mod block;
mod inline;

use anstyle::{AnsiColor, Effects, Style};

use self::block::{Fence, Line};
use super::style::{Styles, colored, with};

/// Renders one answer, piece by piece.
pub(crate) struct Markdown {
    styles: Styles,
    /// Text that was pushed but not yet rendered; never holds a complete line.
    pending: String,
    /// What the current line is; `None` at its beginning.
    line: Option<Line>,
    /// The last character of the line that was rendered, for rules on word borders.
    last: Option<char>,
    /// The code block that the current line is in.
    fence: Option<Fence>,
    /// The current line began with a quote marker.
    is_quoted: bool,
}

impl Markdown {
    /// A renderer at the beginning of a text.
    pub(crate) fn new(styles: Styles) -> Self {
        Self {
            styles,
            pending: String::new(),
            line: None,
            last: None,
            fence: None,
            is_quoted: false,
        }
    }

    /// Takes the next piece and appends to `out` what can be shown.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) {
        for part in text.split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(rest) => {
                    self.pending.push_str(rest);
                    self.advance(true, out);
                    self.end_line(out);
                }
                None => {
                    self.pending.push_str(part);
                    self.advance(false, out);
                }
            }
        }
    }

    /// Shows what is still held back.
    pub(crate) fn finish(&mut self, out: &mut String) {
        self.advance(true, out);
        self.reset_line();
    }

    /// Renders what is decided of the pending text; all of it when the line is `complete`.
    fn advance(&mut self, complete: bool, out: &mut String) {
        if self.line.is_none() {
            self.begin_line(complete, out);
        }
        match self.line {
            None => {}
            Some(Line::Text(style)) => self.text(style, complete, out),
            Some(Line::Verbatim(style)) => {
                out.push_str(&self.styles.paint(style, &self.pending));
                self.pending.clear();
            }
        }
    }

    /// Finds out what the line is and renders its marker.
    fn begin_line(&mut self, complete: bool, out: &mut String) {
        let code = colored(AnsiColor::Cyan);
        if let Some(fence) = &self.fence {
            match fence.is_closed_by(&self.pending, complete) {
                Some(true) => {
                    self.fence = None;
                    self.line = Some(Line::Verbatim(Style::new().dimmed()));
                }
                Some(false) => self.line = Some(Line::Verbatim(code)),
                None => {}
            }
            return;
        }
        while let Some(start) = block::classify(&self.pending, complete) {
            out.push_str(&self.styles.paint(start.marker_style, &start.marker));
            self.pending.drain(..start.consumed);
            self.is_quoted |= start.is_quote;
            // The lines of a quoted code block have markers of their own, which would hide
            // its end; such lines are rendered one by one.
            self.fence = start.fence.filter(|_| !self.is_quoted);
            self.line = start.line;
            if self.line.is_some() {
                return;
            }
        }
    }

    fn text(&mut self, style: Style, complete: bool, out: &mut String) {
        let (spans, consumed) = inline::spans(&self.pending, complete, self.last);
        for span in spans {
            let mut painted = with(style, span.effects);
            if span.is_code {
                painted = painted.fg_color(colored(AnsiColor::Cyan).get_fg_color());
            }
            out.push_str(&self.styles.paint(painted, &span.text));
        }
        self.last = self.pending[..consumed].chars().last().or(self.last);
        self.pending.drain(..consumed);
    }

    fn end_line(&mut self, out: &mut String) {
        out.push('\n');
        self.reset_line();
    }

    fn reset_line(&mut self) {
        self.line = None;
        self.last = None;
        self.is_quoted = false;
    }
}

/// How a heading of a level from 1 to 6 looks.
fn heading(level: usize) -> Style {
    match level {
        1 => with(Style::new().bold(), Effects::UNDERLINE),
        _ => Style::new().bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(pieces: &[&str], styles: Styles) -> String {
        let (mut markdown, mut out) = (Markdown::new(styles), String::new());
        for piece in pieces {
            markdown.push(piece, &mut out);
        }
        markdown.finish(&mut out);
        out
    }

    fn plain(text: &str) -> String {
        render(&[text], Styles::new(false))
    }

    const SAMPLE: &str = "\
# Title of *all*

Some **bold** text, *soft* and `co*de*`; 3 * 4 * 5, a_b_c, \\*not\\*.
- one **x
* two
  + three `y
> quoted **text**
> - item

1. first
---
```rust
let **x** = `y`; # no heading
  ``
```
| a | **b** |
|---|-------|
***both*** _under_ __strong__ 2**3**4 ** not ** end*";

    #[test]
    fn markers_that_took_effect_disappear() {
        let expected = "\
Title of all

Some bold text, soft and co*de*; 3 * 4 * 5, a_b_c, *not*.
• one **x
• two
  • three `y
│ quoted text
│ • item

1. first
────────
```rust
let **x** = `y`; # no heading
  ``
```
| a | **b** |
|---|-------|
both under strong 2**3**4 ** not ** end*";
        assert_eq!(plain(SAMPLE), expected);
    }

    #[test]
    fn lines_may_begin_with_any_character() {
        for text in [
            "日本 **語**",
            "␛",
            "é\n  😀 x",
            "\u{a0}- x",
            "··· \\é **é**",
        ] {
            assert_eq!(plain(text), text.replace("**", ""));
        }
    }

    #[test]
    fn pieces_do_not_matter() {
        let visible = |text: &str| anstream::adapter::strip_str(text).to_string();
        let whole = render(&[SAMPLE], Styles::new(true));
        assert_eq!(visible(&whole), plain(SAMPLE));
        for size in 1..8 {
            let chars: Vec<char> = SAMPLE.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|c| c.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(render(&pieces, Styles::new(false)), plain(SAMPLE), "{size}");
            let styled = render(&pieces, Styles::new(true));
            assert_eq!(visible(&styled), plain(SAMPLE), "{size}");
        }
    }

    #[test]
    fn text_is_not_held_back_needlessly() {
        let (mut markdown, mut out) = (Markdown::new(Styles::new(false)), String::new());
        for (piece, shown) in [
            ("Hel", "Hel"),
            ("lo 5 * 3 and", "Hello 5 * 3 and"),
            (" **bo", "Hello 5 * 3 and "),
            ("ld** x", "Hello 5 * 3 and bold x"),
        ] {
            markdown.push(piece, &mut out);
            assert_eq!(out, shown);
        }
    }

    #[test]
    fn long_unclosed_spans_do_not_stop_the_stream() {
        let (mut markdown, mut out) = (Markdown::new(Styles::new(false)), String::new());
        let text = format!("**{}", "word ".repeat(200));
        for piece in text.split_inclusive(' ') {
            markdown.push(piece, &mut out);
        }
        assert!(
            text.len() - out.len() <= inline::LONGEST_SPAN,
            "{}",
            out.len()
        );
        assert!(text.starts_with(&out));
    }

    #[test]
    fn styles_are_closed_in_every_piece() {
        let bold = render(&["a **b", "** c"], Styles::new(true));
        assert_eq!(bold, "a \u{1b}[1mb\u{1b}[0m c");
        let code = render(&["`x`"], Styles::new(true));
        assert_eq!(code, "\u{1b}[36mx\u{1b}[0m");
    }
}
