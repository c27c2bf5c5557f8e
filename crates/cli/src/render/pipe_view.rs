//! Answers for other programs: the content's bytes, or nothing until the JSON.

use std::io::{self, Write};

use ponder_engine::{Summary, ToolCall};

use super::events::AnswerView;
use super::style::Styles;
use super::{Waiting, clean, print_json};

/// Writes the content as it is and one newline at the end.
///
/// Nothing is rendered, replaced or left out, so that a file or the next program gets what
/// the model wrote. Reasoning goes to a second writer, or nowhere.
pub(crate) struct PipeView<O, R> {
    out: O,
    has_content: bool,
    reasoning: Option<ReasoningSink<R>>,
    waiting: Waiting,
}

/// Where reasoning goes beside piped content: standard error.
pub(crate) struct ReasoningSink<R> {
    out: R,
    is_terminal: bool,
    styles: Styles,
    is_open: bool,
}

impl<R: Write> ReasoningSink<R> {
    /// A sink that is safe for a terminal if it is one.
    pub(crate) fn new(out: R, is_terminal: bool, styles: Styles) -> Self {
        Self {
            out,
            is_terminal,
            styles,
            is_open: false,
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.is_open = true;
        let text = match self.is_terminal {
            true => clean(text),
            false => text.into(),
        };
        self.out.write_all(self.styles.dim(&text).as_bytes())?;
        self.out.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_open) {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }
}

impl<O: Write, R: Write> PipeView<O, R> {
    /// Content to `out`, reasoning to `reasoning`.
    pub(crate) fn new(out: O, reasoning: Option<ReasoningSink<R>>, waiting: Waiting) -> Self {
        Self {
            out,
            has_content: false,
            reasoning,
            waiting,
        }
    }

    fn end_reasoning(&mut self) -> io::Result<()> {
        self.reasoning.as_mut().map_or(Ok(()), ReasoningSink::end)
    }
}

impl<O: Write, R: Write> AnswerView for PipeView<O, R> {
    fn prompt_progress(&mut self, done: usize, total: usize) {
        self.waiting.prompt(done, total);
    }

    fn reasoning(&mut self, text: &str) -> io::Result<()> {
        match &mut self.reasoning {
            Some(sink) => {
                self.waiting.over();
                sink.write(text)
            }
            None => {
                self.waiting.hidden("thinking");
                Ok(())
            }
        }
    }

    fn content(&mut self, text: &str) -> io::Result<()> {
        self.waiting.over();
        self.end_reasoning()?;
        self.has_content = true;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn tool_call(&mut self, call: &ToolCall) -> io::Result<()> {
        self.waiting.over();
        self.end_reasoning()?;
        print_json(&mut self.out, call)
    }

    fn end(&mut self, summary: Option<&Summary>) -> io::Result<()> {
        self.waiting.over();
        self.end_reasoning()?;
        // An answer that failed before its first word leaves the output empty.
        if self.has_content || summary.is_some() {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }
}

/// Shows nothing: the caller prints the answer as JSON when it is complete.
pub(crate) struct SilentView {
    waiting: Waiting,
}

impl SilentView {
    /// A view that only keeps the spinner turning.
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self { waiting }
    }
}

impl AnswerView for SilentView {
    fn prompt_progress(&mut self, done: usize, total: usize) {
        self.waiting.prompt(done, total);
    }

    fn reasoning(&mut self, _text: &str) -> io::Result<()> {
        self.waiting.hidden("thinking");
        Ok(())
    }

    fn content(&mut self, _text: &str) -> io::Result<()> {
        self.waiting.hidden("answering");
        Ok(())
    }

    fn tool_call(&mut self, _call: &ToolCall) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _summary: Option<&Summary>) -> io::Result<()> {
        self.waiting.over();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ponder_engine::Event;

    use super::*;
    use crate::render::events::tests::ok;
    use crate::render::events::{follow, stopped_summary};

    const NONE: Option<ReasoningSink<Vec<u8>>> = None;

    fn answer() -> Vec<Event> {
        vec![
            Event::Reasoning("hm".to_owned()),
            Event::Reasoning("m\x07".to_owned()),
            Event::Content("\n# **a**\x1b[1m".to_owned()),
            Event::Content("\r\n b\n".to_owned()),
            Event::Done(stopped_summary()),
        ]
    }

    #[test]
    fn content_is_exactly_what_the_model_wrote() {
        let mut out = Vec::new();
        follow(
            ok(answer()),
            &mut PipeView::new(&mut out, NONE, Waiting::new(false)),
        )
        .expect("no error");
        assert_eq!(out, b"\n# **a**\x1b[1m\r\n b\n\n");
    }

    #[test]
    fn reasoning_goes_elsewhere() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let sink = ReasoningSink::new(&mut err, true, Styles::new(false));
        let mut view = PipeView::new(&mut out, Some(sink), Waiting::new(false));
        follow(ok(answer()), &mut view).expect("no error");
        assert_eq!(err, "hmm␇\n".as_bytes());
        assert!(out.starts_with(b"\n# "));
    }

    #[test]
    fn failures_before_the_first_word_print_nothing() {
        let mut out = Vec::new();
        let failing = [Err::<Event, _>(crate::error::CliError::failed("x"))];
        let result = follow(
            failing.into_iter(),
            &mut PipeView::new(&mut out, NONE, Waiting::new(false)),
        );
        assert!(result.is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn closed_pipes_end_the_stream() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = follow(
            ok(answer()),
            &mut PipeView::new(Closed, NONE, Waiting::new(false)),
        );
        assert_eq!(error.expect_err("closed").exit_code(), 0);
    }
}
