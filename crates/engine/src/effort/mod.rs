//! From an effort level to what a model is told and what it is held to.
//!
//! 1. [`Profile::detect`] finds what a model's family was trained for (`models/effort/*.toml`).
//! 2. [`Profile::resolve`] puts a level of it and what was asked for beside it together.
//! 3. [`thought_tables`] makes what the controller must know of the vocabulary, once.
//! 4. `prompt.rs` tells the model, and `answer.rs` holds it to its limits.

mod level;
mod profile;
mod tables;

pub use level::{EarlyExit, Effort, EffortOverrides, ResolvedEffort, parse_duration};
pub(crate) use profile::Profile;
pub(crate) use tables::{fragment, thought_tables};
