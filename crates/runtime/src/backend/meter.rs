//! What a device is, and what a model has of it.

use std::fmt::Debug;

use serde::Serialize;

/// A device beside the processor, which any thread may ask while a model runs on it.
pub trait DeviceMeter: Debug + Send + Sync {
    /// What it is.
    fn facts(&self) -> DeviceFacts;
    /// Seconds, by the device's clock, from the beginning of each step to its end, of all steps up to
    /// now. Waits for the end of the last one.
    fn busy_s(&self) -> f64;
    /// Bytes of its memory that the model has at the moment.
    fn allocated_bytes(&self) -> u64;
    /// Bytes of its memory that nobody has at the moment; `None` where it does not say.
    fn free_bytes(&self) -> Option<u64>;
}

/// A device, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceFacts {
    /// Which of the machine's devices.
    pub index: usize,
    /// The driver's name for it.
    pub name: String,
    /// Version of CUDA that the driver speaks.
    pub driver: String,
    /// Generation, as `9.0`.
    pub compute_capability: String,
    /// Streaming multiprocessors.
    pub multiprocessors: usize,
    /// Bytes of memory, in 10⁶.
    pub memory_mb: u64,
    /// The highest clock of the multiprocessors; what it is at a moment the driver does not say.
    pub mhz: Option<u32>,
    /// The highest clock of the memory.
    pub memory_mhz: Option<u32>,
}
