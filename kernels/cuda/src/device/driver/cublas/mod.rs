//! [`Cublas`]: products by NVIDIA's library, where the machine has it.
//!
//! The library counts rows and columns the other way round: a matrix that lies row by row is to it the
//! transposed one, column by column. So `out = x @ weightsᵀ` is `outᵀ = weights @ xᵀ` there, where
//! `weights` has to be transposed, and `xᵀ` and `outᵀ` are as they lie.

mod api;
mod plan;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::c_int;
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;

use super::api::Handle;
use super::context::Context;
use crate::CudaError;
use crate::device::library::Multiplier;
use api::Api;
use plan::{Plan, Shape};

/// Shapes whose plans are kept: those of a model's matrices, for a few lengths of prompts.
const MAX_PLANS: usize = 64;

/// The library on a device; `None` where there is none, or it does not start.
pub(super) fn multiplier(
    context: &Arc<Context>,
    driver_version: u32,
) -> Option<Box<dyn Multiplier>> {
    let cublas = Cublas::new(Api::get(driver_version)?, context).ok()?;
    Some(Box::new(cublas))
}

/// Loads the library on a thread of its own, once: it is large.
pub(super) fn expect(driver_version: u32) {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // Where there can be no thread, who needs the library waits for it.
        let name = thread::Builder::new().name("cublas".to_owned());
        drop(name.spawn(move || Api::get(driver_version).is_some()));
    });
}

/// The library, for a device's stream.
struct Cublas {
    api: &'static Api,
    context: Arc<Context>,
    handle: Handle,
    plans: Mutex<HashMap<Shape, Plan>>,
}

// SAFETY: handles are numbers to the library, whose functions may be called by any thread; plans are
// used by one at a time.
unsafe impl Send for Cublas {}
// SAFETY: see above.
unsafe impl Sync for Cublas {}

impl Cublas {
    fn new(api: &'static Api, context: &Arc<Context>) -> Result<Self, CudaError> {
        context.enter()?;
        let mut handle = ptr::null_mut();
        // SAFETY: it writes a handle.
        let code = unsafe { (api.create)(&raw mut handle) };
        check(code, "starting cuBLASLt")?;
        Ok(Self {
            api,
            context: context.clone(),
            handle,
            plans: Mutex::default(),
        })
    }
}

impl Multiplier for Cublas {
    fn multiply(
        &self,
        [n, n_rows, width]: [usize; 3],
        [weights, x, bias, out]: [u64; 4],
        adds: bool,
        workspace: (u64, usize),
    ) -> Result<(), CudaError> {
        self.context.enter()?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = Shape {
            sizes: [n, n_rows, width],
            has_bias: bias != 0,
        };
        if !plans.contains_key(&shape) {
            if plans.len() == MAX_PLANS {
                plans.clear();
            }
            plans.insert(
                shape,
                Plan::new(self.api, self.handle, shape, bias, workspace.1)?,
            );
        }
        let plan = &plans[&shape];
        plan.set_bias(self.api, bias)?;
        let (one, sum) = (1.0, if adds { 1.0 } else { 0.0 });
        // SAFETY: handles are those of the plan, which was made for these sizes; the caller answers for
        // the memory. The two factors are read before the call returns.
        let code = unsafe {
            (self.api.multiply)(
                self.handle,
                plan.operation(),
                &raw const one,
                weights,
                plan.weights(),
                x,
                plan.x(),
                &raw const sum,
                out,
                plan.out(),
                out,
                plan.out(),
                plan.algorithm(),
                workspace.0,
                workspace.1,
                self.context.stream,
            )
        };
        check(code, "multiplying with cuBLASLt")
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        let plans = self.plans.get_mut();
        plans.unwrap_or_else(PoisonError::into_inner).clear();
        if self.context.enter().is_ok() {
            // SAFETY: nobody else has the handle; nothing can be done about a failure.
            unsafe { (self.api.destroy)(self.handle) };
        }
    }
}

impl std::fmt::Debug for Cublas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cublas")
    }
}

fn check(code: c_int, operation: &'static str) -> Result<(), CudaError> {
    match code {
        0 => Ok(()),
        code => Err(CudaError::Driver {
            operation,
            message: format!("code {code}"),
        }),
    }
}
