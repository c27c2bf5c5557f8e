//! Modules that are loaded, and the kernels in them.

use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::api::Handle;
use super::context::Context;
use super::embedded::{ARCHITECTURES, MODULES, Module, TOOLKIT};
use super::status::{Status, version_text};
use crate::device::program;
use crate::{CudaError, Properties};

/// Bytes of shared memory that a launch may give a block without asking.
const UNASKED: u32 = 48 << 10;

/// Every kernel that runs on the device, by its name.
pub(super) struct Kernels {
    context: Arc<Context>,
    modules: Vec<Handle>,
    by_name: HashMap<&'static str, Kernel>,
}

// SAFETY: handles are numbers to the driver, whose functions may be called by any thread.
unsafe impl Send for Kernels {}
// SAFETY: see above; several threads may do so at a time.
unsafe impl Sync for Kernels {}

struct Kernel {
    function: Handle,
    /// Bytes of shared memory that a launch may give.
    allowed: AtomicU32,
    manner: Manner,
}

/// How launches of a kernel go together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// One after the other.
    Plain,
    /// It may start while earlier launches run, which it awaits by itself.
    Overlaps,
    /// All of its blocks run at the same time.
    Cooperates,
}

impl Kernels {
    pub(super) fn load(context: &Arc<Context>, properties: &Properties) -> Result<Self, CudaError> {
        let mut kernels = Self {
            context: context.clone(),
            modules: Vec::new(),
            by_name: HashMap::new(),
        };
        context.enter()?;
        for module in MODULES {
            kernels.add(module, properties)?;
        }
        Ok(kernels)
    }

    fn add(&mut self, module: &Module, properties: &Properties) -> Result<(), CudaError> {
        let api = self.context.api;
        let mut handle = ptr::null_mut();
        // SAFETY: it writes a handle; the image is what nvcc made.
        let status = unsafe { (api.load_module)(&raw mut handle, module.image.as_ptr().cast()) };
        if status.is_refusal() {
            return Err(refusal(properties, status.message(api)));
        }
        self.context.check(status, "loading kernels")?;
        self.modules.push(handle);
        for &name in module.kernels {
            let c_name = CString::new(name).expect("an identifier");
            let mut function = ptr::null_mut();
            // SAFETY: it writes a handle; the module was loaded, and the name ends with a zero.
            let status = unsafe { (api.function)(&raw mut function, handle, c_name.as_ptr()) };
            // Some kernels are for certain architectures; who launches one elsewhere gets an error.
            if status == Status::NOT_FOUND {
                continue;
            }
            self.context.check(status, "loading a kernel")?;
            let manner = match name {
                program::KERNEL => Manner::Cooperates,
                _ if module.overlapping.contains(&name) && self.can_overlap(function)? => {
                    Manner::Overlaps
                }
                _ => Manner::Plain,
            };
            let kernel = Kernel {
                function,
                allowed: AtomicU32::new(UNASKED),
                manner,
            };
            self.by_name.insert(name, kernel);
        }
        Ok(())
    }

    /// Whether the code that the device runs is of an architecture that has what awaits others: it may
    /// have been made from code for an older one.
    fn can_overlap(&self, function: Handle) -> Result<bool, CudaError> {
        const PTX_VERSION: c_int = 5;
        const HOPPER: c_int = 90;
        let mut version = 0;
        // SAFETY: it writes a number; the function is one of this context's.
        let status = unsafe {
            (self.context.api.function_attribute)(&raw mut version, PTX_VERSION, function)
        };
        self.context
            .check(status, "asking what a kernel was made for")?;
        Ok(version >= HOPPER)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }

    /// The kernel, ready for launches that give it this much shared memory.
    pub(super) fn get(
        &self,
        name: &'static str,
        shared: u32,
    ) -> Result<(Handle, Manner), CudaError> {
        let kernel = self.by_name.get(name);
        let kernel = kernel.ok_or(CudaError::NoKernel { kernel: name })?;
        if shared > kernel.allowed.load(Ordering::Relaxed) {
            const MAX_DYNAMIC_SHARED: c_int = 8;
            let wanted = c_int::try_from(shared).expect("less than a block may have");
            // SAFETY: the function is one of this context's.
            let status = unsafe {
                (self.context.api.set_function_attribute)(
                    kernel.function,
                    MAX_DYNAMIC_SHARED,
                    wanted,
                )
            };
            self.context.check(status, "asking for shared memory")?;
            kernel.allowed.fetch_max(shared, Ordering::Relaxed);
        }
        Ok((kernel.function, kernel.manner))
    }
}

/// Why the driver does not take a module.
fn refusal(properties: &Properties, message: String) -> CudaError {
    if properties.driver_version < TOOLKIT {
        return CudaError::DriverTooOld {
            driver: version_text(properties.driver_version),
            needed: version_text(TOOLKIT),
            message,
        };
    }
    let (major, minor) = properties.compute_capability;
    CudaError::OtherDevices {
        built: ARCHITECTURES.join(", "),
        name: properties.name.clone(),
        major,
        minor,
        message,
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        if self.context.synchronize().is_ok() {
            for &module in &self.modules {
                // SAFETY: nothing of it runs any more, and nobody has its functions.
                unsafe { (self.context.api.unload_module)(module) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_does_not_fit() {
        let mut properties = Properties {
            name: "A card".to_owned(),
            compute_capability: (8, 7),
            n_multiprocessors: 1,
            memory: 1,
            shared_memory: 1,
            driver_version: 11040,
            clock_mhz: None,
            memory_clock_mhz: None,
        };
        let error = refusal(&properties, "no".to_owned()).to_string();
        let needed = version_text(TOOLKIT);
        assert!(
            error.contains("CUDA 11.4") && error.contains(&needed),
            "{error}"
        );

        properties.driver_version = TOOLKIT;
        let error = refusal(&properties, "no".to_owned()).to_string();
        assert!(
            error.contains("A card with compute capability 8.7"),
            "{error}"
        );
        assert!(error.contains(ARCHITECTURES[0]), "{error}");
    }
}
