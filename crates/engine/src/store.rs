//! The local model store, which is the standard Hugging Face cache.

use std::path::PathBuf;

pub use ponder_runtime::hub::{Progress, StoredFile, StoredModel};

use ponder_runtime::hub::ModelRef;

use crate::{
    EngineError, LoadOptions, ModelInfo,
    load::{self, Place},
};

/// Fetches a model, or what of it is missing, and gives its path.
///
/// # Errors
/// Everything that can happen on the way to the hub.
pub fn pull(
    model: &str,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, EngineError> {
    match ModelRef::parse(model)? {
        ModelRef::Hub(mut hub) => {
            hub.revision = options.revision.clone().or(hub.revision);
            Ok(load::store(options).pull(&hub, progress)?)
        }
        ModelRef::Default => Err(EngineError::Embedded),
        ModelRef::Path(_) => match load::resolve(model, options, progress)? {
            Place::Files(path) => Ok(path),
            Place::Embedded => Err(EngineError::Embedded),
        },
    }
}

/// The model `default`, which is part of the program: a GGUF file.
pub fn embedded() -> &'static [u8] {
    ponder_models::DEFAULT
}

/// The models in the store.
///
/// # Errors
/// When the store cannot be read.
pub fn list() -> Result<Vec<StoredModel>, EngineError> {
    Ok(load::store(&LoadOptions::default()).list()?)
}

/// Removes a model and gives the bytes that became free. Files outside the store are never touched.
///
/// # Errors
/// When the model is not in the store.
pub fn remove(model: &str) -> Result<u64, EngineError> {
    match ModelRef::parse(model)? {
        ModelRef::Hub(hub) => Ok(load::store(&LoadOptions::default()).remove(&hub)?),
        ModelRef::Default => Err(EngineError::Embedded),
        ModelRef::Path(path) => Err(EngineError::File {
            path,
            message: "is not in the store (hint: `ponder list` shows what is; delete other files yourself)".into(),
        }),
    }
}

/// Facts about a model, without loading it.
///
/// # Errors
/// When it is not there or cannot be understood.
pub fn show(model: &str, options: &LoadOptions) -> Result<ModelInfo, EngineError> {
    load::describe(model, options)
}
