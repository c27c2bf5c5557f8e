use thiserror::Error;

/// Why a device could not do its work.
#[derive(Clone, Debug, Error)]
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
    /// The driver lacks a function.
    #[error(
        "the NVIDIA driver, for CUDA {driver}, has no {function} (hint: update it to one for CUDA {needed} or newer, or use --device cpu)"
    )]
    MissingFunction {
        /// As the driver should call it.
        function: &'static str,
        /// Version of CUDA that the driver speaks.
        driver: String,
        /// Version of CUDA that the kernels were compiled with.
        needed: String,
    },
    /// The driver is older than the compiler of the kernels, and does not take them.
    #[error(
        "the NVIDIA driver, for CUDA {driver}, does not load kernels of CUDA {needed}: {message} (hint: update the driver, or use --device cpu)"
    )]
    DriverTooOld {
        /// Version of CUDA that the driver speaks.
        driver: String,
        /// Version of CUDA that the kernels were compiled with.
        needed: String,
        /// The driver's words.
        message: String,
    },
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
    /// The kernels were compiled for other devices.
    #[error(
        "the kernels of this build, for {built}, do not run on {name} with compute capability {major}.{minor}: {message} (hint: build with PONDER_CUDA_ARCHS={major}{minor}, or use --device cpu)"
    )]
    OtherDevices {
        /// Architectures that the kernels were compiled for.
        built: String,
        /// The device.
        name: String,
        /// Compute capability before the point.
        major: u32,
        /// And behind it.
        minor: u32,
        /// The driver's words.
        message: String,
    },
    /// No module has such a kernel for the device.
    #[error("this build has no kernel {kernel} for the device")]
    NoKernel {
        /// Its name.
        kernel: &'static str,
    },
    /// The device's memory is exhausted.
    #[error(
        "the device has {free} of {total} MB free, {wanted} MB more are needed (hint: fewer --gpu-layers, a smaller --cache-tokens or --context, or --device cpu)"
    )]
    OutOfMemory {
        /// MB asked for.
        wanted: usize,
        /// MB left.
        free: usize,
        /// MB of the device.
        total: usize,
    },
    /// Something cannot be part of a graph, or came from another thread while one was captured.
    #[error("{operation} is not possible while a graph is captured")]
    Capturing {
        /// What was tried.
        operation: &'static str,
    },
    /// The driver reported a failure.
    #[error("{operation} failed: {message}")]
    Driver {
        /// What was tried.
        operation: &'static str,
        /// The driver's words.
        message: String,
    },
    /// The device reported a failure that it does not recover from: whatever is tried fails likewise.
    #[error(
        "{operation} failed: {message}; the device is lost to this program (hint: start it again; if that does not help, see nvidia-smi and the system's log)"
    )]
    Lost {
        /// What was tried.
        operation: &'static str,
        /// The driver's words.
        message: String,
    },
}
