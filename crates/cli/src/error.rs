//! How a command ends: the exit codes and the `error:` and `hint:` lines.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use ponder_bench::BenchError;
use ponder_engine::EngineError;
use ponder_eval::EvalError;
use ponder_server::ServeError;

use crate::render::{clean, style::Styles};

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done,
    /// Ctrl-C ended the answer; what there was has been printed.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Interrupted => Self::from(INTERRUPTED),
        }
    }
}

/// Exit code of a program that Ctrl-C ended, as shells know it (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// Something outside went wrong: a file, the terminal, a missing feature.
    #[error("{message}")]
    Failed {
        message: String,
        hint: Option<String>,
    },
    /// The engine says why.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An evaluation could not be made.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A measurement could not be made.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A server could not start or go on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Standard output or the terminal could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// Wrong usage, with what to do instead.
    pub(crate) fn usage(message: impl Display, hint: impl Display) -> Self {
        Self::Usage {
            message: message.to_string(),
            hint: Some(hint.to_string()),
        }
    }

    /// A failure without a better advice than its own text.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self::Failed {
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same failure with what to do next.
    pub(crate) fn with_hint(self, text: impl Display) -> Self {
        let hint = Some(text.to_string());
        match self {
            Self::Usage { message, .. } => Self::Usage { message, hint },
            other => Self::Failed {
                message: other.to_string(),
                hint,
            },
        }
    }

    /// The exit code: 2 for wrong usage, 0 where the reader of a pipe had enough, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            // Only values from the command line can be out of range.
            Self::Engine(EngineError::Sampling(_))
            | Self::Bench(
                BenchError::Engine(EngineError::Sampling(_))
                | BenchError::TooMuch { .. }
                | BenchError::Nothing
                | BenchError::Rate,
            )
            | Self::Serve(
                ServeError::Open { .. }
                | ServeError::Key
                | ServeError::Origin(_)
                | ServeError::NoModel
                | ServeError::SameModel(_),
            )
            | Self::Eval(EvalError::Answer {
                source: EngineError::Sampling(_),
                ..
            }) => 2,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// What is wrong and what to do next, each one line.
    fn lines(&self) -> (String, Option<String>) {
        let text = one_line(&self.to_string());
        match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => {
                (text, hint.as_deref().map(one_line))
            }
            Self::Engine(_) | Self::Eval(_) | Self::Bench(_) | Self::Serve(_) | Self::Output(_) => {
                split_hint(&text)
            }
        }
    }

    /// Prints the error to standard error, quietly nothing for a closed pipe.
    pub(crate) fn report(&self, styles: Styles) {
        if self.exit_code() == 0 {
            return;
        }
        let (message, hint) = self.lines();
        let mut text = format!("{} {message}\n", styles.error("error:"));
        if let Some(hint) = hint {
            text += &format!("{} {hint}\n", styles.hint("hint:"));
        }
        // There is nowhere left to complain to when standard error is closed as well.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// One printable line: names out of a hostile file may be part of an error.
fn one_line(text: &str) -> String {
    let joined = text.lines().map(str::trim_end).collect::<Vec<_>>();
    clean(&joined.join(" ")).into_owned()
}

/// Splits an engine's message at its hint: `what; hint: how` or `what (hint: how)`.
fn split_hint(text: &str) -> (String, Option<String>) {
    let Some((message, hint)) = text.split_once("hint:") else {
        return (text.to_owned(), None);
    };
    let message = message.trim_end();
    let (message, hint) = match (message.strip_suffix('('), hint.strip_suffix(')')) {
        (Some(message), Some(hint)) => (message, hint),
        _ => (message, hint),
    };
    let message = message.trim_end_matches([' ', ';', ',', '.']);
    (message.to_owned(), Some(hint.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_apart() {
        let (message, hint) = split_hint("no file `x.gguf`; hint: look at `ponder list`");
        assert_eq!(message, "no file `x.gguf`");
        assert_eq!(hint.as_deref(), Some("look at `ponder list`"));
        let (message, hint) = split_hint("too long (hint: use f(x))");
        assert_eq!(message, "too long");
        assert_eq!(hint.as_deref(), Some("use f(x)"));
        assert_eq!(split_hint("plain"), ("plain".to_owned(), None));
    }

    #[test]
    fn errors_are_one_clean_line() {
        assert_eq!(one_line("bad\n name\u{1b}[2J"), "bad  name␛[2J");
    }

    #[test]
    fn closed_pipes_are_no_failure() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(CliError::from(broken).exit_code(), 0);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(CliError::from(full).exit_code(), 1);
        assert_eq!(CliError::usage("a", "b").exit_code(), 2);
        assert_eq!(CliError::failed("a").with_hint("b").exit_code(), 1);
    }
}
