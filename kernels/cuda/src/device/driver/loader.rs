//! [`Loader`]: threads that read weights and rearrange them while others are on their way.
//!
//! Each thread has a few megabytes of pinned memory. It makes a piece there, which reads the file and
//! puts the parts of its blocks apart in one go, has it copied on a stream of its own, and makes the
//! next one when the device has read it. So the disk, the cores and the bus work at the same time.
//!
//! The parts are put apart here, not by a kernel, because cores are fast enough at it: one does 5 GB
//! of Q4_K a second and 15 of Q4_0, where a plain copy does about 10. Eight of them, less what waits
//! for the bus, fill one of 25 GB/s; a kernel would save something only beyond 40 GB/s, and would
//! need each format a second time. The bus never waits while it takes a thread less time to make a
//! piece than the bus to carry those of the seven others: 1.1 ms for 4 MB. A file that is not in
//! memory yet comes in by page faults of 128 KB, 0.1 ms each on a good disk: eight at a time are
//! what such a disk can do.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::context::{Context, Event, Pinned, Use};
use crate::CudaError;
use crate::device::delivery::Delivery;

/// Threads at most.
const MAX_THREADS: usize = 8;

/// How long a thread waits for work before it ends, and gives its pinned memory back.
const PATIENCE: Duration = Duration::from_millis(500);

/// Deliveries of a device.
pub(super) struct Loader {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Comes when what was asked for is there.
    arrival: Event,
}

struct Shared {
    context: Arc<Context>,
    state: Mutex<State>,
    /// Something in it has changed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Deliveries of which pieces are left, in order, each with its next piece.
    queue: VecDeque<(Arc<Delivery>, usize)>,
    /// What threads are at, once for each.
    at_work: Vec<Arc<Delivery>>,
    n_threads: usize,
    /// The number of the last delivery.
    last: u64,
    /// What went wrong first. Nothing is delivered any more.
    failure: Option<CudaError>,
    is_closed: bool,
}

impl State {
    /// Everything up to this number is on the stream.
    fn done(&self) -> u64 {
        let waiting = self.queue.front().map(|(delivery, _)| delivery);
        let open = waiting.into_iter().chain(&self.at_work);
        let first = open.map(|delivery| delivery.number).min();
        first.map_or(self.last, |first| first - 1)
    }

    /// The next piece, which somebody is at from now on.
    fn take(&mut self) -> Option<(Arc<Delivery>, usize)> {
        let (delivery, next) = self.queue.front_mut()?;
        let taken = (Arc::clone(delivery), *next);
        *next += 1;
        if *next == delivery.cargo.n_pieces() {
            self.queue.pop_front();
        }
        self.at_work.push(Arc::clone(&taken.0));
        Some(taken)
    }

    /// Threads that there is work for.
    fn wanted(&self) -> usize {
        let pieces = |(delivery, next): &(Arc<Delivery>, usize)| delivery.cargo.n_pieces() - next;
        let left = self.queue.iter().map(pieces);
        (self.at_work.len() + left.sum::<usize>()).min(MAX_THREADS)
    }
}

