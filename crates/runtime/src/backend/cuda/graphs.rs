//! Steps that come again and again are recorded once, and replayed without the program's help.
//!
//! Where every sequence gets a token or a few, steps differ in their tables alone, which lie on the
//! device. The first step of a size runs as it is, and takes what memory it needs; the second is
//! recorded; those that follow are one call. Sizes are rounded up, so that there are few of them: rows
//! beyond the step's belong to nobody.

use std::collections::HashMap;

use ponder_kernels_cuda::{CudaError, Device, Graph, step::StepBounds};

/// Rows up to which steps are recorded.
const MAX_ROWS: usize = 64;
/// Positions that the first rounded length covers.
const MIN_LEN: usize = 512;

/// What a recorded step is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Size {
    pub(super) bounds: StepBounds,
    /// Rows that are selected in the end.
    pub(super) n_chosen: usize,
}

/// How the operations of the step at hand reach the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Each as it comes.
    #[default]
    Direct,
    /// Each is recorded.
    Record(Size),
    /// All at once, at the end.
    Replay(Size),
}

/// Recorded steps.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    mode: Mode,
    /// `None`: seen once.
    known: HashMap<Size, Option<Graph>>,
    /// The device's allocations when the graphs were recorded: one that came later may have moved
    /// what they use.
    n_allocations: u64,
    /// Operations of this model wait for the device, and cannot be recorded.
    is_off: bool,
}

impl Graphs {
    /// Whether steps are recorded.
    pub(super) fn is_on(&self) -> bool {
        !self.is_off
    }

    /// Leaves nothing of a step that failed in the middle.
    pub(super) fn forget_step(&mut self, device: &Device) {
        if let Mode::Record(_) = std::mem::take(&mut self.mode) {
            device.abandon_capture();
        }
    }

    /// Begins a step of this size, if it can be recorded.
    pub(super) fn begin(&mut self, device: &Device, size: Option<Size>) -> Result<(), CudaError> {
        let Some(size) = size else {
            return Ok(());
        };
        if self.n_allocations != device.n_allocations() {
            self.n_allocations = device.n_allocations();
            self.known.values_mut().for_each(|graph| *graph = None);
        }
        match self.known.get(&size) {
            None => {
                self.known.insert(size, None);
            }
            Some(None) => {
                device.begin_capture()?;
                self.mode = Mode::Record(size);
            }
            Some(Some(_)) => self.mode = Mode::Replay(size),
        }
        Ok(())
    }

    /// Whether the operations of the step were recorded earlier, so that they are not to be launched.
    pub(super) fn is_replay(&self) -> bool {
        matches!(self.mode, Mode::Replay(_))
    }

    /// Lets what was recorded happen.
    pub(super) fn finish(&mut self, device: &Device) -> Result<(), CudaError> {
        let size = match std::mem::take(&mut self.mode) {
            Mode::Direct => return Ok(()),
            Mode::Record(size) => {
                let mut graph = device.end_capture()?;
                if size.bounds.n_rows == 1 {
                    let n_before = device.n_allocations();
                    graph.fuse()?;
                    // Its own memory is no reason to record anew.
                    self.n_allocations += device.n_allocations() - n_before;
                }
                self.known.insert(size, Some(graph));
                size
            }
            Mode::Replay(size) => size,
        };
        let Some(Some(graph)) = self.known.get_mut(&size) else {
            unreachable!("it was recorded");
        };
        let was_known = graph.best_ms().is_some();
        device.replay(graph)?;
        if let Some([launches_ms, fused_ms]) = graph.best_ms().filter(|_| !was_known) {
            tracing::debug!(
                launches = graph.len(),
                launches_ms,
                fused_ms,
                "a step of one token can be one kernel, where that is faster"
            );
        }
        Ok(())
    }

    /// From now on nothing is recorded. Where a step is, that step fails.
    pub(super) fn turn_off(&mut self) {
        self.is_off = true;
    }
}

impl Size {
    /// The rounded size of a step, where it is one that comes again.
    pub(super) fn of(bounds: &StepBounds, n_chosen: usize) -> Option<Self> {
        let n_rows = round(bounds.n_rows);
        let is_small = bounds.n_long == 0 && n_rows <= MAX_ROWS && n_chosen > 0;
        is_small.then(|| Self {
            bounds: StepBounds {
                n_rows,
                n_short: round(bounds.n_short),
                short_len: bounds.short_len.next_power_of_two().max(MIN_LEN),
                ..*bounds
            },
            n_chosen: round(n_chosen).min(n_rows),
        })
    }
}

/// Up to 8 as it is, beyond in steps of 8.
fn round(n: usize) -> usize {
    if n <= 8 { n } else { n.next_multiple_of(8) }
}

#[cfg(all(test, feature = "cuda-emulated"))]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_in_the_middle_leaves_the_device_usable() {
        let device = Device::for_tests();
        let memory = device.alloc(4).expect("memory");
        let size = Size::of(&StepBounds::decode(1, 1, 10), 1);
        let mut graphs = Graphs::default();
        for _ in 0..2 {
            graphs.forget_step(&device);
            graphs.begin(&device, size).expect("a step");
        }
        let error = device.upload(&[1; 4], &memory, 0);
        error.expect_err("the second step is recorded");
        graphs.forget_step(&device);
        device.upload(&[1; 4], &memory, 0).expect("as before");
        graphs.begin(&device, size).expect("a step");
        graphs.finish(&device).expect("nothing to do is soon done");
        assert!(!graphs.is_replay());
        graphs.forget_step(&device);
        graphs.begin(&device, size).expect("a step");
        assert!(graphs.is_replay(), "it is recorded by now");
    }

    #[test]
    fn few_sizes_stand_for_all() {
        let of = |n_spans, len| Size::of(&StepBounds::decode(n_spans, 1, len), n_spans);
        assert_eq!(of(1, 3), of(1, 512));
        assert_ne!(of(1, 512), of(1, 513));
        assert_eq!(of(9, 600), of(16, 1024));
        assert_eq!(of(65, 3), None, "too many rows");
        let prefill = StepBounds {
            n_long: 1,
            ..StepBounds::decode(1, 1, 3)
        };
        assert_eq!(Size::of(&prefill, 1), None);
    }
}
