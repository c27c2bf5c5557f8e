//! [`Program`]: a recorded graph as one kernel.
//!
//! Its blocks stay on the device and go through the launches together (`cu/persistent.cuh`): nothing is
//! started in between, and the first weights of each are on their way while others finish the one before.

use std::collections::HashMap;

use super::graph::{SharedArg, Step};
use super::{Arg, Device, Launch, MAX_ARGS, Memory};
use crate::CudaError;

/// Its name; all blocks of a launch wait for each other.
pub(super) const KERNEL: &str = "run_operations";

/// Threads of a block.
const THREADS: u32 = 128;

/// Bytes of an operation: which kernel, how many blocks, and a word for each argument.
const OPERATION_BYTES: usize = 16 + 8 * MAX_ARGS;

/// Set to 0, there are none.
const VARIABLE: &str = "PONDER_PERSISTENT";

/// Launches as a list of operations, and what goes through them. The memory that they use is the graph's to
/// keep.
#[derive(Debug)]
pub(super) struct Program {
    operations: Memory,
    n_operations: u32,
    /// 0 between launches.
    n_arrived: Memory,
    launch: Launch,
}

/// What the kernel has of another one.
struct Kernel {
    number: u32,
    /// Whether blocks may have any number of threads.
    any_size: bool,
}

/// The kernels that it has, by their names.
fn kernels() -> HashMap<&'static str, Kernel> {
    let lines = include_str!("../../cu/operations.cuh").lines();
    let named = lines.filter_map(|line| {
        let (kind, rest) = line.split_once('(')?;
        let any_size = match kind {
            "OPERATION" => false,
            "ANY_SIZE" => true,
            _ => return None,
        };
        Some((rest.strip_suffix(')')?, any_size))
    });
    let numbered = (0..).zip(named);
    numbered
        .map(|(number, (name, any_size))| (name, Kernel { number, any_size }))
        .collect()
}

impl Program {
    /// `None` where a step is something else than a launch of these kernels, the device has no room for it,
    /// or nobody wants any.
    pub(super) fn of(device: &Device, steps: &[Step]) -> Result<Option<Self>, CudaError> {
        if steps.is_empty() || std::env::var(VARIABLE).is_ok_and(|value| value == "0") {
            return Ok(None);
        }
        let kernels = kernels();
        let mut bytes = Vec::with_capacity(steps.len() * OPERATION_BYTES);
        let mut shared = 0;
        for step in steps {
            let Step::Launch {
                kernel,
                launch,
                args,
            } = step
            else {
                return Ok(None);
            };
            let known = kernels.get(kernel).filter(|kernel| kernel.runs(launch));
            if known.is_none_or(|kernel| !encode(kernel.number, launch, args, &mut bytes)) {
                return Ok(None);
            }
            shared = shared.max(launch.shared);
        }
        let n_resident = device.machine.resident_blocks(KERNEL, THREADS, shared)?;
        let n_blocks = n_resident * device.properties().n_multiprocessors;
        let [Ok(n_blocks), Ok(n_operations)] = [n_blocks, steps.len()].map(u32::try_from) else {
            return Ok(None);
        };
        if n_blocks == 0 {
            return Ok(None);
        }
        let memory = || Ok((device.alloc(bytes.len())?, device.alloc(4)?));
        let (operations, n_arrived) = match memory() {
            Err(CudaError::OutOfMemory { .. }) => return Ok(None),
            memory => memory?,
        };
        device.upload(&bytes, &operations, 0)?;
        device.clear(&n_arrived, 0, 4)?;
        Ok(Some(Self {
            operations,
            n_operations,
            n_arrived,
            launch: Launch {
                grid: [n_blocks, 1, 1],
                block: [THREADS, 1, 1],
                shared,
            },
        }))
    }

    /// Does what the launches did.
    pub(super) fn run(&self, device: &Device) -> Result<(), CudaError> {
        let args = [
            Arg::Memory(&self.operations, 0),
            Arg::U32(self.n_operations),
            Arg::Memory(&self.n_arrived, 0),
        ];
        // SAFETY: operations are launches that somebody answered for, each with the arguments of its kernel,
        // and the graph keeps their memory. As many blocks run at a time as there are.
        unsafe { device.machine.launch(KERNEL, self.launch, &args) }
    }
}

impl Kernel {
    fn runs(&self, launch: &Launch) -> bool {
        self.any_size || launch.block == [THREADS, 1, 1]
    }
}

/// Appends an operation; false where there is none with such arguments.
fn encode(number: u32, launch: &Launch, args: &[SharedArg], bytes: &mut Vec<u8>) -> bool {
    let end = bytes.len() + OPERATION_BYTES;
    let numbers = [number, launch.grid[0], launch.grid[1], launch.grid[2]];
    bytes.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    for arg in args {
        let word = match arg.as_arg() {
            Arg::Memory(memory, offset) => memory.range(offset, 0),
            Arg::Null => 0,
            Arg::U32(number) => number.into(),
            Arg::F32(number) => number.to_bits().into(),
            Arg::Map(_) => return false,
        };
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(end, 0);
    true
}
