//! Loading a model on demand: whether there is memory for it, and what goes to make room.

use std::sync::Arc;
use std::time::Duration;

use ponder_engine::{Engine, EngineError, Footprint, LoadProgress, Shortage};
use thiserror::Error;
use tokio::sync::watch;

use super::Models;
use super::entry::{Entry, Loading, State};
use crate::http::ApiError;

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
    #[error("{0} ({hint})", hint = .0.advice)]
    Memory(Shortage),
    #[error("loading it was broken off")]
    BrokenOff,
}

impl LoadFailure {
    /// What a client is told. Where the files lie is nobody's business but the owner's, who finds it
    /// in the log.
    pub(super) fn for_client(&self, model: &str) -> ApiError {
        match self {
            Self::Memory(shortage) => ApiError::unavailable(format!(
                "The model `{model}` {shortage}. Models that are in use stay loaded: try again later."
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

/// Unloads models that nobody uses until this one fits: all of it where it is wanted, or else with the
/// part on the processor that has no room on a device.
fn make_room(models: &Models, name: &str) -> Result<(), LoadFailure> {
    let footprint = Footprint::of(name, &models.options)?;
    let mut with_less = false;
    let mut found = footprint.shortage(with_less)?;
    while let Some(shortage) = found {
        if models.unload_one(shortage.place) {
            found = settled(&footprint, with_less)?;
        } else if !with_less {
            with_less = true;
            found = footprint.shortage(with_less)?;
        } else {
            let last = settled(&footprint, with_less)?;
            return last.map_or(Ok(()), |shortage| Err(LoadFailure::Memory(shortage)));
        }
    }
    Ok(())
}

/// What memory is short. What a model held that was unloaded is given back a little later, by the
/// thread that ran it.
fn settled(footprint: &Footprint, with_less: bool) -> Result<Option<Shortage>, EngineError> {
    for _ in 1..10 {
        if footprint.shortage(with_less)?.is_none() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    footprint.shortage(with_less)
}
