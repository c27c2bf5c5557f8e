//! Launches that are recorded once and replayed.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::program::Program;
use super::race::{Race, Way};
use super::{Arg, Device, Launch, MAX_ARGS, Memory, TensorMap};
use crate::CudaError;

/// Launches, copies and clearings that happen again, in the same order, whenever this is replayed. The
/// memory that they use is kept until this is dropped.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    steps: Vec<Step>,
    /// The same for the driver.
    recorded: Option<Box<dyn Replay>>,
    /// The same as one kernel, and which is faster.
    program: Option<Program>,
    race: Race,
}

/// What a machine has that records launches by itself.
pub(super) trait Graphs {
    /// From now on what is launched is recorded and does not run.
    fn begin(&self) -> Result<(), CudaError>;
    /// Ends that, also where recording failed.
    fn end(&self) -> Result<Box<dyn Replay>, CudaError>;
}

/// What it recorded.
pub(super) trait Replay: Debug + Send + Sync {
    fn replay(&self) -> Result<(), CudaError>;
}

/// Whether a device captures a graph, and what it has captured.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// [`thread`] of who captures, or 0.
    by: AtomicUsize,
    steps: Mutex<Vec<Step>>,
    n_fused: AtomicUsize,
}

/// Something that a graph does.
#[derive(Debug)]
pub(super) enum Step {
    Launch {
        kernel: &'static str,
        launch: Launch,
        args: Vec<SharedArg>,
    },
    Copy {
        from: (Memory, usize),
        to: (Memory, usize),
        len: usize,
    },
    Clear {
        at: (Memory, usize),
        len: usize,
    },
}

/// [`Arg`] with a share in the memory.
#[derive(Debug)]
pub(super) enum SharedArg {
    Memory(Memory, usize),
    Map(TensorMap),
    Plain(Arg<'static>),
}

impl Arg<'_> {
    pub(super) fn share(&self) -> SharedArg {
        match *self {
            Arg::Memory(memory, offset) => SharedArg::Memory(memory.share(), offset),
            Arg::Map(map) => SharedArg::Map(map.share()),
            Arg::Null => SharedArg::Plain(Arg::Null),
            Arg::U32(value) => SharedArg::Plain(Arg::U32(value)),
            Arg::F32(value) => SharedArg::Plain(Arg::F32(value)),
        }
    }
}

impl SharedArg {
    pub(super) fn as_arg(&self) -> Arg<'_> {
        match self {
            Self::Memory(memory, offset) => Arg::Memory(memory, *offset),
            Self::Map(map) => Arg::Map(map),
            Self::Plain(arg) => *arg,
        }
    }
}

/// A number of this thread that no other one has while this one lives; never 0.
fn thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

impl Capture {
    /// An error if a graph is captured.
    pub(super) fn must_be_off(&self, operation: &'static str) -> Result<(), CudaError> {
        match self.by.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(CudaError::Capturing { operation }),
        }
    }

    /// Whether a graph is captured.
    pub(super) fn is_on(&self) -> bool {
        self.by.load(Ordering::Acquire) != 0
    }

    /// Keeps the step if a graph is captured, and says so.
    pub(super) fn takes(&self, step: impl FnOnce() -> Step) -> Result<bool, CudaError> {
        match self.by.load(Ordering::Acquire) {
            0 => Ok(false),
            by if by == thread() => {
                self.steps().push(step());
                Ok(true)
            }
            _ => Err(CudaError::Capturing {
                operation: "a launch by another thread",
            }),
        }
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Abandons a capture when it is dropped.
struct Session<'a> {
    device: &'a Device,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.device.abandon_capture();
    }
}

impl Device {
    /// From now on what this thread launches, copies and clears is recorded, and does not happen,
    /// until the capture ends. Uploads, downloads, marks and waiting cannot be captured.
    ///
    /// # Errors
    /// Of the driver, and where one is captured already.
    pub fn begin_capture(&self) -> Result<(), CudaError> {
        let by = &self.capture.by;
        by.compare_exchange(0, thread(), Ordering::AcqRel, Ordering::Acquire)
            .map_err(|_| CudaError::Capturing {
                operation: "capturing another one",
            })?;
        let begun = self.machine.graphs().map_or(Ok(()), Graphs::begin);
        if begun.is_err() {
            by.store(0, Ordering::Release);
        }
        begun
    }

