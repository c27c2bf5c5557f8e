//! The embeddable API of ponder.
#![forbid(unsafe_code)]

mod vocab;

pub use vocab::gguf_vocab;
