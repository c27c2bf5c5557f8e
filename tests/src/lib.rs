//! What the tests across crates share.
#![forbid(unsafe_code)]

pub mod batching;
pub mod gguf_writer;
pub mod goldens;
pub mod hostile;
pub mod oracle;
pub mod tiny;

use std::path::PathBuf;

/// The folder of this crate: where cargo says that it is, else where it was when this was compiled, so
/// that tests can be taken to another machine.
pub fn root() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR");
    now.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}
