//! Where kernels run: memory, copies and launches, in order, on one stream.

mod delivery;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "emulated")]
mod emulated;
#[cfg(feature = "emulated")]
mod for_tests;
mod graph;
mod host;
mod library;
mod mark;
mod program;
mod race;
mod tensor_map;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::CudaError;
use delivery::{Deliveries, Delivery, memory_of};
use graph::{Capture, Step};

pub(crate) use delivery::{Cargo, MAX_PARTS, Part};
pub use graph::Graph;
pub use host::HostMemory;
#[cfg(all(test, feature = "emulated"))]
pub(crate) use library::Multiplier;
pub(crate) use library::{Library, PlainProduct};
pub use mark::Mark;
pub use tensor_map::TensorMap;

/// A kernel has this many arguments at most.
const MAX_ARGS: usize = 32;

/// A device. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Device {
    machine: Arc<dyn Machine>,
    capture: Arc<Capture>,
    deliveries: Arc<Deliveries>,
    n_allocations: Arc<AtomicU64>,
    /// Bytes that memory has.
    allocated: Arc<AtomicUsize>,
}

/// What runs kernels. Addresses are those of memory that it gave; ranges were checked.
trait Machine: std::fmt::Debug + Send + Sync {
    fn properties(&self) -> &Properties;
    /// The kernels that [`Machine::launch`] knows, in no order.
    fn kernels(&self) -> Vec<&'static str>;
    fn free_memory(&self) -> Result<usize, CudaError>;
    fn alloc(&self, len: usize) -> Result<u64, CudaError>;
    fn free(&self, address: u64);
    fn upload(&self, from: &[u8], to: u64) -> Result<(), CudaError>;
    /// Takes over what is to be brought to memory that nobody has used, until that is freed.
    fn deliver(&self, delivery: Delivery) -> Result<(), CudaError>;
    /// Lets what comes after this see what was delivered up to this number, and tells up to which.
    fn wait_for_delivery(&self, number: u64) -> Result<u64, CudaError>;
    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), CudaError>;
    fn copy(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError>;
    fn clear(&self, at: u64, len: usize) -> Result<(), CudaError>;
    /// Pinned memory of the machine, if there is any to be had.
    fn pin(&self, _len: usize) -> Result<Option<u64>, CudaError> {
        Ok(None)
    }
    /// Gives pinned memory back.
    fn unpin(&self, _address: u64) {}
    /// Copies to memory of the machine, in order with everything else.
    fn keep(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError>;
    /// Copies from there.
    fn restore(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError>;
    fn synchronize(&self) -> Result<(), CudaError>;
    /// # Safety
    /// As for [`Device::launch`].
    unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError>;
    /// How many blocks of a kernel with so many threads, and so much shared memory, a multiprocessor runs at
    /// a time where all of a launch are to wait for each other; 0 where it has no such launches.
    fn resident_blocks(
        &self,
        kernel: &'static str,
        threads: u32,
        shared: u32,
    ) -> Result<usize, CudaError>;
    /// What records and replays, where the machine can; else the device does it, step by step.
    fn graphs(&self) -> Option<&dyn graph::Graphs> {
        None
    }
    /// The vendor's library, where the machine has it.
    fn multiplier(&self) -> Option<Box<dyn library::Multiplier>> {
        None
    }
    /// It will be asked for.
    fn expect_multiplier(&self) {}
    /// What kernels were compiled for, as nvcc names it.
    fn architectures(&self) -> &'static [&'static str] {
        &[]
    }
    /// What encodes tensor maps, where kernels that copy by them run.
    fn tensor_maps(&self) -> Option<&dyn tensor_map::TensorMaps> {
        None
    }
    /// Notes when everything that was launched before is done; the number stands for that moment.
    fn mark(&self) -> Result<u64, CudaError> {
        self.synchronize()?;
        Ok(mark::nanoseconds())
    }
    /// Milliseconds from one moment to another, after waiting for both.
    fn milliseconds(&self, from: u64, to: u64) -> Result<f64, CudaError> {
        Ok((to as f64 - from as f64) / 1e6)
    }
    /// The moment is of no more interest.
    fn forget(&self, _mark: u64) {}
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
    /// Bytes of shared memory that a block may have at most.
    pub shared_memory: usize,
    /// Version of CUDA that the driver speaks, as 13000 for 13.0.
    pub driver_version: u32,
    /// The highest clock of the multiprocessors, where the driver says it.
    pub clock_mhz: Option<u32>,
    /// The same of the memory.
    pub memory_clock_mhz: Option<u32>,
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
    /// A tensor map, by value.
    Map(&'a TensorMap),
    /// A number.
    U32(u32),
    /// A number.
    F32(f32),
}

/// Bytes on a device, given back when this is dropped and no [`Graph`] uses them.
#[derive(Debug)]
pub struct Memory {
    allocation: Arc<Allocation>,
    address: u64,
    len: usize,
}

/// What is given back.
#[derive(Debug)]
struct Allocation {
    machine: Arc<dyn Machine>,
    address: u64,
    len: usize,
    allocated: Arc<AtomicUsize>,
    /// The number of what is delivered to it, or 0.
    delivery: AtomicU64,
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

    /// Bytes of a device's memory that nobody uses, without opening it.
    ///
    /// # Errors
    /// Where there is no driver, or no such device.
    pub fn free_memory_of(index: usize) -> Result<usize, CudaError> {
        #[cfg(feature = "cuda")]
        return driver::Driver::free_memory_of(index);
        #[cfg(not(feature = "cuda"))]
        {
            let _ = index;
            Err(CudaError::NotBuilt)
        }
    }

    /// Opens a device and loads the kernels.
    ///
    /// # Errors
    /// Where there is no driver, no such device, or none that the kernels run on.
    pub fn open(index: usize) -> Result<Self, CudaError> {
        #[cfg(feature = "cuda")]
        return driver::Driver::open(index).map(|driver| Self::new(Arc::new(driver)));
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
        Self::new(Arc::new(emulated::Emulated::new()))
    }

    #[cfg(any(feature = "cuda", feature = "emulated"))]
    fn new(machine: Arc<dyn Machine>) -> Self {
        Self {
            machine,
            capture: Arc::default(),
            deliveries: Arc::default(),
            n_allocations: Arc::default(),
            allocated: Arc::default(),
        }
    }

    /// What it is.
    pub fn properties(&self) -> &Properties {
        self.machine.properties()
    }

    /// What its kernels were compiled for, as nvcc names it: nothing where the processor runs them.
    pub(crate) fn architectures(&self) -> &'static [&'static str] {
        self.machine.architectures()
    }

    /// The names of its kernels, in no order.
    pub fn kernels(&self) -> Vec<&'static str> {
        self.machine.kernels()
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
        let machine = self.machine.clone();
        self.n_allocations.fetch_add(1, Ordering::Relaxed);
        self.allocated.fetch_add(len, Ordering::Relaxed);
        Ok(Memory {
            allocation: Arc::new(Allocation {
                machine,
                address,
                len,
                allocated: self.allocated.clone(),
                delivery: AtomicU64::new(0),
            }),
            address,
            len,
        })
    }

    /// How often memory was allocated: as long as that stays the same, no memory has taken the place
    /// of another.
    pub fn n_allocations(&self) -> u64 {
        self.n_allocations.load(Ordering::Relaxed)
    }

    /// Bytes of all memory that was allocated and not given back.
    pub fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Sees to it that a memory has `len` bytes at least. Where it had fewer, another takes its place,
    /// with room for some more; what that holds is undefined. Returns whether this happened.
    ///
    /// # Errors
    /// Where there is not so much.
    pub(crate) fn grow(&self, memory: &mut Memory, len: usize) -> Result<bool, CudaError> {
        let is_short = memory.len() < len;
        if is_short {
            *memory = self.alloc(len.next_power_of_two())?;
        }
        Ok(is_short)
    }

    /// Copies `from` to the bytes from `offset` on. `from` may be changed when this returns.
    ///
    /// # Errors
    /// Of the driver, and while a graph is captured.
    ///
    /// # Panics
    /// Where it does not fit.
    pub fn upload(&self, from: &[u8], to: &Memory, offset: usize) -> Result<(), CudaError> {
        let address = to.range(offset, from.len());
        self.capture.must_be_off("an upload")?;
        self.wait_for([to])?;
        self.machine.upload(from, address)
    }

    /// Copies the bytes from `offset` on to `to`, after everything that was launched before.
    ///
    /// # Errors
    /// Of the driver, of what was launched before, and while a graph is captured.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn download(&self, from: &Memory, offset: usize, to: &mut [u8]) -> Result<(), CudaError> {
        let address = from.range(offset, to.len());
        self.capture.must_be_off("a download")?;
        self.wait_for([from])?;
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
        let source = from.range(from_offset, len);
        let target = to.range(to_offset, len);
        self.wait_for([from, to])?;
        let step = || Step::Copy {
            from: (from.share(), from_offset),
            to: (to.share(), to_offset),
            len,
        };
        if len == 0 || self.withholds(step)? {
            return Ok(());
        }
        self.machine.copy(source, target, len)
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
        self.wait_for([memory])?;
        let step = || Step::Clear {
            at: (memory.share(), offset),
            len,
        };
        if len == 0 || self.withholds(step)? {
            return Ok(());
        }
        self.machine.clear(address, len)
    }

    /// Starts a kernel. Its arguments are those of its declaration in the `.cu` file, in order.
    ///
    /// # Errors
    /// Where there is no such kernel, or it cannot be started so; what goes wrong while it runs is
    /// reported by a later call.
    ///
    /// # Safety
    /// The arguments are of the kernel's types, and everything that it reads or writes for them lies
    /// inside the memory that they point to; if this is captured, whenever the graph is replayed.
    pub unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        if args.len() > MAX_ARGS {
            return Err(CudaError::Driver {
                operation: kernel,
                message: format!("{} arguments, at most {MAX_ARGS} are possible", args.len()),
            });
        }
        self.wait_for(args.iter().filter_map(memory_of))?;
        let step = || Step::Launch {
            kernel,
            launch,
            args: args.iter().map(Arg::share).collect(),
        };
        if self.withholds(step)? {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.machine.launch(kernel, launch, args) }
    }

    /// Keeps the step if a graph is captured. Whether the machine must not see it, because it has no
    /// graphs of its own and would do it.
    fn withholds(&self, step: impl FnOnce() -> Step) -> Result<bool, CudaError> {
        Ok(self.capture.takes(step)? && self.machine.graphs().is_none())
    }

    /// Waits for everything that was launched.
    ///
    /// # Errors
    /// Of the driver, of what was launched, and while a graph is captured.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.capture.must_be_off("waiting")?;
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
        address_in((self.address, self.len), offset, len)
    }

    /// The same bytes, which are not given back before this is dropped, too.
    pub(crate) fn share(&self) -> Self {
        Self {
            allocation: self.allocation.clone(),
            ..*self
        }
    }
}

/// Where `len` bytes from `offset` on begin, of so many at an address.
fn address_in((address, all): (u64, usize), offset: usize, len: usize) -> u64 {
    let end = offset.checked_add(len).filter(|&end| end <= all);
    assert!(end.is_some(), "{len} bytes at {offset} of {all}");
    address + offset as u64
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.machine.free(self.address);
        self.allocated.fetch_sub(self.len, Ordering::Relaxed);
    }
}
