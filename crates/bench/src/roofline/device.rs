//! What a device of NVIDIA's can do at most.

use ponder_kernels_cuda::{CudaError, Device, probe};
use serde::Serialize;

/// The limits of a device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceLimits {
    /// As `--device` calls it.
    pub device: String,
    /// Bytes that can be read, in 10⁹ a second.
    pub read_gb_s: f64,
    /// Multiplications and additions of 16-bit floats, in 10⁹ a second.
    pub bf16_gflop_s: f64,
    /// What they were multiplied with.
    pub instruction: &'static str,
}

impl DeviceLimits {
    /// Probes the device that has this index and name.
    pub(super) fn probe(index: usize, device: &str) -> Result<Self, CudaError> {
        let limits = probe::Limits::probe(&Device::open(index)?)?;
        Ok(Self {
            device: device.to_owned(),
            read_gb_s: limits.read_gb_s,
            bf16_gflop_s: limits.product_gflop_s,
            instruction: limits.instruction,
        })
    }
}
