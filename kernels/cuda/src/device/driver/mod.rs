//! A device of NVIDIA's, by its driver.
//!
//! 1. [`api`] finds the driver's library and its functions; a machine without one is an error.
//! 2. [`context`] is a device, its one stream, its events and pinned memory.
//! 3. [`embedded`] are the kernels in this program, [`kernels`] those that are loaded.
//! 4. [`transfer`] copies between machine and device, [`loader`] brings weights over meanwhile,
//!    [`graphs`] records and replays, [`marks`] tell the time; [`maps`] describes matrices for kernels
//!    that copy tiles of them.
//! 5. [`cublas`] multiplies, where the machine has that library.

mod api;
mod context;
mod cublas;
mod embedded;
mod freed;
mod functions;
mod graphs;
mod kernels;
mod loader;
mod maps;
mod marks;
#[cfg(test)]
mod simulated;
mod status;
#[cfg(test)]
mod tests;
mod transfer;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::Delivery;
use super::graph::Graphs;
use super::library::Multiplier;
use super::tensor_map::TensorMaps;
use super::{Arg, Launch, MAX_ARGS, Machine, Properties};
use crate::CudaError;
use api::{Api, Handle, LaunchAttribute, LaunchConfig};
use context::Context;
use embedded::TOOLKIT;
use freed::Freed;
use kernels::{Kernels, Manner};
use loader::Loader;
use marks::Marks;
use status::Status;
use transfer::Transfer;

/// Kernels are compiled for compute capabilities from this on.
const OLDEST: (u32, u32) = (7, 5);

/// The attribute that says whether all blocks of a launch can be had at the same time.
const COOPERATIVE_LAUNCH: c_int = 95;

/// A device with the kernels loaded.
pub(super) struct Driver {
    properties: Properties,
    /// Whether all blocks of a launch can be had at the same time.
    cooperates: bool,
    kernels: Kernels,
    transfer: Mutex<Transfer>,
    loader: Loader,
    freed: Freed,
    marks: Marks,
    context: Arc<Context>,
}

impl Driver {
    pub(super) fn count() -> Result<usize, CudaError> {
        Self::count_by(Api::get()?)
    }

    pub(super) fn open(index: usize) -> Result<Self, CudaError> {
        Self::open_by(Api::get()?, index)
    }

    fn count_by(api: &Api) -> Result<usize, CudaError> {
        let mut count = 0;
        // SAFETY: it writes a number.
        match unsafe { (api.device_count)(&raw mut count) } {
            Status::NO_DEVICE => Ok(0),
            status => {
                status.check(api, "counting the devices")?;
                Ok(count.unsigned_abs() as usize)
            }
        }
    }

    pub(super) fn free_memory_of(index: usize) -> Result<usize, CudaError> {
        Self::free_memory_by(Api::get()?, index)
    }

    fn free_memory_by(api: &'static Api, index: usize) -> Result<usize, CudaError> {
        let context = Context::new(api, Self::find(api, index)?)?;
        context.memory().map(|(free, _)| free)
    }

    /// What the driver calls the device with this index.
    fn find(api: &Api, index: usize) -> Result<c_int, CudaError> {
        let count = Self::count_by(api)?;
        let ordinal = c_int::try_from(index).ok().filter(|_| index < count);
        let ordinal = ordinal.ok_or(CudaError::NoDevice { index, count })?;
        let mut device = 0;
        // SAFETY: it writes a number.
        let status = unsafe { (api.device)(&raw mut device, ordinal) };
        status.check(api, "finding the device")?;
        Ok(device)
    }

    fn open_by(api: &'static Api, index: usize) -> Result<Self, CudaError> {
        let device = Self::find(api, index)?;
        let properties = properties(api, device)?;
        let (major, minor) = properties.compute_capability;
        if (major, minor) < OLDEST {
            let name = properties.name;
            return Err(CudaError::TooOld { name, major, minor });
        }
        let context = Context::new(api, device)?;
        Ok(Self {
            kernels: Kernels::load(&context, &properties)?,
            transfer: Mutex::default(),
            loader: Loader::new(&context)?,
            freed: Freed::default(),
            marks: Marks::default(),
            cooperates: attribute(api, device, COOPERATIVE_LAUNCH)? != 0,
            properties,
            context,
        })
    }

