//! Everything that can keep a measurement from being made.

use std::path::PathBuf;

use ponder_engine::EngineError;
use thiserror::Error;

/// Why nothing was measured.
#[derive(Debug, Error)]
#[allow(missing_docs)] // Each message says it.
pub enum BenchError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "a prompt of {wanted} tokens cannot be made: what the template writes takes {least} (hint: measure prompts of at least {least} tokens)"
    )]
    PromptTooShort { wanted: usize, least: usize },
    #[error("{url}: {problem} (hint: {hint})")]
    Endpoint {
        url: String,
        problem: String,
        hint: &'static str,
    },
    #[error("{n} {what} are too many (hint: ask for {most} at most)")]
    TooMuch {
        what: &'static str,
        n: usize,
        most: usize,
    },
    #[error(
        "there is nothing to measure (hint: every list needs an entry, and every number must be at least 1)"
    )]
    Nothing,
    #[error(
        "requests cannot arrive that seldom, or that often (hint: from 0.001 to a million in a second)"
    )]
    Rate,
    #[error(
        "{wanted} tokens, prompt and answer together, do not fit into the context of {context} (hint: measure shorter prompts, less depth, or load with a larger --context)"
    )]
    PromptTooLong { wanted: usize, context: usize },
    #[error("a process of its own could not be measured: {0}")]
    Child(String),
    #[error("`{}`: {message}", path.display())]
    File { path: PathBuf, message: String },
    #[error(
        "`{}` is no report of `ponder bench --json`: {problem} (hint: name two files that it has written)",
        path.display()
    )]
    NoReport { path: PathBuf, problem: String },
    #[error("`{command}`: {problem} (hint: it should print what `llama-bench -o json` does)")]
    Peer { command: String, problem: String },
    #[error("the threads that probe the machine could not be started: {0}")]
    Probe(std::io::Error),
    #[error("what the device can do at most was not measured: {0}")]
    DeviceProbe(String),
    #[error(
        "{device} failed, and the model went on without it (hint: what was measured by then was kept; --device {device} ends where the device does)"
    )]
    DeviceLost { device: String },
    #[error("the plot could not be drawn: {0}")]
    Plot(String),
}
