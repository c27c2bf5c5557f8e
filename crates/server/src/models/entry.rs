//! One model, loaded or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ponder_engine::{Engine, MemoryPlace};
use tokio::sync::watch;

use super::{LoadFailure, Names};
use crate::ids;

/// How a load under way ends; `None` until it does.
pub(super) type Loading = watch::Receiver<Option<Result<(), Arc<LoadFailure>>>>;

/// A model that is served.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) names: Names,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) enum State {
    Absent,
    Loading(Loading),
    Loaded {
        engine: Arc<Engine>,
        /// Seconds since 1970.
        since: u64,
        leases: usize,
        last_used: Instant,
    },
}

impl Entry {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            state: Mutex::new(State::Absent),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A state is replaced as a whole, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, if it is loaded, and since when it is. Looking does not count as a use.
    pub(super) fn loaded(&self) -> Option<(Arc<Engine>, u64)> {
        match &*self.state() {
            State::Loaded { engine, since, .. } => Some((Arc::clone(engine), *since)),
            _ => None,
        }
    }

    /// The model, or the load that will bring it, if one is under way.
    pub(super) fn lease_or_loading(self: &Arc<Self>) -> Result<Lease, Option<Loading>> {
        match &mut *self.state() {
            State::Absent => Err(None),
            State::Loading(loading) => Err(Some(loading.clone())),
            State::Loaded {
                engine,
                leases,
                since,
                ..
            } => {
                *leases += 1;
                Ok(Lease {
                    engine: Arc::clone(engine),
                    since: *since,
                    entry: Arc::clone(self),
                })
            }
        }
    }

    pub(super) fn set_loaded(&self, engine: Engine) {
        *self.state() = State::Loaded {
            engine: Arc::new(engine),
            since: ids::now(),
            leases: 0,
            last_used: Instant::now(),
        };
    }

    /// Since when a loaded model that takes memory there is not used.
    pub(super) fn unused_since(&self, place: MemoryPlace) -> Option<Instant> {
        match &*self.state() {
            State::Loaded {
                engine,
                leases: 0,
                last_used,
                ..
            } if engine.places().contains(&place) => Some(*last_used),
            _ => None,
        }
    }

    /// Unloads the model if nobody uses it and `last_used` says so.
    pub(super) fn unload_if(&self, wants: impl Fn(Instant) -> bool) -> bool {
        let mut state = self.state();
        let unused = match &*state {
            State::Loaded {
                leases: 0,
                last_used,
                ..
            } => wants(*last_used),
            _ => false,
        };
        if unused {
            *state = State::Absent;
        }
        unused
    }
}

/// A loaded model that stays while this is held.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) engine: Arc<Engine>,
    /// When it was loaded, in seconds since 1970.
    pub(crate) since: u64,
    entry: Arc<Entry>,
}

impl Lease {
    /// What clients call it.
    pub(crate) fn id(&self) -> &str {
        &self.entry.names.id
    }

    /// Takes the model out of service: its engine has failed for good, and the next request loads it
    /// anew.
    pub(crate) fn retire(&self) {
        let mut state = self.entry.state();
        if matches!(&*state, State::Loaded { engine, .. } if Arc::ptr_eq(engine, &self.engine)) {
            *state = State::Absent;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let State::Loaded {
            engine,
            leases,
            last_used,
            ..
        } = &mut *self.entry.state()
            && Arc::ptr_eq(engine, &self.engine)
        {
            *leases = leases.saturating_sub(1);
            *last_used = Instant::now();
        }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        if let State::Loaded { engine, leases, .. } = &mut *self.entry.state()
            && Arc::ptr_eq(engine, &self.engine)
        {
            *leases += 1;
        }
        Self {
            engine: Arc::clone(&self.engine),
            since: self.since,
            entry: Arc::clone(&self.entry),
        }
    }
}
