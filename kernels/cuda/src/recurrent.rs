//! Mixers with recurrent state.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use crate::view::{FLOAT, check_len, count, joined, optional};
use crate::{Arg, CudaError, Device, HostMemory, Launch, Memory, StepBounds, StepTables};

/// Threads of a block, a channel each.
const THREADS: usize = 128;
/// Tokens of a block.
const CHUNK: usize = 16;

/// A gated short convolution over the channels: `c * (filter(b * x) + bias)`, for rows `[b, c, x]`.
#[derive(Clone, Copy, Debug)]
pub struct ShortConv<'a> {
    /// Channels.
    pub width: usize,
    /// Positions that a channel's filter covers, the present one included.
    pub kernel: usize,
    /// `[width, kernel]`, the present position last.
    pub filter: &'a Memory,
    /// `[width]`
    pub bias: Option<&'a Memory>,
}

/// The states of a recurrent layer, equally long, by slot.
#[derive(Debug)]
pub struct SlotStates {
    device: Device,
    memory: Memory,
    n_slots: usize,
    len: usize,
}

impl SlotStates {
    /// States of `len` numbers, all 0.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(device: &Device, n_slots: usize, len: usize) -> Result<Self, CudaError> {
        let memory = device.alloc(n_slots * len * FLOAT)?;
        device.clear(&memory, 0, memory.len())?;
        Ok(Self {
            device: device.clone(),
            memory,
            n_slots,
            len,
        })
    }

    /// Copies a state.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn copy_slot(&self, from: u32, to: u32) -> Result<(), CudaError> {
        if from == to {
            return Ok(());
        }
        let [from, to] = [from, to].map(|slot| slot as usize * self.len * FLOAT);
        let memory = &self.memory;
        self.device
            .copy((memory, from), (memory, to), self.len * FLOAT)
    }

    /// Sets a state to 0.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn clear_slot(&self, slot: u32) -> Result<(), CudaError> {
        let len = self.len * FLOAT;
        self.device.clear(&self.memory, slot as usize * len, len)
    }

    /// Bytes of a state.
    pub fn slot_bytes(&self) -> usize {
        self.len * FLOAT
    }

    /// Copies a state to the machine's memory, from byte `at` on.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such slot, or no room for it.
    pub fn keep_slot(&self, slot: u32, to: &HostMemory, at: usize) -> Result<(), CudaError> {
        let len = self.slot_bytes();
        let from = (&self.memory, slot as usize * len);
        self.device.keep(from, (to, at), len)
    }

    /// Copies a state back.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn restore_slot(&self, from: &HostMemory, at: usize, slot: u32) -> Result<(), CudaError> {
        let len = self.slot_bytes();
        let to = (&self.memory, slot as usize * len);
        self.device.restore((from, at), to, len)
    }

    /// The states, `[n_slots, len]`.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl ShortConv<'_> {
    /// Numbers of a state: the last `kernel - 1` inputs of each channel, oldest first,
    /// `[kernel - 1, width]`.
    pub fn state_len(&self) -> usize {
        (self.kernel - 1) * self.width
    }

    /// `[n_rows, 3 * width]` → `[n_rows, width]`, and the states of the step's slots moved on.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small, states are of another length, or launches for these bounds would
    /// not do the step.
    pub fn run(
        &self,
        device: &Device,
        (tables, bounds): (&StepTables, &StepBounds),
        x: &Memory,
        states: &SlotStates,
        out: &Memory,
    ) -> Result<(), CudaError> {
        tables.check(bounds);
        let (width, n_rows) = (self.width, bounds.n_rows);
        assert!(width > 0 && self.kernel > 0, "a filter of nothing");
        assert_eq!(states.len, self.state_len(), "states are of another layer");
        let n_slots = tables.shape().n_slots;
        assert!(
            n_slots > 0 && n_slots <= states.n_slots,
            "tables name {n_slots} slots of {}",
            states.n_slots
        );
        check_len(x, 3 * n_rows * width, "rows of a short convolution");
        check_len(out, n_rows * width, "its outputs");
        check_len(self.filter, width * self.kernel, "its filter");
        if let Some(bias) = self.bias {
            check_len(bias, width, "its bias");
        }
        if bounds.n_spans() == 0 {
            return Ok(());
        }
        let n_chunks = bounds.rows_per_span().div_ceil(CHUNK);
        let launch = Launch {
            grid: [
                count(width.div_ceil(THREADS)),
                count(bounds.n_spans()),
                count(n_chunks),
            ],
            block: [count(THREADS), 1, 1],
            shared: 0,
        };
        let [n_short, width, kernel, chunk] =
            [bounds.n_short, width, self.kernel, CHUNK].map(|n| Arg::U32(count(n)));
        let spans = [
            tables.spans(0),
            tables.long_spans(0),
            n_short,
            width,
            kernel,
            chunk,
        ];
        let args = [
            Arg::Memory(x, 0),
            Arg::Memory(self.filter, 0),
            optional(self.bias),
            Arg::Memory(&states.memory, 0),
            Arg::Memory(out, 0),
        ];
        let args: [_; 11] = joined(args, spans);
        // SAFETY: rows, filter and states are there, as was checked; the tables name rows of the step
        // and slots below `n_slots`.
        unsafe { device.launch("short_conv", launch, &args)? };
        if n_chunks == 1 {
            return Ok(());
        }
        let launch = Launch {
            grid: [launch.grid[0], launch.grid[1], 1],
            ..launch
        };
        let args = [Arg::Memory(x, 0), Arg::Memory(&states.memory, 0)];
        let args: [_; 8] = joined(args, spans);
        // SAFETY: as above.
        unsafe { device.launch("short_conv_keep", launch, &args) }
    }
}
