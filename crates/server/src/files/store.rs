//! [`FileStore`]: files on the disk, each a pair of content and what is known of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::disk::{DiskError, atomic};
use crate::http::Caller;

/// How many files are kept at most.
const MAX_FILES: usize = 10_000;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Read by a batch.
    Batch,
    /// Written by one.
    BatchOutput,
}

impl Purpose {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
        }
    }
}

/// What is known of a file beside its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileMeta {
    pub(crate) uuid: Uuid,
    pub(crate) owner: Caller,
    pub(crate) bytes: u64,
    pub(crate) created_at: u64,
    /// As the client calls it; never a name on this machine.
    pub(crate) filename: String,
    pub(crate) purpose: Purpose,
}

impl FileMeta {
    /// As clients name it.
    pub(crate) fn id(&self) -> String {
        file_id(self.uuid)
    }

    /// As it is shown.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id(),
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        })
    }
}

/// How clients name a file.
pub(crate) fn file_id(uuid: Uuid) -> String {
    format!("file-{}", uuid.simple())
}

/// All files.
#[derive(Debug)]
pub(crate) struct FileStore {
    folder: PathBuf,
    /// By name, which begins with the time: oldest first.
    metas: Mutex<BTreeMap<Uuid, FileMeta>>,
}

impl FileStore {
    /// Reads what is in the folder, and clears away what a stop has left half done.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut metas = BTreeMap::new();
        let mut others = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_meta(&path) {
                Some(meta) if path.with_extension("data").is_file() => {
                    metas.insert(meta.uuid, meta);
                }
                _ => others.push(path),
            }
        }
        for path in others {
            let uuid = path
                .file_stem()
                .and_then(|stem| Uuid::try_parse(stem.to_str()?).ok());
            let is_kept = uuid.is_some_and(|uuid| metas.contains_key(&uuid));
            let is_data = path.extension().is_some_and(|ending| ending == "data");
            // What has no name of ours is not ours to remove.
            if uuid.is_some() && !(is_kept && is_data) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            metas: Mutex::new(metas),
        })
    }

    fn metas(&self) -> MutexGuard<'_, BTreeMap<Uuid, FileMeta>> {
        // Every change is a single insertion or removal, whoever panicked.
        self.metas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, uuid: Uuid, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", uuid.simple()))
    }

    /// Where the content of a file is.
    pub(crate) fn data(&self, uuid: Uuid) -> PathBuf {
        self.path(uuid, "data")
    }

    /// Where the content of a file that is being written is.
    pub(crate) fn partial(&self, uuid: Uuid) -> PathBuf {
        self.path(uuid, "part")
    }

    /// Whether there are as many as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.metas().len() >= MAX_FILES
    }

    /// All files of `caller`, oldest first.
    pub(crate) fn all(&self, caller: Caller) -> Vec<FileMeta> {
        let metas = self.metas();
        metas
            .values()
            .filter(|meta| meta.owner == caller)
            .cloned()
            .collect()
    }

    /// The file of this name, if it belongs to `caller`.
    pub(crate) fn get(&self, uuid: Uuid, caller: Caller) -> Option<FileMeta> {
        let metas = self.metas();
        metas
            .get(&uuid)
            .filter(|meta| meta.owner == caller)
            .cloned()
    }

    /// Keeps the file at `from`, whose content is on the disk. Doing it again, after a stop, is fine.
    pub(crate) fn keep(&self, from: &Path, meta: FileMeta) -> Result<(), DiskError> {
        let data = self.data(meta.uuid);
        // Content without a record is cleared away at a start, a record without content is nothing.
        atomic::write_json(&self.path(meta.uuid, "json"), &meta)?;
        if from.exists() || !data.exists() {
            atomic::move_to(from, &data)?;
        }
        self.metas().insert(meta.uuid, meta);
        Ok(())
    }

    /// Forgets a file and its content.
    pub(crate) async fn remove(&self, uuid: Uuid) -> Result<(), DiskError> {
        // Without this half the other is cleared away at the next start.
        tokio::fs::remove_file(self.path(uuid, "json")).await?;
        self.metas().remove(&uuid);
        tokio::fs::remove_file(self.data(uuid)).await?;
        Ok(())
    }

    /// The content of a file, piece by piece.
    pub(crate) async fn read(
        &self,
        uuid: Uuid,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, DiskError> {
        let file = tokio::fs::File::open(self.data(uuid)).await?;
        Ok(stream::try_unfold(file, |mut file| async move {
            let mut piece = vec![0; 64 << 10];
            let n = file.read(&mut piece).await?;
            piece.truncate(n);
            Ok((n > 0).then(|| (Bytes::from(piece), file)))
        }))
    }
}

fn read_meta(path: &Path) -> Option<FileMeta> {
    let is_meta = path.extension().is_some_and(|ending| ending == "json");
    let bytes = is_meta.then(|| fs::read(path).ok()).flatten()?;
    let meta: FileMeta = serde_json::from_slice(&bytes).ok()?;
    let is_named_so = path.file_stem()? == meta.uuid.simple().to_string().as_str();
    is_named_so.then_some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(purpose: Purpose) -> FileMeta {
        FileMeta {
            uuid: Uuid::now_v7(),
            owner: Caller(1),
            bytes: 3,
            created_at: 5,
            filename: "../../etc/passwd".to_owned(),
            purpose,
        }
    }

    fn keep(store: &FileStore, text: &str) -> FileMeta {
        let meta = meta(Purpose::Batch);
        fs::write(store.partial(meta.uuid), text).expect("written");
        store
            .keep(&store.partial(meta.uuid), meta.clone())
            .expect("kept");
        meta
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("ASCII")
            })
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn files_are_there_after_a_restart_and_half_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::open(folder.path()).expect("opened");
        let (one, two) = (keep(&store, "one"), keep(&store, "two"));
        let lost = Uuid::now_v7();
        fs::write(store.partial(lost), "hal").expect("written");
        fs::write(store.data(Uuid::now_v7()), "without meta").expect("written");
        fs::write(folder.path().join("notes.txt"), "not ours").expect("written");
        drop(store);
        let store = FileStore::open(folder.path()).expect("opened");
        assert_eq!(store.all(Caller(1)), [one.clone(), two.clone()]);
        assert_eq!(store.all(Caller(2)), []);
        assert_eq!(names(folder.path()).len(), 5, "{:?}", names(folder.path()));
        store.remove(one.uuid).await.expect("removed");
        assert_eq!(store.get(one.uuid, Caller(1)), None);
        assert_eq!(names(folder.path()).len(), 3);
        let store = FileStore::open(folder.path()).expect("opened");
        assert_eq!(store.all(Caller(1)), [two]);
    }

    #[test]
    fn keeping_a_file_again_after_a_stop_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::open(folder.path()).expect("opened");
        let meta = keep(&store, "one");
        store
            .keep(&store.partial(meta.uuid), meta.clone())
            .expect("kept");
        assert_eq!(fs::read(store.data(meta.uuid)).expect("read"), b"one");
    }

    #[test]
    fn no_name_of_a_client_is_a_name_on_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::open(folder.path()).expect("opened");
        let meta = keep(&store, "one");
        let hex = meta.uuid.simple().to_string();
        assert_eq!(
            names(folder.path()),
            [format!("{hex}.data"), format!("{hex}.json")]
        );
    }
}
