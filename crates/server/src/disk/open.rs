//! The folder, opened when it is first needed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::DiskError;
use crate::app::SharedApp;
use crate::batches::BatchStore;
use crate::files::FileStore;

/// The data folder, which is made when something is first kept.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: Option<PathBuf>,
    opened: OnceCell<Opened>,
}

/// What is in it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) files: Arc<FileStore>,
    pub(crate) batches: Arc<BatchStore>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Disk {
    /// A folder that need not exist yet.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            opened: OnceCell::new(),
        }
    }

    /// Whether an earlier server has left something in it.
    pub(crate) fn is_there(&self) -> bool {
        self.folder.as_deref().is_some_and(Path::is_dir)
    }

    /// Opens the folder, makes it where it is missing, and goes on with the batches in it.
    ///
    /// # Errors
    /// When there is none, another server works in it, or it cannot be used.
    pub(crate) async fn open(&self, app: &SharedApp) -> Result<&Opened, DiskError> {
        let open = || async {
            let folder = self.folder.clone().ok_or(DiskError::NoFolder)?;
            let opened = tokio::task::spawn_blocking(move || open(&folder)).await;
            let opened = opened.map_err(|error| DiskError::Io(error.into()))??;
            opened.batches.resume(app);
            Ok(opened)
        };
        self.opened.get_or_try_init(open).await
    }

    /// Ends all work in it.
    pub(crate) fn stop(&self) {
        if let Some(opened) = self.opened.get() {
            opened.batches.stop();
        }
    }
}

fn open(folder: &Path) -> Result<Opened, DiskError> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DiskError::InUse),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(Opened {
        files: Arc::new(FileStore::open(&folder.join("files"))?),
        batches: Arc::new(BatchStore::open(&folder.join("batches"))?),
        _lock: lock,
    })
}
