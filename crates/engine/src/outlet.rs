//! Events on their way from the thread that runs the model to whoever reads them.
//!
//! The queue is bounded by pausing: a sequence whose reader has [`EVENTS_IN_FLIGHT`] events before
//! it rests until some are taken, and the others go on. The thread is woken when it may go on, or
//! when somebody cancels.

use std::collections::VecDeque;
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::task::{Context, Poll, Waker};

use crate::{
    EngineError, Event,
    worker::{Message, Worker},
};

/// Events that may wait for a reader before the sequence rests. What one step says may come on top.
const EVENTS_IN_FLIGHT: usize = 64;

/// What goes through: events, or the error that ends the answer.
type Item = Result<Event, EngineError>;

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    cancelled: AtomicBool,
    /// The thought is to end.
    answer_now: AtomicBool,
    /// A thought is going on.
    thinks: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Item>,
    is_closed: bool,
    /// Who is to be told that something has come, if it is a task that waits and not a thread.
    waker: Option<Waker>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole between any two of its operations, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue and tells its reader.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        change(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        self.arrived.notify_one();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The writing end. When it is dropped, the reader is told that nothing more comes.
#[derive(Debug)]
pub(crate) struct Outlet(Arc<Shared>);

impl Outlet {
    pub(crate) fn send(&self, item: Item) {
        self.0.change(|queue| queue.events.push_back(item));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.queue().events.len() >= EVENTS_IN_FLIGHT
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the reader wants the thought to end.
    pub(crate) fn wants_answer(&self) -> bool {
        self.0.answer_now.load(Ordering::Relaxed)
    }

    /// Tells the reader whether a thought is going on.
    pub(crate) fn set_thinking(&self, on: bool) {
        self.0.thinks.store(on, Ordering::Relaxed);
    }

    /// Whether `inlet` reads what is written here.
    pub(crate) fn is_read_by(&self, inlet: &Address) -> bool {
        Arc::ptr_eq(&self.0, &inlet.0)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.change(|queue| queue.is_closed = true);
    }
}

/// Which answer is meant.
#[derive(Debug, Clone)]
pub(crate) struct Address(Arc<Shared>);

/// The reading end.
#[derive(Debug)]
pub(crate) struct Inlet {
    shared: Arc<Shared>,
    worker: Worker,
}

impl Inlet {
    /// The next event; `None` when the writing end is gone.
    pub(crate) fn recv(&self) -> Option<Item> {
        let mut queue = self.shared.queue();
        loop {
            if let Poll::Ready(item) = self.take(&mut queue) {
                return item;
            }
            let waited = self.shared.arrived.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Inlet::recv`], for a task: it is woken when there is something to take.
    pub(crate) fn poll_recv(&self, context: &Context<'_>) -> Poll<Option<Item>> {
        let mut queue = self.shared.queue();
        let taken = self.take(&mut queue);
        if taken.is_pending() {
            queue.waker = Some(context.waker().clone());
        }
        taken
    }

    fn take(&self, queue: &mut Queue) -> Poll<Option<Item>> {
        let was_full = queue.events.len() >= EVENTS_IN_FLIGHT;
        match queue.events.pop_front() {
            Some(item) => {
                if was_full && queue.events.len() < EVENTS_IN_FLIGHT {
                    let _ = self.worker.send(Message::Wake);
                }
                Poll::Ready(Some(item))
            }
            None if queue.is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address(Arc::clone(&self.shared))
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn canceller(&self) -> Canceller {
        Canceller {
            shared: vec![Arc::clone(&self.shared)],
            worker: Some(self.worker.clone()),
        }
    }
}

/// Both ends.
pub(crate) fn channel(worker: &Worker) -> (Outlet, Inlet) {
    let shared = Arc::<Shared>::default();
    let inlet = Inlet {
        shared: Arc::clone(&shared),
        worker: worker.clone(),
    };
    (Outlet(shared), inlet)
}

/// Ends an answer, or its thought: what was generated stays.
#[derive(Clone, Debug)]
pub struct Canceller {
    shared: Vec<Arc<Shared>>,
    worker: Option<Worker>,
}

impl Canceller {
    /// One handle for several answers of one engine.
    pub(crate) fn of_all(cancellers: impl Iterator<Item = Self>) -> Self {
        let mut all = Self {
            shared: Vec::new(),
            worker: None,
        };
        for canceller in cancellers {
            all.shared.extend(canceller.shared);
            all.worker = all.worker.or(canceller.worker);
        }
        all
    }

    /// Ends the thinking, and the answer follows. A thought that has not begun does not begin.
    pub fn answer_now(&self) {
        for shared in &self.shared {
            shared.answer_now.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the model is thinking, as far as is known here.
    pub fn is_thinking(&self) -> bool {
        let mut all = self.shared.iter();
        all.any(|shared| shared.thinks.load(Ordering::Relaxed))
    }

    /// Ends the answer within one step of the model; [`Event::Done`] follows.
    pub fn cancel(&self) {
        for shared in &self.shared {
            shared.cancelled.store(true, Ordering::Relaxed);
        }
        // Where the thread is gone, the answer has ended already.
        if let Some(worker) = &self.worker {
            let _ = worker.send(Message::Wake);
        }
    }
}
