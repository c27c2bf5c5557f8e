//! What happens to activations between the matrices: norms, rotations, gates, sums.
//!
//! Every function works on one row (or on any slice where lanes do not matter), on the calling
//! thread, with the instruction set that it is given.

mod activation;
mod norm;
mod rope;
mod simple;
#[cfg(test)]
mod tests;

pub use activation::{Activation, gated};
pub use norm::{rms_norm, rms_norm_heads};
pub use rope::{RopePairs, rope};
pub use simple::{add, scale_add, softcap};

pub(crate) use simple::softcapped;
