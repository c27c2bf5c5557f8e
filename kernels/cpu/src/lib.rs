//! CPU kernels over plain slices: the hot code, without any policy.
//!
//! Nothing here knows a model, a tensor or a file: callers hand over bytes and get numbers.
//!
//! 1. [`BlockFormat`] names a block-quantized layout and its sizes.
//! 2. [`dequantize`] turns whole blocks of it into `f32`, bit for bit as the format defines.
//! 3. [`f16_to_f32`], [`bf16_to_f32`] and their relatives convert plain little-endian values.
//! 4. [`Isa`] is the instruction set that this machine is used with, chosen once at run time.
//! 5. [`Threads`] runs the parts of an operation on several cores.
//! 6. [`HugeBytes`] is memory for caches, an [`Arena`] that for weights, a [`Source`] what they are
//!    made from.
//! 7. [`elementwise`] is what happens between matrices: norms, rotations, gates, sums.
//! 8. [`attention`] is softmax attention over a paged cache.
//! 9. [`FloatMatrix`] multiplies with weights that are plain numbers; [`Bf16Rows`] are activations
//!    rounded to the type of theirs, where a processor multiplies that.
//! 10. [`Encoder`] writes blocks of the formats that models are quantized to.
//! 11. [`Int8Matrix`] and [`Int8Rows`] multiply quantized weights with rounded activations.
//! 12. [`linear`] has layers of any kind of weights, on several threads.
//! 13. [`draw`] says how a token is drawn from logits that lie on a device, [`GroupScales`] what weights
//!     of eight bits are multiplied by there.
//!
//! Everything in `scalar` is portable Rust, written so that the compiler can vectorize it; the
//! twins for an instruction set are compared with it.

pub mod attention;
pub mod draw;
pub mod elementwise;
mod float;
mod format;
mod int8;
mod isa;
pub mod linear;
mod memory;
mod quantize;
mod scalar;
mod scales;
mod simd;
mod threads;

pub use float::{Bf16Rows, FloatFormat, FloatMatrix};
pub use format::BlockFormat;
pub use int8::{Int8Matrix, Int8Rows};
pub use isa::Isa;
pub use memory::{Arena, HugeBytes, Source};
pub use quantize::{Encoder, f32_to_bf16, f32_to_f16};
pub use scalar::{bf16_to_f32, dequantize, f16_to_f32, f32_from_le_bytes};
pub use scales::GroupScales;
pub use threads::Threads;
