//! The processor in place of a device: the kernels' sources, compiled as C++ (`cu/emulation.h`).
//!
//! A launch has run when it returns. What a device would leave undefined is an error or a panic where
//! it can be seen: arguments of the wrong type, pointers into no memory, writes beside memory,
//! accesses that are not aligned, threads that wait for others in vain.

mod kernels;
mod memory;
mod tensor_maps;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::kernels::{MAX_ARGUMENTS, Value};
use self::memory::Heap;
use super::delivery::Delivery;
use super::tensor_map::TensorMaps;
use super::{Arg, Launch, Machine, Memory, Properties};
use crate::CudaError;

/// Bytes of memory: little, so that tests see what happens when there is no more.
const MEMORY: usize = 1 << 30;

/// Limits of every device.
const MAX_THREADS: u32 = 1024;
const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];
const MAX_GRID: [u32; 3] = [0x7fff_ffff, 65535, 65535];
/// What a launch may ask for on devices of compute capability 8.6 and 8.9, which have least of
/// those that copy asynchronously.
const MAX_SHARED: u32 = 99 * 1024;

#[derive(Debug)]
pub(super) struct Emulated {
    properties: Properties,
    heap: Mutex<Heap>,
    /// Nothing is brought before somebody waits for it, so that it shows who does not.
    deliveries: Mutex<VecDeque<Delivery>>,
    /// What the order of threads is drawn from, and how many launches there were.
    seed: u64,
    n_launches: AtomicU64,
}