impl Loader {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self, CudaError> {
        Ok(Self {
            shared: Arc::new(Shared {
                context: context.clone(),
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            threads: Mutex::default(),
            arrival: Event::new(context, Use::Wait)?,
        })
    }

    pub(super) fn deliver(&self, delivery: Delivery) -> Result<(), CudaError> {
        let mut state = self.shared.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.last = delivery.number;
        state.queue.push_back((Arc::new(delivery), 0));
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        while state.n_threads < state.wanted() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("weights".to_owned());
            let thread = thread.spawn(move || shared.work());
            threads.push(thread.map_err(|error| CudaError::Driver {
                operation: "starting a thread that reads weights",
                message: error.to_string(),
            })?);
            state.n_threads += 1;
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// What is put on the context's stream from now on comes after everything that was delivered up to
    /// this number. Returns up to which else, since what is on its way is not told apart.
    pub(super) fn wait_for(&self, number: u64) -> Result<u64, CudaError> {
        let mut state = self.shared.state();
        let done = loop {
            match (state.done(), &state.failure) {
                (_, Some(failure)) => return Err(failure.clone()),
                (done, None) if done >= number => break done,
                _ => state = self.shared.wait(state),
            }
        };
        drop(state);
        self.arrival.record_delivery()?;
        self.arrival.delay_stream()?;
        Ok(done)
    }

    /// Delivers nothing to this address any more; what is on its way is on the stream by then.
    pub(super) fn cancel(&self, address: u64) {
        let mut state = self.shared.state();
        state
            .queue
            .retain(|(delivery, _)| delivery.address != address);
        while state
            .at_work
            .iter()
            .any(|delivery| delivery.address == address)
        {
            state = self.shared.wait(state);
        }
        // Who waits for what comes after it need not wait any longer.
        self.shared.changed.notify_all();
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_closed = true;
        drop(state);
        self.shared.changed.notify_all();
        let threads = self.threads.get_mut();
        for thread in threads.unwrap_or_else(PoisonError::into_inner).drain(..) {
            // What a thread has to say is in the state.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let changed = self.changed.wait(state);
        changed.unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn work(&self) {
        let mut room = None;
        while let Some((delivery, piece)) = self.next() {
            let brought =
                catch_unwind(AssertUnwindSafe(|| self.bring(&delivery, piece, &mut room)));
            let brought = brought.unwrap_or_else(|_| {
                Err(CudaError::Driver {
                    operation: "reading weights",
                    message: "the thread that did it has panicked".to_owned(),
                })
            });
            let mut state = self.state();
            let own = state
                .at_work
                .iter()
                .position(|other| Arc::ptr_eq(other, &delivery));
            state.at_work.swap_remove(own.expect("it was taken"));
            if let Err(error) = brought {
                state.failure.get_or_insert(error);
                state.queue.clear();
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next piece, when there is one; none if there will be none soon, and then the thread does not
    /// count any more.
    fn next(&self) -> Option<(Arc<Delivery>, usize)> {
        let mut state = self.state();
        let mut is_late = false;
        loop {
            let is_over = state.is_closed || state.failure.is_some();
            let taken = if is_over { None } else { state.take() };
            if taken.is_some() || is_over || is_late {
                state.n_threads -= usize::from(taken.is_none());
                return taken;
            }
            let waited = self.changed.wait_timeout(state, PATIENCE);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            (state, is_late) = (again, timeout.timed_out());
        }
    }

    fn bring(
        &self,
        delivery: &Delivery,
        piece: usize,
        room: &mut Option<Room>,
    ) -> Result<(), CudaError> {
        let context = &self.context;
        let len = delivery.cargo.piece_len();
        let room = match room.take() {
            Some(own) if own.len >= len => room.insert(own),
            _ => room.insert(Room::new(context, len)?),
        };
        room.was_read.wait()?;
        // SAFETY: the device has read what was there before.
        let bytes = unsafe { room.pinned.bytes(0, len) };
        delivery.bring(piece, bytes, |bytes, to| {
            // SAFETY: nobody changes the bytes before the event has come that is recorded below; where
            // they go is part of memory that is not freed before `cancel` returned.
            unsafe { context.upload(bytes, to, context.deliveries) }
        })?;
        room.was_read.record_delivery()
    }
}

/// Where a thread makes its pieces.
struct Room {
    pinned: Pinned,
    len: usize,
    /// Comes when the device has read what is there.
    was_read: Event,
}

impl Room {
    fn new(context: &Arc<Context>, len: usize) -> Result<Self, CudaError> {
        Ok(Self {
            pinned: Pinned::new(context, len)?,
            len,
            was_read: Event::new(context, Use::Sleep)?,
        })
    }
}