    fn transfer(&self) -> std::sync::MutexGuard<'_, Transfer> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Driver")
            .field(&self.properties.name)
            .finish()
    }
}

/// A number that the driver knows of a device.
fn attribute(api: &Api, device: c_int, number: c_int) -> Result<u32, CudaError> {
    let mut value = 0;
    // SAFETY: it writes a number.
    let status = unsafe { (api.device_attribute)(&raw mut value, number, device) };
    status.check(api, "asking what the device is")?;
    Ok(value.unsigned_abs())
}

/// What the driver knows about a device.
fn properties(api: &Api, device: c_int) -> Result<Properties, CudaError> {
    const MULTIPROCESSORS: c_int = 16;
    const CAPABILITY: [c_int; 2] = [75, 76];
    const SHARED_MEMORY: c_int = 97;
    const CLOCK: c_int = 13;
    const MEMORY_CLOCK: c_int = 36;
    let attribute = |number| attribute(api, device, number);
    // In thousands a second; later drivers may not know them any more.
    let megahertz = |number| {
        attribute(number)
            .ok()
            .filter(|&khz| khz > 0)
            .map(|khz| khz / 1000)
    };
    let mut name: [c_char; 128] = [0; 128];
    // SAFETY: it writes a text with a zero behind it, no longer than is said.
    let status = unsafe { (api.device_name)(name.as_mut_ptr(), 127, device) };
    status.check(api, "asking for the device's name")?;
    // SAFETY: the last byte at least is zero.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    let mut memory = 0;
    // SAFETY: it writes a number.
    let status = unsafe { (api.device_memory)(&raw mut memory, device) };
    status.check(api, "asking for the device's memory")?;
    Ok(Properties {
        name: name.to_string_lossy().into_owned(),
        compute_capability: (attribute(CAPABILITY[0])?, attribute(CAPABILITY[1])?),
        n_multiprocessors: attribute(MULTIPROCESSORS)? as usize,
        memory,
        shared_memory: attribute(SHARED_MEMORY)? as usize,
        driver_version: api.version()?,
        clock_mhz: megahertz(CLOCK),
        memory_clock_mhz: megahertz(MEMORY_CLOCK),
    })
}

impl Machine for Driver {
    fn properties(&self) -> &Properties {
        &self.properties
    }

