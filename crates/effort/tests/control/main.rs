//! The reasoning controller on streams of token ids, without any model.
//!
//! 1. [`support`]: a small vocabulary, and a text that knows where it stands.
//! 2. [`streams`]: what holds for every stream.
//! 3. [`models`]: models that misbehave in one way each.

mod models;
mod streams;
mod support;
