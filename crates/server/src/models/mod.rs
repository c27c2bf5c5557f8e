//! The models that are served, loaded when they are asked for.
//!
//! [`Models::get`] gives a [`Lease`]: while one is held, its model stays. A load under way is shared by
//! all who wait for it, and goes on when they leave.

mod entry;
mod load;
mod names;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ponder_engine::{Engine, LoadOptions, MemoryPlace};
use tokio::sync::Mutex;

use crate::error::ServeError;
use crate::http::ApiError;
use entry::Entry;
pub(crate) use entry::Lease;
use load::LoadFailure;
pub(crate) use names::Names;

/// All of them, in the order in which they were named.
#[derive(Debug)]
pub(crate) struct Models {
    entries: Vec<Arc<Entry>>,
    options: LoadOptions,
    /// Held while a model is loaded: two that are loaded at once would both take the memory that is
    /// free now.
    door: Mutex<()>,
}

impl Models {
    /// Models by name, none of them loaded.
    pub(crate) fn new(models: &[String], options: LoadOptions) -> Result<Arc<Self>, ServeError> {
        let names = names::of_all(models)?;
        Ok(Arc::new(Self {
            entries: names.into_iter().map(Entry::new).map(Arc::new).collect(),
            options,
            door: Mutex::new(()),
        }))
    }

    /// All names, with the engine of each that is loaded, and since when it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Names, Option<(Arc<Engine>, u64)>)> {
        self.entries
            .iter()
            .map(|entry| (&entry.names, entry.loaded()))
    }

    /// The model called `name`, or the first one; loaded if it is not.
    ///
    /// # Errors
    /// When there is no such model, or it cannot be loaded.
    pub(crate) async fn get(self: &Arc<Self>, name: Option<&str>) -> Result<Lease, ApiError> {
        let entry = self.find(name)?;
        let lease = self.load(entry).await;
        lease.map_err(|failure| failure.for_client(&entry.names.id))
    }

    /// Loads the first model.
    ///
    /// # Errors
    /// When it cannot be loaded, for its owner to read.
    pub(crate) async fn load_first(self: &Arc<Self>) -> Result<(), ServeError> {
        let entry = &self.entries[0];
        let loaded = self.load(entry).await;
        loaded.map(drop).map_err(|failure| ServeError::Load {
            name: entry.names.given.clone(),
            message: failure.to_string(),
        })
    }

    async fn load(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Lease, Arc<LoadFailure>> {
        loop {
            let mut loading = match entry.lease_or_loading() {
                Ok(lease) => return Ok(lease),
                Err(Some(loading)) => loading,
                Err(None) => load::start(self, entry),
            };
            let end = loading.wait_for(Option::is_some).await;
            match end.as_deref() {
                Ok(Some(Err(failure))) => return Err(Arc::clone(failure)),
                // Loaded; unless somebody was faster and it is gone again.
                Ok(_) => {}
                Err(_) => return Err(Arc::new(LoadFailure::BrokenOff)),
            }
        }
    }

    /// What clients call the model that `name` means.
    ///
    /// # Errors
    /// When there is no such model.
    pub(crate) fn id_of(&self, name: &str) -> Result<&str, ApiError> {
        Ok(&self.find(Some(name))?.names.id)
    }

    fn find(&self, name: Option<&str>) -> Result<&Arc<Entry>, ApiError> {
        let Some(name) = name else {
            // `names::of_all` refuses an empty list.
            return Ok(&self.entries[0]);
        };
        let found = self.entries.iter().find(|entry| entry.names.has(name));
        found.ok_or_else(|| unknown_model(name))
    }

    /// Unloads models that nobody has used for `idle`.
    pub(crate) fn unload_idle(&self, idle: Duration) {
        for entry in &self.entries {
            if entry.unload_if(|last_used| last_used.elapsed() > idle) {
                tracing::info!(model = entry.names.id, "unloaded after being idle");
            }
        }
    }

    /// Unloads the model that was not used for the longest time, of those that nobody uses and that take
    /// memory there. Returns whether there was one.
    fn unload_one(&self, place: MemoryPlace) -> bool {
        let mut unused: Vec<(Instant, &Arc<Entry>)> = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry.unused_since(place)?, entry)))
            .collect();
        unused.sort_by_key(|(since, _)| *since);
        unused.iter().any(|(_, entry)| {
            let is_gone = entry.unload_if(|_| true);
            if is_gone {
                tracing::info!(model = entry.names.id, "unloaded to make room");
            }
            is_gone
        })
    }
}

fn unknown_model(name: &str) -> ApiError {
    let name: String = name.chars().take(200).collect();
    ApiError::not_found(format!(
        "The model `{name}` does not exist or is not served here. GET /v1/models lists what is."
    ))
    .at("model")
    .with_code("model_not_found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_makes_room_is_where_room_is_wanted() {
        let models = Models::new(&["default".to_owned()], LoadOptions::default()).expect("a name");
        let lease = models.get(None).await.expect("it is part of the program");
        assert!(!models.unload_one(MemoryPlace::Machine), "somebody uses it");
        drop(lease);
        assert!(!models.unload_one(MemoryPlace::Cuda(0)), "it is not there");
        assert!(models.unload_one(MemoryPlace::Machine));
        assert!(!models.unload_one(MemoryPlace::Machine), "it is gone");
    }
}
