use thiserror::Error;

/// Why a device could not do its work.
#[derive(Debug, Error)]
pub enum CudaError {
    /// This program was built without kernels for CUDA.
    #[error(
        "this build has no CUDA backend (hint: build with --features cuda, or use --device cpu)"
    )]
    NotBuilt,
    /// The machine has no driver of NVIDIA's.
    #[error(
        "no NVIDIA driver: libcuda was not found (hint: install the driver, or use --device cpu)"
    )]
    NoDriver,
    /// The driver knows no such device.
    #[error("there is no CUDA device {index}, the machine has {count} (hint: count from 0)")]
    NoDevice {
        /// What was asked for.
        index: usize,
        /// Devices of the machine.
        count: usize,
    },
    /// The device is older than every kernel.
    #[error(
        "{name} has compute capability {major}.{minor}, at least 7.5 is needed (hint: use --device cpu)"
    )]
    TooOld {
        /// The device.
        name: String,
        /// Compute capability before the point.
        major: u32,
        /// And behind it.
        minor: u32,
    },
    /// The device's memory is exhausted.
    #[error(
        "the device has {free} of {total} MB free, {wanted} MB more are needed (hint: a smaller --context, a smaller model, or --device cpu)"
    )]
    OutOfMemory {
        /// MB asked for.
        wanted: usize,
        /// MB left.
        free: usize,
        /// MB of the device.
        total: usize,
    },
    /// The driver reported a failure.
    #[error("{operation} failed: {message}")]
    Driver {
        /// What was tried.
        operation: &'static str,
        /// The driver's words.
        message: String,
    },
}