    fn kernels(&self) -> Vec<&'static str> {
        self.kernels.names()
    }

    fn free_memory(&self) -> Result<usize, CudaError> {
        self.context.memory().map(|(free, _)| free)
    }

    fn alloc(&self, len: usize) -> Result<u64, CudaError> {
        self.context.enter()?;
        let mut address = 0;
        // SAFETY: it writes an address. The driver gives none for nothing.
        let status = unsafe { (self.context.api.alloc)(&raw mut address, len.max(1)) };
        if status == Status::OUT_OF_MEMORY {
            let (free, total) = self.context.memory()?;
            return Err(CudaError::OutOfMemory {
                wanted: len.div_ceil(1_000_000),
                free: free / 1_000_000,
                total: total / 1_000_000,
            });
        }
        self.context
            .check(status, "allocating memory on the device")?;
        Ok(address)
    }

    fn free(&self, address: u64) {
        self.loader.cancel(address);
        self.freed.free(&self.context, address);
    }

    fn upload(&self, from: &[u8], to: u64) -> Result<(), CudaError> {
        self.transfer().upload(&self.context, from, to)
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), CudaError> {
        self.loader.deliver(delivery)
    }

    fn wait_for_delivery(&self, number: u64) -> Result<u64, CudaError> {
        self.loader.wait_for(number)
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), CudaError> {
        self.transfer().download(&self.context, from, to)
    }

    fn copy(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        // SAFETY: the caller checked both ranges.
        let status = unsafe { (api.copy)(to, from, len, stream) };
        self.context.check(status, "copying on the device")
    }

    fn clear(&self, at: u64, len: usize) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        // SAFETY: the caller checked the range.
        let status = unsafe { (api.set_bytes)(at, 0, len, stream) };
        self.context.check(status, "clearing memory on the device")
    }

    fn pin(&self, len: usize) -> Result<Option<u64>, CudaError> {
        self.context.enter()?;
        let mut at: *mut c_void = ptr::null_mut();
        // SAFETY: it writes a pointer.
        let status = unsafe { (self.context.api.alloc_pinned)(&raw mut at, len.max(1), 0) };
        let is_there = status == Status::SUCCESS && !at.is_null();
        Ok(is_there.then(|| at.expose_provenance() as u64))
    }

    fn unpin(&self, address: u64) {
        // The device may still be copying. Where waiting fails it is lost, and the memory with it.
        if self.context.synchronize().is_ok() {
            let at = ptr::with_exposed_provenance_mut(address as usize);
            // SAFETY: it was allocated so, and nobody has it any more.
            unsafe { (self.context.api.free_pinned)(at) };
        }
    }

    fn keep(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        let to = ptr::with_exposed_provenance_mut(to as usize);
        // SAFETY: the caller checked both ranges; nobody but the device touches the machine's.
        let status = unsafe { (api.download)(to, from, len, stream) };
        self.context.check(status, "copying from the device")
    }

    fn restore(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        let from = ptr::with_exposed_provenance(from as usize);
        // SAFETY: as above.
        let status = unsafe { (api.upload)(to, from, len, stream) };
        self.context.check(status, "copying to the device")
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        self.context.synchronize()
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        let (function, manner) = self.kernels.get(kernel, launch.shared)?;
        // The driver reads as many bytes of each as the kernel declares: the lower ones.
        let mut values = [0_u64; MAX_ARGS];
        let mut pointers: [Handle; MAX_ARGS] = [ptr::null_mut(); MAX_ARGS];
        for ((value, pointer), arg) in values.iter_mut().zip(&mut pointers).zip(args) {
            *value = match arg {
                Arg::Map(map) => {
                    *pointer = ptr::from_ref(map.encoded()).cast_mut().cast();
                    continue;
                }
                Arg::Memory(memory, offset) => memory.range(*offset, 0),
                Arg::Null => 0,
                Arg::U32(number) => u64::from(*number),
                Arg::F32(number) => u64::from(number.to_bits()),
            };
            *pointer = ptr::from_mut(value).cast::<c_void>();
        }
        let attributes: &[LaunchAttribute] = match manner {
            Manner::Plain => &[],
            Manner::Overlaps => &[LaunchAttribute::OVERLAPS],
            Manner::Cooperates => &[LaunchAttribute::COOPERATES],
        };
        let config = LaunchConfig {
            grid: launch.grid,
            block: launch.block,
            shared: launch.shared,
            stream,
            attributes: attributes.as_ptr(),
            n_attributes: attributes.len() as u32,
        };
        // SAFETY: the caller promises that the arguments are the kernel's; the values live until the
        // call returns, by when the driver has copied them.
        let status = unsafe {
            (api.launch)(
                &raw const config,
                function,
                pointers.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        self.context.check(status, kernel)
    }

    fn resident_blocks(
        &self,
        kernel: &'static str,
        threads: u32,
        shared: u32,
    ) -> Result<usize, CudaError> {
        if !self.cooperates {
            return Ok(0);
        }
        let (function, _) = match self.kernels.get(kernel, shared) {
            Ok(kernel) => kernel,
            // Older devices do without it.
            Err(CudaError::NoKernel { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        self.context.enter()?;
        let (mut n, shared) = (0, shared as usize);
        let threads = c_int::try_from(threads).expect("as many as a block may have");
        let ask = self.context.api.resident_blocks;
        // SAFETY: it writes a number; the function is one of this context's.
        let status = unsafe { ask(&raw mut n, function, threads, shared) };
        self.context.check(status, "asking for room for blocks")?;
        Ok(n.unsigned_abs() as usize)
    }

    fn graphs(&self) -> Option<&dyn Graphs> {
        Some(self)
    }

    fn multiplier(&self) -> Option<Box<dyn Multiplier>> {
        cublas::multiplier(&self.context, self.properties.driver_version)
    }

    fn expect_multiplier(&self) {
        cublas::expect(self.properties.driver_version);
    }

    fn architectures(&self) -> &'static [&'static str] {
        embedded::ARCHITECTURES
    }

    fn tensor_maps(&self) -> Option<&dyn TensorMaps> {
        self.has_tensor_maps().then_some(self)
    }

    fn mark(&self) -> Result<u64, CudaError> {
        self.marks.record(&self.context)
    }

    fn milliseconds(&self, from: u64, to: u64) -> Result<f64, CudaError> {
        self.marks.milliseconds(from, to)
    }

    fn forget(&self, mark: u64) {
        self.marks.forget(mark);
    }
}
