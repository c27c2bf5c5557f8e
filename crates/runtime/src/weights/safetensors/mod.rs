//! Reading safetensors files and the folders that hold them.
//!
//! The header's rules are those of the crate `safetensors`; what is added here is that a header
//! cannot make the program allocate out of proportion, and errors that name the file.

mod fp8;
mod header;
mod shards;

pub(crate) use fp8::fp8_block;
pub(super) use fp8::join;
pub(super) use shards::{find, open_files};
