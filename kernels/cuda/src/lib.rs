//! CUDA kernels over memory of a device: the hot code, without any policy.
//!
//! Nothing here knows a model, a tensor or a file: callers hand over bytes and memory.
//!
//! 1. [`Device`] is where kernels run: a device of NVIDIA's (feature `cuda`), or the processor in
//!    its place (feature `emulated`), which runs the same sources slowly, for tests.
//! 2. [`Memory`] lies on it. Everything that is launched happens in order, on one stream.
//! 3. A [`Graph`] is what was launched, to be replayed; [`Mark`]s tell how long something took.

mod device;
mod error;

pub use device::{Arg, Device, Graph, Launch, Mark, Memory, Properties};
pub use error::CudaError;
