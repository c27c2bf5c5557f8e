//! What reports of measurements have in common, whatever was measured.
//!
//! 1. A [`Table`] is what people read, in a terminal or as Markdown.
//! 2. [`percentile`] gives values that occurred.
//! 3. [`mix`] and [`Random`] are chance that follows from a seed.
//! 4. [`picture`] has the colours, labels and frame of plots.

#![forbid(unsafe_code)]

pub mod picture;
mod random;
mod rank;
mod table;

pub use random::{Random, mix};
pub use rank::percentile;
pub use table::{Column, Table};
