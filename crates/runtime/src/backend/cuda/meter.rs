//! How long the device works, and what is known of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ponder_kernels_cuda::{CudaError, Device, Mark};

use crate::backend::{DeviceFacts, DeviceMeter};

/// Spans whose length is asked for together: asking takes longer than marking.
const MOST_UNREAD: usize = 64;

/// What a [`StepClock`] has marked, and the device.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    device: Device,
    index: usize,
    spans: Arc<Mutex<Spans>>,
}

/// Marks where steps begin and end on the device. Nothing waits for it: how long they took is asked
/// when somebody wants to know, or when many have come.
#[derive(Debug)]
pub(super) struct StepClock {
    device: Device,
    begun: Option<Mark>,
    spans: Arc<Mutex<Spans>>,
}

/// What was marked.
#[derive(Debug)]
struct Spans {
    /// Beginnings and ends.
    unread: Vec<[Mark; 2]>,
    /// Milliseconds of those that were read.
    read_ms: f64,
}

impl Spans {
    /// Waits for the last end.
    fn read(&mut self) -> Result<(), CudaError> {
        for [begun, ended] in self.unread.drain(..) {
            self.read_ms += ended.milliseconds_since(&begun)?.max(0.0);
        }
        Ok(())
    }
}

/// Whoever panicked has not changed what was marked.
fn lock(spans: &Mutex<Spans>) -> MutexGuard<'_, Spans> {
    spans.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StepClock {
    pub(super) fn new(device: &Device) -> Self {
        let spans = Spans {
            unread: Vec::with_capacity(MOST_UNREAD),
            read_ms: 0.0,
        };
        Self {
            device: device.clone(),
            begun: None,
            spans: Arc::new(Mutex::new(spans)),
        }
    }

    pub(super) fn meter(&self, index: usize) -> Meter {
        Meter {
            device: self.device.clone(),
            index,
            spans: self.spans.clone(),
        }
    }

    /// From here on the device works on a step. One that failed before its end is forgotten.
    pub(super) fn begin(&mut self) -> Result<(), CudaError> {
        self.begun = Some(self.device.mark()?);
        Ok(())
    }

    /// Everything that the step is to do was launched; nothing where none has begun.
    pub(super) fn end(&mut self) -> Result<(), CudaError> {
        let Some(begun) = self.begun.take() else {
            return Ok(());
        };
        let ended = self.device.mark()?;
        let mut spans = lock(&self.spans);
        if spans.unread.len() == MOST_UNREAD {
            // All of them but the last few are over.
            spans.read()?;
        }
        spans.unread.push([begun, ended]);
        Ok(())
    }
}

impl DeviceMeter for Meter {
    fn facts(&self) -> DeviceFacts {
        let properties = self.device.properties();
        let (major, minor) = properties.compute_capability;
        let version = properties.driver_version;
        DeviceFacts {
            index: self.index,
            name: properties.name.clone(),
            driver: format!("{}.{}", version / 1000, version % 1000 / 10),
            compute_capability: format!("{major}.{minor}"),
            multiprocessors: properties.n_multiprocessors,
            memory_mb: properties.memory as u64 / 1_000_000,
            mhz: properties.clock_mhz,
            memory_mhz: properties.memory_clock_mhz,
        }
    }

    fn busy_s(&self) -> f64 {
        let mut spans = lock(&self.spans);
        // Where a device fails, whoever uses it says so.
        let _ = spans.read();
        spans.read_ms / 1e3
    }

    fn allocated_bytes(&self) -> u64 {
        self.device.allocated() as u64
    }

    fn free_bytes(&self) -> Option<u64> {
        self.device.free_memory().ok().map(|bytes| bytes as u64)
    }
}

#[cfg(all(test, feature = "cuda-emulated"))]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(20);

    fn pause() {
        std::thread::sleep(PAUSE);
    }

    /// Whether the meter has counted so many pauses.
    #[track_caller]
    fn counted(meter: &Meter, n: u32) {
        let least = (n * PAUSE).as_secs_f64();
        let found = meter.busy_s();
        let most = least + 0.5 * PAUSE.as_secs_f64();
        assert!((least..most).contains(&found), "{found}");
    }

    #[test]
    fn steps_count_and_what_is_between_them_does_not() {
        let device = Device::emulated();
        let mut clock = StepClock::new(&device);
        let meter = clock.meter(3);
        clock.end().expect("nothing has begun");
        counted(&meter, 0);
        for n in 1..=3 {
            clock.begin().expect("begun");
            pause();
            clock.end().expect("ended");
            pause();
            // The second end of a step is none.
            clock.end().expect("ended");
            counted(&meter, n);
        }
        // One that failed.
        clock.begin().expect("begun");
        pause();
        clock.begin().expect("begun");
        clock.end().expect("ended");
        counted(&meter, 3);
    }

    #[test]
    fn marks_of_many_steps_do_not_pile_up() {
        let device = Device::emulated();
        let mut clock = StepClock::new(&device);
        for _ in 0..3 * MOST_UNREAD {
            clock.begin().expect("begun");
            clock.end().expect("ended");
        }
        let spans = lock(&clock.spans);
        assert_eq!(spans.unread.capacity(), MOST_UNREAD);
        assert!(spans.read_ms > 0.0);
    }

    #[test]
    fn memory_is_counted_until_it_is_given_back() {
        let device = Device::emulated();
        let meter = StepClock::new(&device).meter(3);
        let free = meter.free_bytes().expect("it says so");
        let memory = device.alloc(1000).expect("memory");
        let graph_like = device.alloc(24).expect("memory");
        assert_eq!(meter.allocated_bytes(), 1024);
        assert!(meter.free_bytes().is_some_and(|now| now <= free - 1024));
        drop((memory, graph_like));
        assert_eq!(meter.allocated_bytes(), 0);
        let facts = meter.facts();
        assert_eq!((facts.index, &facts.name[..]), (3, "emulated"));
        assert_eq!(
            (&facts.driver[..], &facts.compute_capability[..]),
            ("13.0", "8.0")
        );
    }
}