impl Emulated {
    pub(super) fn new() -> Self {
        let seed = std::env::var("PONDER_EMULATION_SEED").map_or(0, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("PONDER_EMULATION_SEED={text}: not a number"))
        });
        Self {
            properties: Properties {
                name: "emulated".to_owned(),
                compute_capability: (8, 0),
                n_multiprocessors: 2,
                memory: MEMORY,
                shared_memory: MAX_SHARED as usize,
                driver_version: 13000,
                clock_mhz: None,
                memory_clock_mhz: None,
            },
            heap: Mutex::default(),
            deliveries: Mutex::default(),
            seed,
            n_launches: AtomicU64::new(0),
        }
    }

    fn heap(&self) -> MutexGuard<'_, Heap> {
        // A panic of another thread does not change what is allocated.
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliveries(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        let deliveries = self.deliveries.lock();
        deliveries.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine for Emulated {
    fn properties(&self) -> &Properties {
        &self.properties
    }

    fn kernels(&self) -> Vec<&'static str> {
        kernels::names()
    }

    fn free_memory(&self) -> Result<usize, CudaError> {
        Ok(MEMORY - self.heap().used())
    }

    fn alloc(&self, len: usize) -> Result<u64, CudaError> {
        const MB: usize = 1 << 20;
        let mut heap = self.heap();
        let free = MEMORY - heap.used();
        let address = if len <= free { heap.alloc(len) } else { None };
        address.ok_or(CudaError::OutOfMemory {
            wanted: len.div_ceil(MB),
            free: free / MB,
            total: MEMORY / MB,
        })
    }

    fn free(&self, address: u64) {
        let mut deliveries = self.deliveries();
        deliveries.retain(|delivery| delivery.address != address);
        self.heap().free(address);
    }

    fn upload(&self, from: &[u8], to: u64) -> Result<(), CudaError> {
        self.heap().bytes_mut(to, from.len()).copy_from_slice(from);
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), CudaError> {
        self.deliveries().push_back(delivery);
        Ok(())
    }

    fn wait_for_delivery(&self, number: u64) -> Result<u64, CudaError> {
        let mut deliveries = self.deliveries();
        while let Some(delivery) = deliveries.pop_front_if(|delivery| delivery.number <= number) {
            let mut room = vec![0xff; delivery.cargo.piece_len()];
            // Pieces come in no order.
            for piece in (0..delivery.cargo.n_pieces()).rev() {
                delivery.bring(piece, &mut room, |from, to| self.upload(from, to))?;
            }
        }
        Ok(number)
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), CudaError> {
        let heap = self.heap();
        heap.check("download");
        to.copy_from_slice(heap.bytes(from, to.len()));
        Ok(())
    }

    fn copy(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let mut heap = self.heap();
        heap.copy(from, to, len);
        Ok(())
    }

    fn clear(&self, at: u64, len: usize) -> Result<(), CudaError> {
        self.heap().bytes_mut(at, len).fill(0);
        Ok(())
    }

    fn keep(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let to = std::ptr::with_exposed_provenance_mut(to as usize);
        // SAFETY: the caller checked the range of memory that nobody but devices reads or writes.
        self.download(from, unsafe { std::slice::from_raw_parts_mut(to, len) })
    }

    fn restore(&self, from: u64, to: u64, len: usize) -> Result<(), CudaError> {
        let from = std::ptr::with_exposed_provenance(from as usize);
        // SAFETY: as above; all of it was initialized when it was allocated.
        self.upload(unsafe { std::slice::from_raw_parts(from, len) }, to)
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        self.heap().check("synchronize");
        Ok(())
    }

    fn resident_blocks(&self, _: &'static str, _: u32, _: u32) -> Result<usize, CudaError> {
        Ok(2)
    }

    fn tensor_maps(&self) -> Option<&dyn TensorMaps> {
        Some(self)
    }

    unsafe fn launch(
        &self,
        kernel: &'static str,
        launch: Launch,
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        check_sizes(kernel, launch)?;
        let heap = self.heap();
        if args.len() > MAX_ARGUMENTS {
            return Err(refused(format!("{kernel} with {} arguments", args.len())));
        }
        // A place on the stack: callers count on launches to allocate nothing.
        let mut values = [Value::Pointer(0); MAX_ARGUMENTS];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = match *arg {
                Arg::Memory(memory, offset) => {
                    Value::Pointer(address_in(&heap, kernel, memory, offset))
                }
                Arg::Map(map) => {
                    address_in(&heap, kernel, map.memory(), 0);
                    Value::Map(map.encoded())
                }
                Arg::Null => Value::Pointer(0),
                Arg::U32(number) => Value::Number(number),
                Arg::F32(number) => Value::Real(number),
            };
        }
        let values = &values[..args.len()];
        let order = self.seed ^ (self.n_launches.fetch_add(1, Ordering::Relaxed) << 32);
        // SAFETY: the caller's promise; while it runs nobody else touches the memory.
        let failure = unsafe { kernels::launch(kernel, launch, values, order) }?;
        if let Some(message) = failure {
            drop(heap);
            panic!("kernel {kernel}, {message}");
        }
        for arg in args {
            if let Arg::Memory(memory, _) = arg {
                heap.check_one(memory.address, kernel);
            }
        }
        Ok(())
    }
}

/// Where a pointer argument points to: inside memory, or right behind it.
fn address_in(heap: &Heap, kernel: &str, memory: &Memory, offset: usize) -> u64 {
    let len = memory.len;
    assert!(
        offset <= len,
        "{kernel}: byte {offset} of memory of {len} bytes"
    );
    let is_own = heap.contains(memory.address);
    assert!(is_own, "{kernel}: memory of another device");
    memory.address + offset as u64
}

fn check_sizes(kernel: &str, launch: Launch) -> Result<(), CudaError> {
    let n_threads: u64 = launch.block.iter().map(|&n| u64::from(n)).product();
    let is_within = |sizes: [u32; 3], limits: [u32; 3]| {
        sizes
            .iter()
            .zip(limits)
            .all(|(&size, limit)| (1..=limit).contains(&size))
    };
    if n_threads <= u64::from(MAX_THREADS)
        && is_within(launch.block, MAX_BLOCK)
        && is_within(launch.grid, MAX_GRID)
        && launch.shared <= MAX_SHARED
    {
        return Ok(());
    }
    Err(refused(format!("{kernel}: no device runs {launch:?}")))
}

/// What a driver would say to a launch that is wrong.
fn refused(message: String) -> CudaError {
    CudaError::Driver {
        operation: "launch",
        message,
    }
}
