//! Where the lines of a conversation come from.

use std::io::BufRead;

use crate::error::CliError;

/// A source of lines.
pub(super) trait LineSource {
    /// The next line, without its end; `is_continuation` asks for more of the same turn.
    fn next_line(&mut self, is_continuation: bool) -> Result<Line, CliError>;

    /// A complete turn or command was read, so that it can be called back.
    fn remember(&mut self, turn: &str);
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of text.
    Text(String),
    /// Ctrl-C: what was begun is dropped.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// A turn longer than this many bytes is a mistake.
const MAX_LINE: u64 = 64 << 20;

/// Lines of a pipe or a file, without prompts and history.
pub(super) struct PipedLines<R> {
    input: R,
}

impl<R: BufRead> PipedLines<R> {
    /// Lines of `input`.
    pub(super) fn new(input: R) -> Self {
        Self { input }
    }
}

impl<R: BufRead> LineSource for PipedLines<R> {
    fn next_line(&mut self, _is_continuation: bool) -> Result<Line, CliError> {
        let mut line = Vec::new();
        std::io::Read::take(&mut self.input, MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| CliError::failed(format!("cannot read standard input: {error}")))?;
        if line.is_empty() {
            return Ok(Line::End);
        }
        let text = String::from_utf8(line)
            .map_err(|_| CliError::failed("standard input is not UTF-8 text"))?;
        Ok(Line::Text(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    fn remember(&mut self, _turn: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_read_line_by_line() {
        let mut lines = PipedLines::new(&b"a\r\n\nb"[..]);
        let mut next = || lines.next_line(false).expect("readable");
        assert_eq!(next(), Line::Text("a".to_owned()));
        assert_eq!(next(), Line::Text(String::new()));
        assert_eq!(next(), Line::Text("b".to_owned()));
        assert_eq!(next(), Line::End);
        assert!(PipedLines::new(&b"\xff"[..]).next_line(false).is_err());
    }
}
