//! An answer on a terminal: dimmed reasoning, readable Markdown, a spinner while waiting.

use std::io::{self, Write};

use ponder_engine::{Summary, ToolCall};

use super::events::AnswerView;
use super::markdown::Markdown;
use super::style::Styles;
use super::{Waiting, clean};

/// What has been written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Reasoning,
    Content,
}

/// Shows an answer to a person.
pub(crate) struct TerminalView<W> {
    out: W,
    styles: Styles,
    shows_reasoning: bool,
    waiting: Waiting,
    markdown: Markdown,
    part: Part,
    /// Newlines that are written only if more text of the same part follows.
    held_newlines: usize,
    /// The cursor stands behind text.
    is_mid_line: bool,
}

impl<W: Write> TerminalView<W> {
    /// A view that writes to the terminal `out`; `waiting` turns until the first text.
    pub(crate) fn new(out: W, styles: Styles, shows_reasoning: bool, waiting: Waiting) -> Self {
        Self {
            out,
            styles,
            shows_reasoning,
            waiting,
            markdown: Markdown::new(styles),
            part: Part::Nothing,
            held_newlines: 0,
            is_mid_line: false,
        }
    }

    /// Begins a part; where styles are off, its name stands above it.
    fn begin(&mut self, part: Part) -> io::Result<()> {
        if self.part == part {
            return Ok(());
        }
        self.waiting.over();
        if self.part != Part::Nothing {
            self.end_line()?;
            self.out.write_all(b"\n")?;
        }
        if !self.styles.are_on() {
            let name = match part {
                Part::Reasoning => "[thinking]\n",
                // Without reasoning before it, an answer needs no name.
                Part::Content if self.part == Part::Reasoning => "[answer]\n",
                _ => "",
            };
            self.out.write_all(name.as_bytes())?;
        }
        self.part = part;
        self.held_newlines = 0;
        Ok(())
    }

    /// Drops newlines at the beginning of a part and holds back those at its end.
    fn fresh<'t>(&mut self, text: &'t str, part: Part) -> Option<(String, &'t str)> {
        let is_first = self.part != part;
        let text = if is_first {
            text.trim_start_matches('\n')
        } else {
            text
        };
        let body = text.trim_end_matches('\n');
        if body.is_empty() {
            self.held_newlines += if is_first { 0 } else { text.len() };
            return None;
        }
        let newlines = if is_first { 0 } else { self.held_newlines };
        Some(("\n".repeat(newlines), text))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        if !text.is_empty() {
            self.is_mid_line = !text.ends_with('\n');
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if self.part == Part::Content {
            let mut rest = String::new();
            self.markdown.finish(&mut rest);
            self.write(&rest)?;
        }
        if std::mem::take(&mut self.is_mid_line) {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Content through the Markdown renderer, or as it is where styles are off.
    fn write_content(&mut self, text: &str) -> io::Result<()> {
        if !self.styles.are_on() {
            return self.write(text);
        }
        let mut rendered = String::new();
        self.markdown.push(text, &mut rendered);
        self.write(&rendered)
    }
}

impl<W: Write> AnswerView for TerminalView<W> {
    fn prompt_progress(&mut self, done: usize, total: usize) {
        self.waiting.prompt(done, total);
    }

    fn reasoning(&mut self, text: &str) -> io::Result<()> {
        if !self.shows_reasoning {
            self.waiting.hidden("thinking");
            return Ok(());
        }
        let text = clean(text);
        if let Some((newlines, text)) = self.fresh(&text, Part::Reasoning) {
            self.begin(Part::Reasoning)?;
            let body = text.trim_end_matches('\n');
            self.held_newlines = text.len() - body.len();
            let dimmed = self.styles.dim(body);
            self.write(&newlines)?;
            self.write(&dimmed)?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn content(&mut self, text: &str) -> io::Result<()> {
        let text = clean(text);
        if let Some((newlines, text)) = self.fresh(&text, Part::Content) {
            self.begin(Part::Content)?;
            let body = text.trim_end_matches('\n');
            self.held_newlines = text.len() - body.len();
            self.write_content(&newlines)?;
            self.write_content(body)?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn tool_call(&mut self, call: &ToolCall) -> io::Result<()> {
        self.waiting.over();
        self.end_line()?;
        let line = format!("→ {}({})", call.function.name, call.function.arguments);
        let line = self.styles.bold(&clean(&line).replace('\n', " "));
        self.write(&line)?;
        self.write("\n")?;
        self.part = Part::Nothing;
        self.out.flush()
    }

    fn end(&mut self, _summary: Option<&Summary>) -> io::Result<()> {
        self.waiting.over();
        self.end_line()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use ponder_engine::Event;

    use super::*;
    use crate::render::events::tests::ok;
    use crate::render::events::{follow, stopped_summary};

    fn show(styles: bool, shows_reasoning: bool, events: Vec<Event>) -> String {
        let mut out = Vec::new();
        let waiting = Waiting::new(false);
        let mut view = TerminalView::new(&mut out, Styles::new(styles), shows_reasoning, waiting);
        follow(ok(events), &mut view).expect("no error");
        String::from_utf8(out).expect("text stays text")
    }

    fn answer() -> Vec<Event> {
        let (reasoning, content) = (Event::Reasoning, Event::Content);
        vec![
            reasoning("\n".to_owned()),
            reasoning("Hm\n".to_owned()),
            reasoning("m\n\n".to_owned()),
            content("\n\n".to_owned()),
            content("It is **Pa".to_owned()),
            content("ris**\n".to_owned()),
            content("\nyes `x\n".to_owned()),
            Event::Done(stopped_summary()),
        ]
    }

    #[test]
    fn reasoning_is_dim_and_answers_are_rendered() {
        let shown = show(true, true, answer());
        let expected = "\u{1b}[2mHm\u{1b}[0m\n\u{1b}[2mm\u{1b}[0m\n\n\
                        It is \u{1b}[1mParis\u{1b}[0m\n\nyes `x\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn without_styles_parts_have_names_and_markers_stay() {
        let expected = "[thinking]\nHm\nm\n\n[answer]\nIt is **Paris**\n\nyes `x\n";
        assert_eq!(show(false, true, answer()), expected);
    }

    #[test]
    fn hidden_reasoning_leaves_no_trace() {
        let expected = "It is **Paris**\n\nyes `x\n";
        assert_eq!(show(false, false, answer()), expected);
    }

    #[test]
    fn escape_sequences_do_not_pass() {
        let events = vec![
            Event::Reasoning("\u{1b}[2J".to_owned()),
            Event::Content("a\u{1b}]52;c;eA==\u{7}`\u{1b}`".to_owned()),
            Event::Done(stopped_summary()),
        ];
        let shown = show(false, true, events);
        assert_eq!(shown, "[thinking]\n␛[2J\n\n[answer]\na␛]52;c;eA==␇`␛`\n");
    }

    #[test]
    fn empty_answers_print_nothing() {
        assert_eq!(show(true, true, vec![Event::Done(stopped_summary())]), "");
    }
}
