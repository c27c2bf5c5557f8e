//! Where kernels run: memory, copies and launches, in order, on one stream.

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "emulated")]
mod emulated;

use std::sync::Arc;

use crate::CudaError;

/// A device. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Device {
    machine: Arc<dyn Machine>,
}

/// What runs kernels. Addresses are those of memory that it gave; ranges were checked.
trait Machine: std::fmt::Debug + Send + Sync {
    fn properties(&self) -> &Properties;
    fn free_memory(&self) -> Result<usize, CudaError>;
    fn alloc(&self, len: usize) -> Result<u64, CudaError>;
    fn free(&self, address: u64);
    fn upload(&self, from: &[u8], to: u64) -> Result<(), CudaError>;
    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), CudaError>;
    fn copy(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError>;
    fn clear(&self, at: u64, len: usize) -> Result<(), CudaError>;
    fn synchronize(&self) -> Result<(), CudaError>;
    /// # Safety
    /// As for [`Device::launch`].
    unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError>;
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// As the driver calls it.
    pub name: String,
    /// Before and behind the point.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub n_multiprocessors: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// Version of CUDA that the driver speaks, as 13000 for 13.0.
    pub driver_version: u32,
}

/// How a kernel is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks, in three dimensions.
    pub grid: [u32; 3],
    /// Threads of a block, in three dimensions.
    pub block: [u32; 3],
    /// Bytes of shared memory that the launch gives each block, beside what the kernel declares.
    pub shared: u32,
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// A pointer to a byte of memory.
    Memory(&'a Memory, usize),
    /// A null pointer.
    Null,
    /// A number.
    U32(u32),
    /// A number.
    F32(f32),
}

/// Bytes on a device, given back when this is dropped.
#[derive(Debug)]
pub struct Memory {
    device: Device,
    address: u64,
    len: usize,
}

impl Device {
    /// Devices of NVIDIA's in this machine.
    ///
    /// # Errors
    /// Where this build has no kernels, or the machine no driver.
    pub fn count() -> Result<usize, CudaError> {
        #[cfg(feature = "cuda")]
        return driver::Driver::count();
        #[cfg(not(feature = "cuda"))]
        Err(CudaError::NotBuilt)
    }

    /// Opens a device and loads the kernels.
    ///
    /// # Errors
    /// Where there is no driver, no such device, or none that the kernels run on.
    pub fn open(index: usize) -> Result<Self, CudaError> {
        #[cfg(feature = "cuda")]
        return driver::Driver::open(index).map(|driver| Self {
            machine: Arc::new(driver),
        });
        #[cfg(not(feature = "cuda"))]
        {
            let _ = index;
            Err(CudaError::NotBuilt)
        }
    }

    /// The processor in place of a device: every kernel runs, thread by thread, and shared memory
    /// that nobody has written holds NaN. For tests.
    #[cfg(feature = "emulated")]
    pub fn emulated() -> Self {
        Self {
            machine: Arc::new(emulated::Emulated::new()),
        }
    }

    /// What it is.
    pub fn properties(&self) -> &Properties {
        self.machine.properties()
    }

    /// Bytes of its memory that nobody uses.
    ///
    /// # Errors
    /// Of the driver.
    pub fn free_memory(&self) -> Result<usize, CudaError> {
        self.machine.free_memory()
    }

    /// Memory of `len` bytes, aligned to 256; what it holds is undefined.
    ///
    /// # Errors
    /// Where there is not so much.
    pub fn alloc(&self, len: usize) -> Result<Memory, CudaError> {
        let address = self.machine.alloc(len)?;
        Ok(Memory {
            device: self.clone(),
            address,
            len,
        })
    }

    /// Copies `from` to the bytes from `offset` on. `from` may be changed when this returns.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// Where it does not fit.
    pub fn upload(&self, from: &[u8], to: &Memory, offset: usize) -> Result<(), CudaError> {
        let address = to.range(offset, from.len());
        self.machine.upload(from, address)
    }

    /// Copies the bytes from `offset` on to `to`, after everything that was launched before.
    ///
    /// # Errors
    /// Of the driver, and of what was launched before.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), CudaError> {
        let address = from.range(offset, to.len());
        self.machine.download(address, to)
    }

    /// Copies `len` bytes on the device; source and destination do not overlap.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// Where there are not so many, or they do not fit.
    pub fn copy(
        &self,
        (from, from_offset): (&Memory, usize),
        (to, to_offset): (&Memory, usize),
        len: usize,
    ) -> Result<(), CudaError> {
        let from = from.range(from_offset, len);
        let to = to.range(to_offset, len);
        self.machine.copy(from, to, len)
    }

    /// Sets `len` bytes from `offset` on to zero.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn clear(&self, memory: &Memory, offset: usize, len: usize) -> Result<(), CudaError> {
        let address = memory.range(offset, len);
        self.machine.clear(address, len)
    }

    /// Starts a kernel. Its arguments are those of its declaration in the `.cu` file, in order.
    ///
    /// # Errors
    /// Of the driver; what goes wrong while it runs is reported by a later call.
    ///
    /// # Safety
    /// The arguments are of the kernel's types, and everything that it reads or writes for them lies
    /// inside the memory that they point to.
    pub unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.machine.launch(kernel, launch, args) }
    }

    /// Waits for everything that was launched.
    ///
    /// # Errors
    /// Of the driver, and of what was launched.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.machine.synchronize()
    }
}

impl Memory {
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
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        assert!(end.is_some(), "{len} bytes at {offset} of {}", self.len);
        self.address + offset as u64
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.device.machine.free(self.address);
    }
}
