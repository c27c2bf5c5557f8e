//! [`Running`]: the answers that are being made, by name, so that others than their reader can end
//! them or their thoughts.

use std::collections::HashMap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use axum_server::ConnectionShutdown;
use ponder_engine::Canceller;

use crate::http::Caller;

/// All answers under way.
#[derive(Debug)]
pub(crate) struct Running {
    entries: Mutex<HashMap<u64, Entry>>,
    /// The key of the next entry.
    next: AtomicU64,
    began: Instant,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            next: AtomicU64::default(),
            began: Instant::now(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: String,
    owner: Caller,
    cancellers: Vec<Canceller>,
    connection: Option<ConnectionShutdown>,
    ready_since: Arc<AtomicU64>,
}

/// What [`Entry::ready_since`] is where its reader waits for more; else it is since when something is
/// ready that the reader does not take, in milliseconds from [`Running::began`]. It changes with every
/// event, so nobody waits for a lock to change it.
const WAITS: u64 = u64::MAX;

impl Running {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Every change is a single insertion or removal, whoever panicked.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Notes an answer until the guard is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: &str,
        owner: Caller,
        cancellers: Vec<Canceller>,
        connection: Option<ConnectionShutdown>,
    ) -> Registered {
        let ready_since = Arc::new(AtomicU64::new(WAITS));
        let entry = Entry {
            id: id.to_owned(),
            owner,
            cancellers,
            connection,
            ready_since: Arc::clone(&ready_since),
        };
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.entries().insert(key, entry);
        Registered {
            running: Arc::clone(self),
            key,
            ready_since,
        }
    }

    /// Ends the thoughts of an answer of this caller. False where there is no such answer.
    pub(crate) fn answer_now(&self, id: &str, caller: Caller) -> bool {
        self.each(id, caller, Canceller::answer_now)
    }

    /// Ends an answer of this caller, with what it has. False where there is no such answer.
    pub(crate) fn cancel(&self, id: &str, caller: Caller) -> bool {
        self.each(id, caller, Canceller::cancel)
    }

    fn each(&self, id: &str, caller: Caller, act: impl Fn(&Canceller)) -> bool {
        let entries = self.entries();
        let is_named = |entry: &&Entry| entry.id == id && entry.owner == caller;
        let named: Vec<&Entry> = entries.values().filter(is_named).collect();
        let cancellers = named.iter().flat_map(|entry| &entry.cancellers);
        cancellers.for_each(act);
        !named.is_empty()
    }

    /// Ends all answers.
    pub(crate) fn cancel_all(&self) {
        for entry in self.entries().values() {
            entry.cancellers.iter().for_each(Canceller::cancel);
        }
    }

    /// Ends answers whose readers have not taken anything for `patience`: the memory that they hold is
    /// somebody else's.
    pub(crate) fn cancel_stalled(&self, patience: Duration) {
        for entry in self.entries().values() {
            let since = entry.ready_since.load(Ordering::Relaxed);
            let stalled = Duration::from_millis(self.now_ms().saturating_sub(since));
            if since != WAITS && stalled > patience {
                tracing::info!(id = entry.id, "a client takes nothing: its answer is ended");
                entry.cancellers.iter().for_each(Canceller::cancel);
                if let Some(connection) = &entry.connection {
                    connection.shutdown();
                }
            }
        }
    }
}

/// An answer in the list; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Registered {
    running: Arc<Running>,
    key: u64,
    ready_since: Arc<AtomicU64>,
}

impl Registered {
    /// Notes that the reader has something to take, or asks for more.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        let since = match is_ready {
            true => self.running.now_ms(),
            false => WAITS,
        };
        self.ready_since.store(since, Ordering::Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.running.entries().remove(&self.key);
    }
}
