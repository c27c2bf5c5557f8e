//! [`Running`]: the answers that are being made, by name, so that others than their reader can end
//! them or their thoughts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum_server::ConnectionShutdown;
use ponder_engine::Canceller;

use crate::http::Caller;

/// All answers under way.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<u64, Entry>>);

#[derive(Debug)]
struct Entry {
    id: String,
    owner: Caller,
    cancellers: Vec<Canceller>,
    connection: Option<ConnectionShutdown>,
    /// Since when something is ready that the reader does not take.
    ready_since: Option<Instant>,
}

impl Running {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Every change is a single insertion or removal, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer until the guard is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: &str,
        owner: Caller,
        cancellers: Vec<Canceller>,
        connection: Option<ConnectionShutdown>,
    ) -> Registered {
        let entry = Entry {
            id: id.to_owned(),
            owner,
            cancellers,
            connection,
            ready_since: None,
        };
        let mut entries = self.entries();
        let mut key = entries.len() as u64;
        while entries.contains_key(&key) {
            key = key.wrapping_add(1);
        }
        entries.insert(key, entry);
        Registered {
            running: Arc::clone(self),
            key,
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
            let is_stalled = entry
                .ready_since
                .is_some_and(|since| since.elapsed() > patience);
            if is_stalled {
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
}

impl Registered {
    /// Notes that the reader has something to take, or asks for more.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        if let Some(entry) = self.running.entries().get_mut(&self.key) {
            entry.ready_since = is_ready.then(Instant::now);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.running.entries().remove(&self.key);
    }
}
