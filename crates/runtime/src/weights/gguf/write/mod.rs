//! Writing GGUF version 3.
//!
//! 1. Metadata are pairs of key and [`Value`](super::Value): from a file that was read, or made
//!    with `Value::from`.
//! 2. [`TensorInfo`] lists the tensors; [`header()`] turns both into the bytes that a file begins
//!    with, and says where each tensor goes.
//! 3. [`FileWriter`] writes the file: the header at once, then the tensors in order, a piece at a
//!    time. No more than a piece is in memory, and a file under the wanted name is always whole.

mod file;
mod header;
mod make;
#[cfg(test)]
mod tests;

pub use file::FileWriter;
pub use header::{Header, TensorInfo, header};
