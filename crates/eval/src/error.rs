//! Everything that can go wrong between a task and its report.

use std::path::{Path, PathBuf};

use ponder_engine::EngineError;
use thiserror::Error;

/// Why an evaluation could not be made.
#[derive(Debug, Error)]
#[allow(missing_docs)] // Each message says it.
pub enum EvalError {
    #[error("`{}`: {message}", path.display())]
    File { path: PathBuf, message: String },
    #[error(
        "`{}` line {line}: {problem} (hint: a line is {{\"question\": …, \"answer\": …}}, and may have \"kind\": number, choice, exact, json or boxed, \"task\" and \"system\")",
        path.display()
    )]
    Line {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    #[error("`{}` has no questions (hint: one JSON object per line, {{\"question\": …, \"answer\": …}})", .0.display())]
    NoQuestions(PathBuf),
    #[error(
        "`{}` is no log of `ponder eval`: {problem} (hint: name a file that does not exist yet, or the log of the same run)",
        path.display()
    )]
    NoLog { path: PathBuf, problem: String },
    #[error(
        "`{}` belongs to another run: its {field} is {theirs}, and here it is {ours} (hint: name another file, or give the settings of that run)",
        path.display()
    )]
    OtherRun {
        path: PathBuf,
        field: String,
        theirs: String,
        ours: String,
    },
    #[error("`{}` is in use by another `ponder eval` (hint: wait for it, or name another file)", .0.display())]
    Busy(PathBuf),
    #[error(transparent)]
    Model(EngineError),
    #[error("question {number}: {source}")]
    Answer { number: usize, source: EngineError },
    #[error("the plot could not be drawn: {0}")]
    Plot(String),
}

impl EvalError {
    /// What the operating system says about a file.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}
