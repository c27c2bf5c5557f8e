//! Reading GGUF versions 2 and 3, and writing version 3.
//!
//! 1. `parse` walks a file's header once: metadata, then the list of tensors.
//! 2. [`Metadata`] answers questions by key. Strings and arrays stay in the mapping; they are
//!    checked while walking and decoded when asked for, so that a vocabulary of a quarter million
//!    tokens costs next to nothing to open.
//! 3. `shards` finds the other files of a model that was split.
//! 4. [`mod@write`] is the way back.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod metadata;
mod parse;
mod shards;
mod tensor_types;
mod value;
pub mod write;

pub use metadata::Metadata;
pub use shards::files;
pub use value::{Array, Strings, Text, Value, ValueKind};

pub(super) use parse::{MAGIC, parse};
pub(super) use shards::{ShardName, open_all, open_first};
