//! Stores in temporary folders, and content to put into repositories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ponder_runtime::hub::{HubError, HubRef, ModelRef, Progress, RetryPolicy, Store, StoreOptions};
use tempfile::TempDir;

use crate::server::Hub;

pub(crate) const REPO: &str = "org/tiny";

/// Waits short enough for tests.
pub(crate) fn options(endpoint: &str, cache: &Path) -> StoreOptions {
    StoreOptions {
        cache_dir: cache.to_path_buf(),
        endpoint: endpoint.to_owned(),
        token: None,
        offline: false,
        retry: RetryPolicy {
            attempts: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_secs(2),
            silence: Duration::from_millis(400),
        },
    }
}

/// A store of its own for one test.
pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) cache: TempDir,
}

impl Bench {
    pub(crate) fn new(hub: Hub) -> Bench {
        Bench {
            hub,
            cache: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn options(&self) -> StoreOptions {
        options(&self.hub.endpoint, self.cache.path())
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.options())
    }

    pub(crate) fn offline(&self) -> Store {
        Store::new(StoreOptions {
            offline: true,
            ..self.options()
        })
    }

    pub(crate) fn pull(&self, reference: &str) -> Result<PathBuf, HubError> {
        self.store().pull(&hub_ref(reference), &mut |_| {})
    }

    /// The folder of [`REPO`] in the cache.
    pub(crate) fn root(&self) -> PathBuf {
        self.cache.path().join("models--org--tiny")
    }

    /// What is left of interrupted downloads, in bytes.
    pub(crate) fn incomplete(&self) -> u64 {
        let entries = std::fs::read_dir(self.root().join("blobs"))
            .into_iter()
            .flatten()
            .flatten();
        let partial =
            entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".incomplete"));
        partial.map(|entry| entry.metadata().unwrap().len()).sum()
    }
}

pub(crate) fn hub_ref(reference: &str) -> HubRef {
    match ModelRef::parse(reference).unwrap() {
        ModelRef::Hub(hub) => hub,
        other => panic!("{reference} is {other:?}"),
    }
}

/// What a pull gave and reported.
pub(crate) struct Recorded {
    pub(crate) result: Result<PathBuf, HubError>,
    /// `(done, total)` of the files.
    pub(crate) bytes: Vec<(u64, u64)>,
    /// All other events.
    pub(crate) others: Vec<String>,
}

pub(crate) fn pull_recorded(store: &Store, reference: &str) -> Recorded {
    let (mut bytes, mut others) = (Vec::new(), Vec::new());
    let result = store.pull(&hub_ref(reference), &mut |progress| match progress {
        Progress::File { done, total, .. } => bytes.push((done, total)),
        other => others.push(format!("{other:?}")),
    });
    Recorded {
        result,
        bytes,
        others,
    }
}

/// Bytes that differ at every place and compress badly.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
