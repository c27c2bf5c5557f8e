//! How long the device works, and what is known of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ponder_kernels_cuda::{CudaError, Device, Mark};

use crate::backend::{DeviceFacts, DeviceMeter};

/// What a [`StepClock`] has counted, and the device.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    device: Device,
    index: usize,
    busy_ns: Arc<AtomicU64>,
}

/// Marks where steps begin and end on the device. Nothing waits for it: times are read when a step's
/// results have come, by when the marks have, too.
#[derive(Debug)]
pub(super) struct StepClock {
    device: Device,
    busy_ns: Arc<AtomicU64>,
    begun: Option<Mark>,
    /// Steps whose results nobody reads: chunks of prompts before the last.
    unread: Vec<[Mark; 2]>,
}

impl StepClock {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            busy_ns: Arc::default(),
            begun: None,
            unread: Vec::new(),
        }
    }

    pub(super) fn meter(&self, index: usize) -> Meter {
        Meter {
            device: self.device.clone(),
            index,
            busy_ns: self.busy_ns.clone(),
        }
    }

    /// From here on the device works on a step. One that failed before its end is forgotten.
    pub(super) fn begin(&mut self) -> Result<(), CudaError> {
        self.begun = Some(self.device.mark()?);
        Ok(())
    }

    /// The end of a step whose results nobody reads.
    pub(super) fn leave(&mut self) -> Result<(), CudaError> {
        if let Some(begun) = self.begun.take() {
            self.unread.push([begun, self.device.mark()?]);
        }
        Ok(())
    }

    /// The end of a step, whose results `read` waits for.
    pub(super) fn end(
        &mut self,
        read: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let Some(begun) = self.begun.take() else {
            return read();
        };
        let ended = self.device.mark()?;
        read()?;
        let mut milliseconds = ended.milliseconds_since(&begun)?;
        for [begun, ended] in self.unread.drain(..) {
            milliseconds += ended.milliseconds_since(&begun)?;
        }
        let nanoseconds = (1e6 * milliseconds.max(0.0)) as u64;
        self.busy_ns.fetch_add(nanoseconds, Ordering::Relaxed);
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
        self.busy_ns.load(Ordering::Relaxed) as f64 / 1e9
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

    fn pause() -> Result<(), CudaError> {
        std::thread::sleep(PAUSE);
        Ok(())
    }

    /// Whether the meter has counted so many pauses.
    #[track_caller]
    fn counted(meter: &Meter, n: u32) {
        let least = (n * PAUSE).as_secs_f64();
        let found = meter.busy_s();
        assert!(
            (least..least + 0.5 * PAUSE.as_secs_f64()).contains(&found),
            "{found}"
        );
    }

    #[test]
    fn steps_count_and_what_is_between_them_does_not() {
        let device = Device::emulated();
        let mut clock = StepClock::new(&device);
        let meter = clock.meter(3);
        // Reading something of no step is no step.
        clock.end(pause).expect("read");
        counted(&meter, 0);
        clock.begin().expect("begun");
        pause().expect("slept");
        // Results come after the end.
        clock.end(pause).expect("ended");
        counted(&meter, 1);
        pause().expect("slept");
        for _ in 0..2 {
            clock.begin().expect("begun");
            pause().expect("slept");
            clock.leave().expect("left");
            pause().expect("slept");
        }
        counted(&meter, 1);
        // One that fails, and the one that is read.
        clock.begin().expect("begun");
        pause().expect("slept");
        clock.begin().expect("begun");
        clock.end(|| Ok(())).expect("ended");
        counted(&meter, 3);
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
