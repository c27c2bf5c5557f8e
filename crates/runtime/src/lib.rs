//! Weights, architecture specs, the one decoder and its backends.
// Unsafe code is allowed in one place only: the memory mapping in `weights::source`.
#![deny(unsafe_code)]

pub mod hub;
pub mod weights;
