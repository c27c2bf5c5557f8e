//! Memory of the machine in which things of the device are kept.

use std::alloc::Layout;
use std::sync::Arc;

use super::{Device, Machine, Memory, address_in};
use crate::CudaError;

/// Memory of the machine that nobody but the device reads and writes. It is pinned where the driver
/// gives that: then the device copies by itself, and nobody waits.
#[derive(Debug)]
pub struct HostMemory {
    machine: Arc<dyn Machine>,
    address: u64,
    len: usize,
    is_pinned: bool,
}

impl Device {
    /// `len` bytes of the machine's memory; what they hold is undefined.
    ///
    /// # Errors
    /// Where there is not so much, and while a graph is captured.
    pub fn host_memory(&self, len: usize) -> Result<HostMemory, CudaError> {
        self.capture.must_be_off("allocating memory")?;
        let pinned = self.machine.pin(len)?;
        let address = pinned.map_or_else(|| plain(len), Ok)?;
        Ok(HostMemory {
            machine: self.machine.clone(),
            address,
            len,
            is_pinned: pinned.is_some(),
        })
    }

    /// Copies `len` bytes to the machine, after everything that was launched before and before
    /// everything that is launched later.
    ///
    /// # Errors
    /// Of the driver, and while a graph is captured.
    ///
    /// # Panics
    /// Where there are not so many, or they do not fit.
    pub fn keep(
        &self,
        (from, from_offset): (&Memory, usize),
        (to, to_offset): (&HostMemory, usize),
        len: usize,
    ) -> Result<(), CudaError> {
        let (from, to) = (from.range(from_offset, len), to.range(to_offset, len));
        self.capture.must_be_off("keeping memory")?;
        self.machine.keep(from, to, len)
    }

    /// Copies `len` bytes back, in the same order.
    ///
    /// # Errors
    /// Of the driver, and while a graph is captured.
    ///
    /// # Panics
    /// Where there are not so many, or they do not fit.
    pub fn restore(
        &self,
        (from, from_offset): (&HostMemory, usize),
        (to, to_offset): (&Memory, usize),
        len: usize,
    ) -> Result<(), CudaError> {
        let (from, to) = (from.range(from_offset, len), to.range(to_offset, len));
        self.capture.must_be_off("restoring memory")?;
        self.machine.restore(from, to, len)
    }
}

impl HostMemory {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where `len` bytes from `offset` on begin.
    fn range(&self, offset: usize, len: usize) -> u64 {
        address_in((self.address, self.len), offset, len)
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if self.is_pinned {
            self.machine.unpin(self.address);
            return;
        }
        // The device may still be copying. Where waiting fails it is lost, and the memory with it.
        if !std::thread::panicking() && self.machine.synchronize().is_ok() {
            let at = std::ptr::with_exposed_provenance_mut(self.address as usize);
            // SAFETY: it was allocated so, and nobody has it any more.
            unsafe { std::alloc::dealloc(at, layout(self.len)) };
        }
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len.max(1), 64).expect("fewer bytes than there are addresses")
}

/// Memory as anybody gets it.
fn plain(len: usize) -> Result<u64, CudaError> {
    // SAFETY: it is a byte at least.
    let at = unsafe { std::alloc::alloc_zeroed(layout(len)) };
    if at.is_null() {
        return Err(CudaError::Driver {
            operation: "allocating memory of the machine",
            message: format!("there are no {len} bytes"),
        });
    }
    Ok(at.expose_provenance() as u64)
}
