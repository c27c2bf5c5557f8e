//! The workers and how they meet.

use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

/// Turns of waiting before a thread parks: 10 to 30 microseconds, several times the serial work
/// between two operations of a forward pass.
const SPINS: u32 = 600;

/// A closure over tasks: `(task, thread)`.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A fixed number of threads, the caller's own among them.
#[derive(Debug)]
pub struct Threads {
    meeting: Arc<Meeting>,
    workers: Vec<JoinHandle<()>>,
}

impl Threads {
    /// `n` threads: the caller of [`run`](Self::run) and `n - 1` workers. 0 counts as 1.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(n: usize) -> io::Result<Self> {
        let n = n.max(1);
        let meeting = Arc::new(Meeting::new(n));
        let mut threads = Self {
            meeting,
            workers: Vec::with_capacity(n - 1),
        };
        for index in 1..n {
            let meeting = Arc::clone(&threads.meeting);
            let builder = thread::Builder::new().name(format!("ponder-cpu-{index}"));
            threads
                .workers
                .push(builder.spawn(move || meeting.work(index))?);
        }
        Ok(threads)
    }

    /// How many threads there are, the caller's included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meeting.parts.len()
    }

    /// Never: the caller is always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Calls `work(task, thread)` once for each task in `0..n_tasks` and returns when all are done.
    /// `thread` is below [`len`](Self::len), and no two calls have the same at the same time.
    ///
    /// A call from another thread waits for its turn; `work` itself must not call.
    ///
    /// # Panics
    /// If `work` does, after all threads have come to rest.
    pub fn run(&self, n_tasks: usize, work: &Work<'_>) {
        let meeting = &*self.meeting;
        let _turn = meeting.take_turn();
        if n_tasks <= 1 || self.workers.is_empty() {
            (0..n_tasks).for_each(|task| work(task, 0));
            return;
        }
        meeting.open(n_tasks, work);
        for (worker, part) in self.workers.iter().zip(&meeting.parts[1..]) {
            if part.parked.swap(false, Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| meeting.take_tasks(0, work)));
        meeting.wait_for_workers();
        match own {
            Err(panic) => resume_unwind(panic),
            Ok(()) if meeting.panicked.swap(false, Ordering::Relaxed) => {
                panic!("a task of the thread team panicked")
            }
            Ok(()) => {}
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.meeting.closed.store(true, Ordering::SeqCst);
        self.meeting.next_round();
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches what its tasks throw, so it ends well.
            let _ = worker.join();
        }
    }
}

/// What the threads share.
#[derive(Debug)]
struct Meeting {
    /// Whether somebody is in `run`.
    taken: AtomicBool,
    /// Which operation it is, whether threads may still join it, and how many have: [`Gate`].
    gate: AtomicU64,
    /// The operation of this round.
    job: UnsafeCell<Option<Job>>,
    parts: Box<[Part]>,
    /// Whether the thread in `run` has parked (or is about to), and which it is.
    waiting: AtomicBool,
    caller: Mutex<Option<Thread>>,
    panicked: AtomicBool,
    closed: AtomicBool,
}

/// The tasks that one thread begins with. On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    next: AtomicUsize,
    end: AtomicUsize,
    parked: AtomicBool,
}

