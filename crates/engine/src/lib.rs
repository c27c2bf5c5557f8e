//! The embeddable API of ponder.
#![forbid(unsafe_code)]

pub mod vocab;
