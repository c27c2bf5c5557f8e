//! A model of any format as a GGUF file with smaller weights.
//!
//! 1. [`Plan::new`] takes a [`Checkpoint`] and says what the file will hold: the metadata, and for
//!    each tensor its name, its type ([`TargetType`]) and where its values come from. Everything
//!    that can be refused is refused here, before a weight is read: architectures that GGUF has no
//!    convention for, facts that its metadata cannot say, tensors that nobody knows.
//! 2. [`Plan::write`] encodes the tensors a few rows at a time, in parallel, and writes them as
//!    they come: memory holds some megabytes of the model, whatever its size.
//!
//! The vocabulary is not this crate's: its metadata are handed over as they are to be written.

mod check;
mod encode;
mod error;
mod metadata;
mod plan;
mod target;
mod tensors;
#[cfg(test)]
mod tests;

pub use error::QuantizeError;
pub use plan::{Plan, Written};
pub use target::TargetType;

#[cfg(doc)]
use crate::weights::Checkpoint;
