//! Lines that are typed: editing, history, completion.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, CompletionType, Config, Context, Editor, Helper};

use super::command;
use super::lines::{Line, LineSource};
use crate::args::EffortLevel;
use crate::error::CliError;

/// What stands before a turn, and before its further lines.
const PROMPT: &str = ">>> ";
const CONTINUATION: &str = "... ";

/// How many turns are remembered.
const MAX_HISTORY: usize = 1000;

/// Lines from rustyline.
pub(super) struct EditorLines {
    editor: Editor<Commands, FileHistory>,
    /// Where the history is kept; `None` keeps none.
    history: Option<PathBuf>,
}

impl EditorLines {
    /// An editor, with the history of earlier conversations if that is wanted.
    pub(super) fn new(with_history: bool) -> Result<Self, CliError> {
        let config = Config::builder()
            .max_history_size(MAX_HISTORY)
            .map_err(unusable)?
            .history_ignore_dups(true)
            .map_err(unusable)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            // Pasted lines stay together instead of being sent one by one.
            .bracketed_paste(true)
            // Prompts go to the terminal also where the answers go to a file.
            .behavior(Behavior::PreferTerm)
            .build();
        let mut editor = Editor::with_config(config).map_err(unusable)?;
        editor.set_helper(Some(Commands));
        let history = history_file().filter(|_| with_history);
        if let Some(path) = &history
            && let Err(error) = editor.load_history(path)
            && path.exists()
        {
            tracing::warn!("cannot read the history {}: {error}", path.display());
        }
        Ok(Self { editor, history })
    }
}

impl LineSource for EditorLines {
    fn next_line(&mut self, is_continuation: bool) -> Result<Line, CliError> {
        let prompt = if is_continuation {
            CONTINUATION
        } else {
            PROMPT
        };
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Line::Text(line)),
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(unusable(error)),
        }
    }

    fn remember(&mut self, turn: &str) {
        // What cannot be remembered is no reason to end a conversation.
        if let Err(error) = self.editor.add_history_entry(turn) {
            tracing::warn!("cannot remember the line: {error}");
        }
        let Some(path) = &self.history else { return };
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .map_err(ReadlineError::from)
            .and_then(|()| self.editor.append_history(path));
        if let Err(error) = written {
            tracing::warn!("cannot write the history {}: {error}", path.display());
        }
    }
}

fn unusable(error: ReadlineError) -> CliError {
    CliError::failed(format!("cannot read from the terminal: {error}"))
}

/// `ponder/history` in the platform's folder for state, or for local data where the
/// platform has no such folder.
fn history_file() -> Option<PathBuf> {
    let dir = dirs::state_dir().or_else(dirs::data_local_dir)?;
    Some(dir.join("ponder").join("history"))
}

/// Completes the names of commands and the levels of `/effort`.
struct Commands;

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&line[..position]))
    }
}

impl Hinter for Commands {
    type Hint = String;
}
impl Highlighter for Commands {}
impl Validator for Commands {}
impl Helper for Commands {}

/// What the text before the cursor may become, and where that begins.
fn candidates(typed: &str) -> (usize, Vec<String>) {
    const EFFORT: &str = "/effort ";
    if let Some(level) = typed.strip_prefix(EFFORT) {
        let levels = EffortLevel::all().map(EffortLevel::name);
        let fitting = levels.filter(|name| name.starts_with(level));
        return (EFFORT.len(), fitting.map(str::to_owned).collect());
    }
    if !typed.starts_with('/') {
        return (typed.len(), Vec::new());
    }
    let fitting = command::names().filter(|name| name.starts_with(typed));
    (0, fitting.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed() {
        assert_eq!(
            candidates("/s"),
            (
                0,
                ["/system", "/save", "/stats"].map(str::to_owned).to_vec()
            )
        );
        assert_eq!(
            candidates("/effort m"),
            (8, ["minimal", "medium", "max"].map(str::to_owned).to_vec())
        );
        assert_eq!(candidates("hello"), (5, Vec::new()));
    }
}