    /// Ends what [`Device::begin_capture`] began, and gives what was recorded.
    ///
    /// # Errors
    /// Of the driver; the capture has ended then, too.
    ///
    /// # Panics
    /// Where this thread captures nothing.
    pub fn end_capture(&self) -> Result<Graph, CudaError> {
        let is_own = self.capture.by.load(Ordering::Acquire) == thread();
        assert!(is_own, "no graph is captured by this thread");
        let recorded = self.machine.graphs().map(Graphs::end);
        let steps = std::mem::take(&mut *self.capture.steps());
        self.capture.by.store(0, Ordering::Release);
        Ok(Graph {
            device: self.clone(),
            recorded: recorded.transpose()?,
            program: None,
            race: Race::default(),
            steps,
        })
    }

    /// Ends a capture of this thread without result; does nothing if there is none.
    pub fn abandon_capture(&self) {
        if self.capture.by.load(Ordering::Acquire) == thread() {
            // Whether recording succeeded is of no more interest.
            drop(self.end_capture());
        }
    }

    /// Records what `work` launches, copies and clears, none of which happens, to be replayed.
    ///
    /// # Errors
    /// Those of `work`, and of [`Device::begin_capture`] and [`Device::end_capture`].
    pub fn capture(
        &self,
        work: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        self.begin_capture()?;
        // However this is left, the capture does not go on.
        let _session = Session { device: self };
        work()?;
        self.end_capture()
    }

    /// How many graphs were [fused](Graph::fuse).
    pub fn n_fused(&self) -> usize {
        self.capture.n_fused.load(Ordering::Relaxed)
    }

    /// Whether a graph is captured.
    pub(crate) fn is_capturing(&self) -> bool {
        self.capture.is_on()
    }

    /// Does again what the graph recorded, on the same memory. Where it was [fused](Graph::fuse), the first
    /// times find out which way is faster.
    ///
    /// # Errors
    /// Of the driver, and while a graph is captured.
    ///
    /// # Panics
    /// Where the graph is another device's.
    pub fn replay(&self, graph: &mut Graph) -> Result<(), CudaError> {
        assert!(
            Arc::ptr_eq(&self.machine, &graph.device.machine),
            "a graph of another device"
        );
        self.capture.must_be_off("replaying a graph")?;
        let Graph {
            steps,
            recorded,
            program,
            race,
            ..
        } = graph;
        let plain = || match &*recorded {
            Some(recorded) => recorded.replay(),
            None => steps.iter().try_for_each(|step| step.run(self)),
        };
        let Some(program) = program else {
            return plain();
        };
        race.go(
            || self.mark(),
            |way| match way {
                Way::Plain => plain(),
                Way::Fused => program.run(self),
            },
        )
    }
}

impl Graph {
    /// Makes one kernel of its launches, if they are those of a step of one sequence, to be used where that
    /// is faster; results are the same. Returns whether there is one.
    ///
    /// # Errors
    /// Of the driver.
    pub fn fuse(&mut self) -> Result<bool, CudaError> {
        self.program = Program::of(&self.device, &self.steps)?;
        let is_fused = self.program.is_some();
        self.device
            .capture
            .n_fused
            .fetch_add(is_fused.into(), Ordering::Relaxed);
        Ok(is_fused)
    }

    /// Milliseconds that it takes launch by launch and as one kernel, each the shortest of a few times; `None`
    /// until that is known.
    pub fn best_ms(&self) -> Option<[f64; 2]> {
        self.race.best()
    }

    /// Launches, copies and clearings.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Step {
    fn run(&self, device: &Device) -> Result<(), CudaError> {
        match self {
            Self::Launch {
                kernel,
                launch,
                args,
            } => {
                // On the stack: callers count on replays to allocate nothing.
                let mut places = [Arg::Null; MAX_ARGS];
                for (place, arg) in places.iter_mut().zip(args) {
                    *place = arg.as_arg();
                }
                let args = &places[..args.len()];
                // SAFETY: whoever launched this promised it for every replay; the memory is kept.
                unsafe { device.machine.launch(kernel, *launch, args) }
            }
            Self::Copy { from, to, len } => {
                let [from, to] = [from, to].map(|(memory, offset)| memory.range(*offset, *len));
                device.machine.copy(from, to, *len)
            }
            Self::Clear { at, len } => device.machine.clear(at.0.range(at.1, *len), *len),
        }
    }
}
