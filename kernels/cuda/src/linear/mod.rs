//! Linear layers: `x @ weightsᵀ`, for weights of any encoding, with what follows them fused.
//!
//! 1. [`Matrix::bring`] brings a matrix from a file's bytes to the device, quantized as it was;
//!    [`Matrix::bring_fp8`] one of eight-bit numbers whose scales lie elsewhere.
//! 2. [`Rows`] are activations, or others that are [normalized](Rows::normalize) where they are read;
//!    beside them lies what they were rounded to, for as long as they do not change.
//! 3. [`Linear::multiply`] computes several products of the same input, each replacing its output or
//!    added to it; [`Linear::multiply_gated`] computes `activation(x @ gateᵀ) * (x @ upᵀ)`;
//!    [`Linear::embed`] looks rows of a table up; [`Linear::multiply_by_expert`] multiplies each row
//!    with the matrices of those experts that it chose.
//!
//! What [`Precision::Fast`](crate::Precision::Fast) does, by rows of activations:
//!
//! | weights | up to 8 | more |
//! |---|---|---|
//! | in blocks | activations rounded to eight bits, sums of whole numbers | both rounded to bfloat16, on tensor cores |
//! | bfloat16 | activations as they are | activations rounded to bfloat16, on tensor cores |
//! | float16 | activations as they are | likewise, weights as the sum of two bfloat16 |
//! | FP8 (E4M3) | activations as they are | likewise, codes as bfloat16, sums of 128 values multiplied by their scale |
//! | float32, and formats of blocks without a kernel, which are widened to it | activations as they are | activations as they are |
//!
//! Where the machine has NVIDIA's library cuBLASLt, products of many rows with weights in bfloat16 are
//! timed with it and with the kernel here, once for each shape, and the faster one is kept. Which that is
//! may be another one the next time that a program runs, and with it the last bits of what comes out;
//! `PONDER_CUBLAS=0` leaves the library out.
//!
//! Where tensor cores multiply FP8 for single warps (compute capabilities 8.9 and 12.x), many rows are
//! rounded to it for weights in FP8, with a scale for each 128 values; where they multiply MXFP4 (12.x), to
//! MXFP8 for weights in that, with a power of two for each 32.
//! Tensor cores before Ampere do not have bfloat16: what is rounded to it elsewhere is rounded to float16
//! there, activations with a power of two for each row, because that type has not their range.
//! Those of compute capability 9.0 multiply many rows by warpgroups, to the same sums; FP8, too, with
//! activations rounded to it.
//!
//! For up to 8 rows, and with [`Precision::Exact`](crate::Precision::Exact) for any number, every sum
//! is taken in an order that depends on the weights alone: a row's result is the same whatever else is
//! computed beside it. For experts the rows that count are those that each has on the average.

mod chip;
mod contest;
mod encoding;
mod experts;
mod group;
mod hopper;
mod launch;
mod matrix;
mod multiply;
mod names;
mod pieces;
mod planes;
mod rows;
mod split;
#[cfg(all(test, feature = "emulated"))]
mod tests;

pub use encoding::Encoding;
pub use matrix::Matrix;
pub use multiply::{Linear, Output, Product, Projection};
pub use ponder_kernels_cpu::{GroupScales, elementwise::Activation};
pub use rows::Rows;

/// Values of a row of FP8 that share a scale.
pub const GROUP: usize = 128;

/// Values of a unit: those that share a scale of activations, and the least that a row of weights is
/// filled up to.
const UNIT: usize = 32;
