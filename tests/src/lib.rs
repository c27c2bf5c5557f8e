//! What the tests across crates share.
#![forbid(unsafe_code)]

pub mod batching;
pub mod gguf_writer;
pub mod goldens;
pub mod hostile;
pub mod oracle;
pub mod tiny;
