//! Loading a model on demand: whether there is memory for it, and what goes to make room.

use std::sync::Arc;
use std::time::Duration;

use ponder_engine::{Engine, EngineError, LoadOptions, LoadProgress, available_bytes, store};
use thiserror::Error;
use tokio::sync::watch;

use super::Models;
use super::entry::{Entry, Loading, State};
use crate::http::ApiError;

/// Tokens of cache without which a model is of no use.
const LEAST_TOKENS: usize = 2048;

/// Starts to load a model, unless somebody else has just begun. Nobody needs to wait for it.
pub(super) fn start(models: &Arc<Models>, entry: &Arc<Entry>) -> Loading {
    let (sender, receiver) = watch::channel(None);
    {
        let mut state = entry.state();
        match &*state {
            State::Loading(other) => return other.clone(),
            State::Loaded { .. } => {
                sender.send_replace(Some(Ok(())));
                return receiver;
            }
            State::Absent => *state = State::Loading(receiver.clone()),
        }
    }
    let (models, entry) = (Arc::clone(models), Arc::clone(entry));
    tokio::spawn(async move {
        let end = load(&models, &entry).await;
        if end.is_err() {
            *entry.state() = State::Absent;
        }
        sender.send_replace(Some(end));
    });
    receiver
}

async fn load(models: &Arc<Models>, entry: &Arc<Entry>) -> Result<(), Arc<LoadFailure>> {
    let _door = models.door.lock().await;
    let (models, name) = (Arc::clone(models), entry.names.given.clone());
    let work = tokio::task::spawn_blocking(move || -> Result<Engine, LoadFailure> {
        make_room(&models, &name)?;
        Ok(Engine::load(&name, &models.options, &mut |step| {
            if let LoadProgress::Note(note) = step {
                tracing::warn!(model = name, "{note}");
            }
        })?)
    });
    let loaded = work.await.unwrap_or(Err(LoadFailure::BrokenOff));
    let model = &entry.names.id;
    match loaded {
        Ok(engine) => {
            tracing::info!(model, seconds = engine.model().load_s, "loaded");
            entry.set_loaded(engine);
            Ok(())
        }
        Err(failure) => {
            tracing::warn!(model, %failure, "cannot be loaded");
            Err(Arc::new(failure))
        }
    }
}

/// Why a model is not there.
#[derive(Debug, Error)]
pub(super) enum LoadFailure {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("needs {} MB of memory, and {} MB are free", megabytes(*needed), megabytes(*free))]
    Memory { needed: u64, free: u64 },
    #[error("loading it was broken off")]
    BrokenOff,
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl LoadFailure {
    /// What a client is told. Where the files lie is nobody's business but the owner's, who finds it
    /// in the log.
    pub(super) fn for_client(&self, model: &str) -> ApiError {
        match self {
            Self::Memory { .. } => ApiError::unavailable(format!(
                "The model `{model}` {self}. Models that are in use stay loaded: try again later."
            ))
            .with_code("insufficient_memory")
            .retry_after(30),
            Self::Engine(_) | Self::BrokenOff => ApiError::unavailable(format!(
                "The model `{model}` cannot be loaded; the server's log says why."
            ))
            .with_code("model_load_failed"),
        }
    }
}

/// Unloads models that nobody uses until this one fits.
fn make_room(models: &Models, name: &str) -> Result<(), LoadFailure> {
    let options = &models.options;
    let info = store::show(name, options)?;
    let needed = info.memory_bytes(cache_tokens(options, info.trained_context));
    loop {
        let free = free_bytes(needed);
        if needed <= free {
            return Ok(());
        }
        if !models.unload_one() {
            return Err(LoadFailure::Memory { needed, free });
        }
    }
}

/// The memory that is free. What a model held that was unloaded is given back a little later, by the
/// thread that ran it.
fn free_bytes(needed: u64) -> u64 {
    let looks = (0..10).map(|look| {
        if look > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        available_bytes()
    });
    let mut most = 0;
    for free in looks {
        most = free;
        if needed <= free {
            break;
        }
    }
    most
}

/// Tokens that the cache has at least, by the options.
fn cache_tokens(options: &LoadOptions, trained_context: usize) -> usize {
    let asked = options.cache_tokens.or(options.context);
    asked.unwrap_or(LEAST_TOKENS.min(trained_context))
}
