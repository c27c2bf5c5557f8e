//! How busy an engine is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ponder_runtime::backend::DeviceMeter;

/// How busy an engine is, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Answers that are being made.
    pub running: usize,
    /// Answers that wait for a place.
    pub waiting: usize,
    /// Tokens of the cache that they hold; what is only kept for later prompts does not count.
    pub cache_tokens_used: usize,
    /// Tokens that the cache holds at most.
    pub cache_tokens: usize,
}

/// What the thread that runs the model tells, and the answers that are under way.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    answers: AtomicUsize,
    running: AtomicUsize,
    cache_tokens_used: AtomicUsize,
    cache_tokens: AtomicUsize,
    device: Option<Arc<dyn DeviceMeter>>,
    has_lost_device: AtomicBool,
}

impl Gauges {
    /// Gauges of an engine that uses this device beside the processor.
    pub(crate) fn new(device: Option<Arc<dyn DeviceMeter>>) -> Arc<Self> {
        Arc::new(Self {
            device,
            ..Self::default()
        })
    }

    /// The device, until it is lost.
    pub(crate) fn device(&self) -> Option<&dyn DeviceMeter> {
        let device = self.device.as_deref();
        device.filter(|_| !self.has_lost_device())
    }

    /// Notes that the model runs without its device from now on.
    pub(crate) fn lose_device(&self) {
        self.has_lost_device.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_lost_device(&self) -> bool {
        self.has_lost_device.load(Ordering::Relaxed)
    }

    /// Notes what is running, and how much of the cache it holds.
    pub(crate) fn set(&self, running: usize, cache_tokens_used: usize, cache_tokens: usize) {
        self.running.store(running, Ordering::Relaxed);
        self.cache_tokens_used
            .store(cache_tokens_used, Ordering::Relaxed);
        self.cache_tokens.store(cache_tokens, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Occupancy {
        let get = |gauge: &AtomicUsize| gauge.load(Ordering::Relaxed);
        let answers = get(&self.answers);
        let running = get(&self.running).min(answers);
        Occupancy {
            running,
            waiting: answers - running,
            cache_tokens_used: get(&self.cache_tokens_used),
            cache_tokens: get(&self.cache_tokens),
        }
    }

    /// Lets `n` answers in, if there are then `most` at most; else the number of those that are there.
    pub(crate) fn enter(self: &Arc<Self>, n: usize, most: usize) -> Result<Vec<Ticket>, usize> {
        let add = |there: usize| there.checked_add(n).filter(|&all| all <= most);
        self.answers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)?;
        Ok((0..n).map(|_| Ticket(Arc::clone(self))).collect())
    }
}

/// The place of an answer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Gauges>);

impl Ticket {
    /// Seconds that the device has worked on steps, where there is one.
    pub(crate) fn device_busy_s(&self) -> Option<f64> {
        self.0.device().map(DeviceMeter::busy_s)
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
impl Default for Ticket {
    fn default() -> Self {
        let mut one = Arc::<Gauges>::default().enter(1, 1).expect("room");
        one.pop().expect("a ticket")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_enter_than_there_is_room_for() {
        let gauges = Arc::new(Gauges::default());
        let two = gauges.enter(2, 3).expect("room");
        assert_eq!(gauges.enter(2, 3).unwrap_err(), 2);
        gauges.set(1, 64, 128);
        let busy = gauges.read();
        assert_eq!((busy.running, busy.waiting), (1, 1));
        let fork = two[0].clone();
        drop(two);
        assert_eq!(gauges.read().running, 1);
        drop(fork);
        assert_eq!(gauges.read().running, 0);
        assert_eq!(gauges.enter(3, 3).map(|all| all.len()), Ok(3));
    }
}
