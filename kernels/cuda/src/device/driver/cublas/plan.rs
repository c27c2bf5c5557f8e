//! [`Plan`]: how products of a shape are computed.

use std::ffi::c_int;
use std::ptr;

use super::api::{Algorithm, Api, Proposal};
use super::check;
use crate::CudaError;
use crate::device::driver::api::Handle;

/// Types of numbers, as NVIDIA counts them.
const F32: c_int = 0;
const BF16: c_int = 14;
/// Sums in float32.
const SUMS_OF_F32: c_int = 68;

/// What a product is, beside its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Rows of activations, rows of weights, and how long both are.
    pub(super) sizes: [usize; 3],
    pub(super) has_bias: bool,
}

/// How the library is told what to compute, and the way of doing so that it proposed.
pub(super) struct Plan {
    operation: Described,
    weights: Described,
    x: Described,
    out: Described,
    algorithm: Algorithm,
    has_bias: bool,
}

/// A description that the library gave, to be handed back to it.
struct Described {
    handle: Handle,
    destroy: unsafe extern "system" fn(Handle) -> c_int,
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle; nothing can be done about a failure.
        unsafe { (self.destroy)(self.handle) };
    }
}

impl Plan {
    /// Asks the library how it would compute this.
    pub(super) fn new(
        api: &'static Api,
        library: Handle,
        shape: Shape,
        bias: u64,
        workspace: usize,
    ) -> Result<Self, CudaError> {
        let [n, n_rows, width] = shape.sizes;
        let mut plan = Self {
            operation: operation(api, shape.has_bias)?,
            weights: layout(api, BF16, width, n_rows)?,
            x: layout(api, BF16, width, n)?,
            out: layout(api, F32, n_rows, n)?,
            algorithm: Algorithm::default(),
            has_bias: shape.has_bias,
        };
        // How it is aligned matters.
        plan.set_bias(api, bias)?;
        plan.algorithm = plan.propose(api, library, workspace)?;
        Ok(plan)
    }

    /// What is added to each column, where the plan is one with a bias.
    pub(super) fn set_bias(&self, api: &Api, bias: u64) -> Result<(), CudaError> {
        const BIAS: c_int = 8;
        match self.has_bias {
            true => set(api.set_operation, &self.operation, BIAS, &bias),
            false => Ok(()),
        }
    }

    fn propose(
        &self,
        api: &'static Api,
        library: Handle,
        workspace: usize,
    ) -> Result<Algorithm, CudaError> {
        const MAX_WORKSPACE: c_int = 1;
        const OPERATION: &str = "planning a product with cuBLASLt";
        let preference = described(api.destroy_preference, |to| {
            // SAFETY: it writes a handle.
            unsafe { (api.create_preference)(to) }
        })?;
        set(
            api.set_preference,
            &preference,
            MAX_WORKSPACE,
            &(workspace as u64),
        )?;
        let (mut proposal, mut count) = (Proposal::default(), 0);
        // SAFETY: handles are the library's; it writes one proposal at most, and their number.
        let code = unsafe {
            (api.propose)(
                library,
                self.operation(),
                self.weights(),
                self.x(),
                self.out(),
                self.out(),
                preference.handle,
                1,
                &raw mut proposal,
                &raw mut count,
            )
        };
        check(code, OPERATION)?;
        check(proposal.state, OPERATION)?;
        if count < 1 || proposal.workspace > workspace {
            return Err(CudaError::Driver {
                operation: OPERATION,
                message: "it knows no way".to_owned(),
            });
        }
        Ok(proposal.algorithm)
    }

    pub(super) fn operation(&self) -> Handle {
        self.operation.handle
    }

    pub(super) fn weights(&self) -> Handle {
        self.weights.handle
    }

    pub(super) fn x(&self) -> Handle {
        self.x.handle
    }

    pub(super) fn out(&self) -> Handle {
        self.out.handle
    }

    pub(super) fn algorithm(&self) -> &Algorithm {
        &self.algorithm
    }
}

/// `weightsᵀ @ x`, as the library sees them, with or without a bias.
fn operation(api: &'static Api, has_bias: bool) -> Result<Described, CudaError> {
    const TRANSPOSES_FIRST: c_int = 3;
    const EPILOGUE: c_int = 7;
    const TYPE_OF_BIAS: c_int = 26;
    const TRANSPOSED: c_int = 1;
    const ADDS_BIAS: c_int = 4;
    let operation = described(api.destroy_operation, |to| {
        // SAFETY: it writes a handle.
        unsafe { (api.create_operation)(to, SUMS_OF_F32, F32) }
    })?;
    let set = |attribute, value| set(api.set_operation, &operation, attribute, value);
    set(TRANSPOSES_FIRST, &TRANSPOSED)?;
    if has_bias {
        set(EPILOGUE, &ADDS_BIAS)?;
        set(TYPE_OF_BIAS, &F32)?;
    }
    Ok(operation)
}

/// A matrix whose columns follow each other.
fn layout(
    api: &'static Api,
    numbers: c_int,
    n_rows: usize,
    n_columns: usize,
) -> Result<Described, CudaError> {
    described(api.destroy_layout, |to| {
        // SAFETY: it writes a handle.
        unsafe { (api.create_layout)(to, numbers, n_rows as u64, n_columns as u64, n_rows as i64) }
    })
}

fn described(
    destroy: unsafe extern "system" fn(Handle) -> c_int,
    create: impl FnOnce(*mut Handle) -> c_int,
) -> Result<Described, CudaError> {
    let mut handle = ptr::null_mut();
    check(create(&raw mut handle), "describing a product to cuBLASLt")?;
    Ok(Described { handle, destroy })
}

type Setter = unsafe extern "system" fn(Handle, c_int, *const std::ffi::c_void, usize) -> c_int;

fn set<T: Copy>(
    setter: Setter,
    of: &Described,
    attribute: c_int,
    value: &T,
) -> Result<(), CudaError> {
    // SAFETY: it reads a value of the attribute's size, which is the value's.
    let code = unsafe {
        setter(
            of.handle,
            attribute,
            ptr::from_ref(value).cast(),
            size_of::<T>(),
        )
    };
    check(code, "describing a product to cuBLASLt")
}