/// The closure of a round, its lifetime forgotten: `run` does not return before all are done.
#[derive(Clone, Copy, Debug)]
struct Job(*const Work<'static>);

// SAFETY: what the pointer refers to is Sync, and `run` keeps it alive.
unsafe impl Send for Job {}

// SAFETY: `job` is written by the one thread that holds `taken`, before `gate` publishes it, and
// read by workers only between joining and leaving, for which the writer waits.
unsafe impl Sync for Meeting {}

impl Meeting {
    fn new(n: usize) -> Self {
        Self {
            taken: AtomicBool::new(false),
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            parts: (0..n).map(|_| Part::default()).collect(),
            waiting: AtomicBool::new(false),
            caller: Mutex::new(None),
            panicked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    fn take_turn(&self) -> Turn<'_> {
        while self.taken.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        Turn(self)
    }

    fn open(&self, n_tasks: usize, work: &Work<'_>) {
        let n = self.parts.len();
        for (index, part) in self.parts.iter().enumerate() {
            part.next.store(n_tasks * index / n, Ordering::Relaxed);
            part.end.store(n_tasks * (index + 1) / n, Ordering::Relaxed);
        }
        let work: *const Work<'_> = work;
        // SAFETY: only the lifetime changes; `run` waits for all workers before it returns.
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        // SAFETY: this thread holds the turn, and no worker has joined.
        unsafe { *self.job.get() = Some(Job(work)) };
        self.next_round();
    }

    fn next_round(&self) {
        let round = Gate(self.gate.load(Ordering::Relaxed))
            .round()
            .wrapping_add(1);
        self.gate.store(Gate::open(round).0, Ordering::SeqCst);
    }

    /// The own part first, then what is left of the others'.
    fn take_tasks(&self, thread: usize, work: &Work<'_>) {
        let n = self.parts.len();
        for offset in 0..n {
            let part = &self.parts[(thread + offset) % n];
            let end = part.end.load(Ordering::Relaxed);
            // Looking before taking keeps the counter from growing without end.
            while part.next.load(Ordering::Relaxed) < end {
                let task = part.next.fetch_add(1, Ordering::Relaxed);
                if task < end {
                    work(task, thread);
                }
            }
        }
    }

    /// The life of a worker.
    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_round(seen, &self.parts[thread].parked);
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            if !self.join(seen) {
                continue;
            }
            // SAFETY: written before the round was opened, and not again before all have left.
            let job = unsafe { *self.job.get() }.expect("a round has a job");
            // SAFETY: `run` keeps the closure alive until all have left.
            let work = unsafe { &*job.0 };
            if catch_unwind(AssertUnwindSafe(|| self.take_tasks(thread, work))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.leave();
        }
    }

    fn wait_for_round(&self, seen: u32, parked: &AtomicBool) -> u32 {
        let round = || Gate(self.gate.load(Ordering::SeqCst)).round();
        let changed = || Some(round()).filter(|&round| round != seen);
        loop {
            if let Some(round) = spin_for(changed) {
                return round;
            }
            parked.store(true, Ordering::SeqCst);
            if changed().is_none() {
                thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
    }

    /// Whether the round is still open; a worker that comes late (its core was busy with something
    /// else) finds the work done, and nobody has waited for it.
    fn join(&self, round: u32) -> bool {
        let joined = |gate| {
            let gate = Gate(gate);
            (gate.is_open() && gate.round() == round).then_some(gate.0 + 1)
        };
        let order = Ordering::SeqCst;
        self.gate.fetch_update(order, order, joined).is_ok()
    }

    fn leave(&self) {
        let gate = Gate(self.gate.fetch_sub(1, Ordering::SeqCst) - 1);
        let last = !gate.is_open() && gate.joined() == 0;
        if last && self.waiting.swap(false, Ordering::SeqCst) {
            // A caller that has gone on meanwhile wakes once for nothing.
            let caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
            caller.as_ref().inspect(|caller| caller.unpark());
        }
    }

    /// Lets nobody else in and waits for those who are.
    fn wait_for_workers(&self) {
        self.gate.fetch_and(!Gate::OPEN, Ordering::SeqCst);
        let joined = || Gate(self.gate.load(Ordering::SeqCst)).joined();
        let done = || (joined() == 0).then_some(());
        while spin_for(done).is_none() {
            let mut caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
            *caller = Some(thread::current());
            drop(caller);
            self.waiting.store(true, Ordering::SeqCst);
            if done().is_none() {
                thread::park();
            }
            self.waiting.store(false, Ordering::SeqCst);
        }
    }
}

/// Round (upper 32 bits), whether it is open (bit 31), workers that have joined and not left.
#[derive(Clone, Copy)]
struct Gate(u64);

impl Gate {
    const OPEN: u64 = 1 << 31;

    fn open(round: u32) -> Self {
        Self(u64::from(round) << 32 | Self::OPEN)
    }

    fn round(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    fn joined(self) -> u64 {
        self.0 & (Self::OPEN - 1)
    }
}

/// The right to use the team.
struct Turn<'a>(&'a Meeting);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

fn spin_for<T>(ready: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 0..SPINS {
        if let Some(value) = ready() {
            return Some(value);
        }
        std::hint::spin_loop();
    }
    None
}
