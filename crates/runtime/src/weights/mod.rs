//! A model's weights: mapped into memory, never read twice, never copied.
//!
//! 1. [`Checkpoint::open`] finds and maps the files of a model and checks everything that their
//!    headers say against what is there.
//! 2. [`Checkpoint::gguf`] or [`Checkpoint::config`] say what the model is.
//! 3. [`Checkpoint::tensor`] gives a [`MappedTensor`], a cheap handle with the shape outermost
//!    first; [`MappedTensor::read_rows`] turns rows of it into `f32`.
//!
//! No number in a file is trusted: opening allocates no more than the size of the headers plus a
//! constant (tables of at most 65,536 GGUF keys and tensors), and errors say which file, which
//! place in it, what was expected, what was found, and what to do.

mod checkpoint;
mod convert;
mod error;
mod folder;
pub mod gguf;
mod json;
mod safetensors;
mod scales;
mod source;
mod table;
mod tensor;

pub use checkpoint::{Checkpoint, Format};
pub use error::{Fault, WeightsError};
pub use json::float;
pub(crate) use safetensors::fp8_block;
pub use source::Memory;
pub use tensor::{MappedTensor, TensorType};
