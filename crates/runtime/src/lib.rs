//! Weights, architecture specs, the one decoder and its backends.
//!
//! 1. [`weights::Checkpoint`] maps a GGUF file or a Hugging Face folder.
//! 2. [`spec::ArchSpec`] says what model it is, from the family files and its metadata.
//! 3. [`quantize::Plan`] writes it as a GGUF file with smaller weights.
//! 4. [`decoder::Decoder`] runs it on a [`backend::Backend`], with its past in a [`cache::Cache`].

// Unsafe code is allowed in one place only: the memory mapping in `weights::source`.
#![deny(unsafe_code)]

pub mod hub;
pub mod weights;

pub mod spec;

pub mod quantize;

pub mod cache;

pub mod backend;

pub mod decoder;
