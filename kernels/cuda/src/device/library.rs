//! Products by the vendor's library, where the machine has it.

use std::fmt::Debug;

use super::{Device, Memory};
use crate::CudaError;

/// Bytes that the library may use while it multiplies: what NVIDIA advises for its newer devices.
const WORKSPACE: usize = 32 << 20;

/// The library, on a device.
#[derive(Debug)]
pub(crate) struct Library {
    device: Device,
    multiplier: Box<dyn Multiplier>,
    workspace: Memory,
}

/// A product of matrices: `out = x @ weightsᵀ + bias`, all row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainProduct<'a> {
    /// Rows of activations, rows of weights, and how long both are.
    pub(crate) shape: [usize; 3],
    /// bfloat16.
    pub(crate) weights: &'a Memory,
    /// bfloat16.
    pub(crate) x: &'a Memory,
    /// `[weights' rows]` of float32.
    pub(crate) bias: Option<&'a Memory>,
    /// `[x's rows, weights' rows]` of float32.
    pub(crate) out: &'a Memory,
    /// Whether the product is added to what is there.
    pub(crate) adds: bool,
}

/// What a machine has that multiplies. Addresses are of memory that is large enough.
pub(crate) trait Multiplier: Debug + Send + Sync {
    /// A [`PlainProduct`]: operands are weights, activations, bias (or 0) and output; the workspace
    /// is so many bytes from an address on.
    fn multiply(
        &self,
        shape: [usize; 3],
        operands: [u64; 4],
        adds: bool,
        workspace: (u64, usize),
    ) -> Result<(), CudaError>;
}

impl Device {
    /// The vendor's library, with the memory that it needs; `None` where there is none, or it cannot
    /// be used. Only what is not captured can use it.
    pub(crate) fn library(&self) -> Option<Library> {
        Library::of(self, self.machine.multiplier()?).ok()
    }

    /// Says that [`library`](Self::library) will be asked for: it is looked for meanwhile.
    pub(crate) fn expect_library(&self) {
        self.machine.expect_multiplier();
    }
}

impl Library {
    /// As [`Device::library`], with what multiplies.
    pub(crate) fn of(device: &Device, multiplier: Box<dyn Multiplier>) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            multiplier,
            workspace: device.alloc(WORKSPACE)?,
        })
    }

    /// Multiplies, in order with what else is launched.
    ///
    /// # Errors
    /// Where the library has no way of computing this, of the driver, and while a graph is captured.
    ///
    /// # Panics
    /// If a memory is too small.
    pub(crate) fn multiply(&self, product: &PlainProduct<'_>) -> Result<(), CudaError> {
        self.device.capture.must_be_off("a product of cuBLASLt")?;
        let used = [product.weights, product.x, product.out];
        self.device.wait_for(used.into_iter().chain(product.bias))?;
        let [n, n_rows, width] = product.shape;
        let bias = product.bias.map(|bias| bias.range(0, n_rows * 4));
        let operands = [
            product.weights.range(0, n_rows * width * 2),
            product.x.range(0, n * width * 2),
            bias.unwrap_or(0),
            product.out.range(0, n * n_rows * 4),
        ];
        let workspace = (self.workspace.range(0, WORKSPACE), WORKSPACE);
        self.multiplier
            .multiply(product.shape, operands, product.adds, workspace)
    }
}
