//! The Hugging Face Hub and the local model store.
//!
//! 1. [`ModelRef::parse`] reads what the user typed: a path, `owner/repo`,
//!    `owner/repo:Q4_K_M`, `owner/repo:file.gguf`, any of these with `@revision`,
//!    a short name of the registry, or `default`.
//! 2. [`Store::resolve`] turns it into a path on disk: from the cache when the
//!    files are there, else by a download. [`Store::pull`] always asks the hub.
//! 3. [`Store::list`] and [`Store::remove`] look after what has been downloaded.
//!
//! The store is the standard Hugging Face cache (`models--owner--name/{blobs,refs,snapshots}`),
//! shared with every other tool that uses it.
//!
//! Revisions, listings and file contents come through `hf-hub`. What that crate lacks is here:
//! resuming after a cut, checksums, waits that honour `Retry-After`, the space check, locks
//! that outlast ten seconds, and names from the server that cannot leave the cache.

mod answers;
mod error;
mod fetch;
mod inventory;
mod layout;
mod options;
mod progress;
mod reference;
mod registry;
mod remote;
mod retry;
mod select;
mod store;

pub use error::HubError;
pub use inventory::{StoredFile, StoredModel};
pub use layout::RepoId;
pub use options::{RetryPolicy, StoreOptions};
pub use progress::Progress;
pub use reference::{FileSpec, HubRef, ModelRef};
pub use registry::{RegistryEntry, registry};
pub use store::Store;
