//! Linear layers: `x @ weightsᵀ`, for weights of any kind, with what follows them fused.
//!
//! 1. [`Matrix::pack`] takes a matrix over from a file's bytes into the layout that its kernel
//!    reads.
//! 2. A [`Team`] has the threads and their working memory.
//! 3. [`Team::multiply`] computes several products of the same input at once (queries, keys and
//!    values), each replacing its output or added to it (the residual stream);
//!    [`Team::multiply_gated`] computes `activation(x @ gateᵀ) * (x @ upᵀ)` without ever writing
//!    the two products to memory.

mod matrix;
mod plain;
mod team;
#[cfg(test)]
mod tests;

pub use matrix::{Encoding, Matrix, Rounding};
pub use team::{Input, Output, Product, Team};
