//! An OpenAI-compatible server on top of the engine.
//!
//! 1. [`ServerOptions`] says which models are served, where, and to whom.
//! 2. [`Server::bind`] checks them, loads the first model and takes the port.
//! 3. [`Server::serve`] answers until [`ServerHandle::shut_down`] or a signal says that it is over.
//!    [`run`] does all of this on a runtime of its own.
//!
//! Inside, `app` is the table of paths; `http` is what all of them share (errors, reading bodies,
//! who may ask); `models` holds the engines; `generate` turns an engine's answer into events that
//! a response is made of. The other modules each speak one endpoint's JSON; `page` is what a
//! browser shows at `/`.

#![forbid(unsafe_code)]

mod app;
mod batches;
mod chat;
mod completions;
mod disk;
mod embeddings;
mod error;
mod files;
mod generate;
mod http;
mod ids;
mod limits;
mod listing;
mod metrics;
mod models;
mod options;
mod page;
mod paging;
mod responses;
mod running;
mod sampling;
mod server;
mod tls;
mod tokens;

pub use error::ServeError;
pub use options::{ApiKey, ServerOptions, TlsFiles};
pub use server::{Server, ServerHandle, run};
