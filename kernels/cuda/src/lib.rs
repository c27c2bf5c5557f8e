//! CUDA kernels over memory of a device: the hot code, without any policy.
//!
//! Nothing here knows a model, a tensor or a file: callers hand over bytes and memory.
//!
//! 1. [`Device`] is where kernels run: a device of NVIDIA's (feature `cuda`), or the processor in
//!    its place (feature `emulated`), which runs the same sources slowly, for tests.
//! 2. [`Memory`] lies on it. Everything that is launched happens in order, on one stream; weights come
//!    meanwhile, from a [`Source`], and whatever uses them waits for them.
//! 3. A [`Graph`] is what was launched, to be replayed; [`Mark`]s tell how long something took.
//! 4. [`linear`] has layers of any kind of weights.
//! 5. [`StepTables`] say what a step works on; [`View`] is a part of the activations.
//! 6. [`elementwise`], [`attention`], [`experts`], [`recurrent`] and [`draw`] are what happens
//!    beside the products with weights.
//! 7. [`probe`] measures what a device can do at most.

// Without a machine to run kernels, what hands them to one has no caller.
#![cfg_attr(not(any(feature = "cuda", feature = "emulated")), allow(dead_code))]

pub mod attention;
mod device;
pub mod draw;
pub mod elementwise;
mod error;
pub mod experts;
pub mod linear;
mod precision;
pub mod probe;
pub mod recurrent;
pub mod step;
#[cfg(all(test, feature = "emulated"))]
mod testing;
mod view;

pub use device::{Arg, Device, Graph, HostMemory, Launch, Mark, Memory, Properties, TensorMap};
pub use error::CudaError;
pub use ponder_kernels_cpu::Source;
pub use precision::Precision;
pub use step::{StepBounds, StepTables};
pub use view::View;
