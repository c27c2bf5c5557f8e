//! Why a server cannot start or go on.

use std::path::PathBuf;

use ponder_engine::EngineError;
use thiserror::Error;

/// Everything that can be wrong before the first request.
#[derive(Debug, Error)]
#[allow(missing_docs)] // Each message says it.
pub enum ServeError {
    #[error("there is no model to serve (hint: name one with -m)")]
    NoModel,
    #[error("the model `{0}` is named twice (hint: name each model once)")]
    SameModel(String),
    #[error(transparent)]
    Model(#[from] EngineError),
    #[error("{name}: {message}")]
    Load { name: String, message: String },
    #[error(
        "{host} can be reached from other machines, and there is no API key (hint: give one with --api-key-file or PONDER_API_KEY, or listen on 127.0.0.1)"
    )]
    Open { host: String },
    #[error("an API key is empty or holds spaces (hint: a key is printable ASCII without spaces)")]
    Key,
    #[error("`{0}` is no origin (hint: write it like https://example.com)")]
    Origin(String),
    #[error("cannot listen on {host} port {port}: {source} (hint: --port 0 takes a free one)")]
    Bind {
        host: String,
        port: u16,
        source: std::io::Error,
    },
    #[error("{}: {message} (hint: both files are PEM)", path.display())]
    Tls { path: PathBuf, message: String },
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}
