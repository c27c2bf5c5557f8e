//! The threads that kernels share: fork and join in about a microsecond, without locks and
//! without allocation.
//!
//! 1. [`Threads::new`] starts the workers.
//! 2. [`Threads::run`] calls a closure once for every task, on all threads, and returns when all
//!    tasks are done. The thread that calls it works too.
//!
//! Tasks are dealt out in equal contiguous parts; a thread that is done with its own part takes
//! what is left of the others'. A worker without work spins for a moment (the next operation of a
//! forward pass follows within microseconds), then parks, so that a second process on the machine
//! gets the core.

mod shared_slice;
mod team;

pub use team::Threads;

pub(crate) use shared_slice::SharedSlice;

#[cfg(test)]
mod tests;
