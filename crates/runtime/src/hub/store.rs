//! From a reference to files: the cache first, then the hub.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::fetch::{Download, check_space};
use super::layout::{RepoDir, safe_relative};
use super::remote::{Remote, RemoteFile};
use super::retry::repeat;
use super::select::{Selection, Weights, select};
use super::{HubError, HubRef, ModelRef, Progress, StoreOptions, StoredModel, inventory};

/// The revision of a reference that names none.
const DEFAULT_REVISION: &str = "main";

/// An index names tensors by the ten thousand, at some hundred bytes each.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// The models on this machine, and the way to get more.
///
/// Not to be called from inside an asynchronous runtime: downloads run one of their own.
#[derive(Debug, Clone)]
pub struct Store {
    options: StoreOptions,
}

impl Store {
    /// A store with these settings; nothing is read or created before it is used.
    pub fn new(options: StoreOptions) -> Store {
        Store { options }
    }

    /// A store as the environment describes it; see [`StoreOptions::from_env`].
    pub fn from_env() -> Store {
        Store::new(StoreOptions::from_env())
    }

    /// The settings.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The path of a model's files: a GGUF (of a split one the first part, its siblings beside
    /// it) or a folder.
    ///
    /// What is complete in the cache is used without asking the hub whether a branch has moved
    /// on; [`pull`](Self::pull) asks. Otherwise it is downloaded, unless the store is offline.
    ///
    /// # Errors
    /// Any [`HubError`]; [`HubError::Embedded`] for `default`, which has no files.
    pub fn resolve(
        &self,
        model: &ModelRef,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf, HubError> {
        let hub = match model {
            ModelRef::Default => return Err(HubError::Embedded),
            ModelRef::Path(path) if path.exists() => return Ok(path.clone()),
            ModelRef::Path(path) => return Err(HubError::NoSuchPath { path: path.clone() }),
            ModelRef::Hub(hub) => hub,
        };
        match self.cached(hub) {
            Ok(Some(path)) => Ok(path),
            Err(error) if self.options.offline => Err(error),
            _ => self.pull(hub, progress),
        }
    }

    /// Downloads what is missing of the revision's present commit, and gives the path as
    /// [`resolve`](Self::resolve) does.
    ///
    /// # Errors
    /// Any [`HubError`]. After [`HubError::Interrupted`] and [`HubError::DiskFull`] the part
    /// that came is kept and the next call goes on from it.
    pub fn pull(
        &self,
        hub: &HubRef,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf, HubError> {
        if self.options.offline {
            return Err(HubError::Offline {
                wanted: hub.to_string(),
                cached: self.cached_names(),
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(HubError::io(&self.options.cache_dir))?;
        let result = runtime.block_on(async {
            let remote = Remote::new(&self.options, &hub.repo)?;
            let dir = RepoDir::new(&self.options.cache_dir, &hub.repo);
            Pull {
                options: &self.options,
                remote,
                dir,
            }
            .run(hub, progress)
            .await
        });
        result.map_err(|error| match error {
            HubError::NoNetwork {
                endpoint, reason, ..
            } => HubError::NoNetwork {
                endpoint,
                reason,
                cached: self.cached_names(),
            },
            error => error,
        })
    }

    /// All commits of all repositories of which there are files, sorted by repository.
    ///
    /// # Errors
    /// None at present: what cannot be read is left out, as is what is no model repository.
    pub fn list(&self) -> Result<Vec<StoredModel>, HubError> {
        let cache = &self.options.cache_dir;
        let dirs = inventory::repos(cache)
            .into_iter()
            .map(|repo| RepoDir::new(cache, &repo));
        Ok(dirs.flat_map(|dir| inventory::models(&dir)).collect())
    }

    /// Removes a repository, or only the commit or the GGUF that the reference names, and the
    /// contents that nothing else in the cache uses. Gives the bytes that became free.
    ///
    /// # Errors
    /// [`HubError::NotCached`], [`HubError::Busy`] while a download runs, file system errors.
    pub fn remove(&self, hub: &HubRef) -> Result<u64, HubError> {
        let dir = RepoDir::new(&self.options.cache_dir, &hub.repo);
        inventory::remove(&dir, hub)?.ok_or_else(|| HubError::NotCached {
            wanted: hub.to_string(),
            cached: self.cached_names(),
        })
    }

    fn cached_names(&self) -> Vec<String> {
        inventory::repos(&self.options.cache_dir)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The path of a model that is complete in the cache.
    fn cached(&self, hub: &HubRef) -> Result<Option<PathBuf>, HubError> {
        let dir = RepoDir::new(&self.options.cache_dir, &hub.repo);
        let revision = hub.revision.as_deref().unwrap_or(DEFAULT_REVISION);
        let mut commits: Vec<String> = dir.commit_of(revision).into_iter().collect();
        if self.options.offline && hub.revision.is_none() {
            // The branch may have moved on with a pull of another file of the repository.
            commits.extend(
                inventory::models(&dir)
                    .into_iter()
                    .map(|model| model.revision),
            );
        }
        let mut ambiguous = None;
        for commit in &commits {
            let names = inventory::file_names(&dir, commit);
            match select(&hub.repo, &names, hub.file.as_ref()) {
                Ok(selection) => {
                    if let Some(path) = complete(&dir.snapshot(commit), &names, &selection) {
                        return Ok(Some(path));
                    }
                }
                Err(error @ HubError::Ambiguous { .. }) => ambiguous = Some(error),
                Err(_) => {}
            }
        }
        match ambiguous {
            Some(error) => Err(error),
            None if self.options.offline => Err(HubError::Offline {
                wanted: hub.to_string(),
                cached: self.cached_names(),
            }),
            None => Ok(None),
        }
    }
}

/// The path of the selection when all of it is in the snapshot. Small files are downloaded
/// before the weights, so weights that are there mean that the rest is.
fn complete(snapshot: &Path, names: &[String], selection: &Selection) -> Option<PathBuf> {
    match selection {
        Selection::Gguf(parts) => Some(snapshot.join(parts.first()?)),
        Selection::Folder {
            weights: Weights::Files(_),
            ..
        } => Some(snapshot.to_path_buf()),
        Selection::Folder {
            weights: Weights::Index(index),
            ..
        } => {
            let shards = read_index(&snapshot.join(index)).ok()?;
            shards
                .iter()
                .all(|shard| names.contains(shard))
                .then(|| snapshot.to_path_buf())
        }
    }
}

/// The files that an index of safetensors names, each once.
fn read_index(path: &Path) -> Result<Vec<String>, &'static str> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::HashMap<String, String>,
    }
    let size = fs::metadata(path)
        .map_err(|_| "the index cannot be read")?
        .len();
    if size > INDEX_BYTES_MAX {
        return Err("the index is too long");
    }
    let text = fs::read(path).map_err(|_| "the index cannot be read")?;
    let index: Index = serde_json::from_slice(&text).map_err(|_| "the index has no weight_map")?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(shards.into_iter().collect())
}

/// One run of [`Store::pull`].
struct Pull<'a> {
    options: &'a StoreOptions,
    remote: Remote<'a>,
    dir: RepoDir,
}

impl Pull<'_> {
    async fn run(
        &self,
        hub: &HubRef,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf, HubError> {
        let (retry, repo) = (&self.options.retry, hub.repo.as_str());
        let revision = hub.revision.as_deref().unwrap_or(DEFAULT_REVISION);
        let commit = repeat(retry, repo, progress, async || {
            self.remote.commit(revision).await
        })
        .await?;
        let files = repeat(retry, repo, progress, async || {
            self.remote.list(&commit).await
        })
        .await?;
        let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
        let path = match select(&hub.repo, &names, hub.file.as_ref())? {
            Selection::Gguf(parts) => {
                let paths = self.batch(&commit, &files, &parts, progress).await?;
                paths
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| self.dir.snapshot(&commit))
            }
            Selection::Folder { small, weights } => {
                self.batch(&commit, &files, &small, progress).await?;
                let snapshot = self.dir.snapshot(&commit);
                let shards = match weights {
                    Weights::Files(files) => files,
                    Weights::Index(index) => read_index(&snapshot.join(&index))
                        .map_err(|reason| self.remote.malformed_error(&index, reason))?,
                };
                self.batch(&commit, &files, &shards, progress).await?;
                snapshot
            }
        };
        // Last, so that the ref never leads to a commit of which nothing is there.
        self.dir.write_ref(revision, &commit)?;
        Ok(path)
    }

    /// Downloads files of the commit and gives their paths in the snapshot.
    async fn batch(
        &self,
        commit: &str,
        files: &[RemoteFile],
        names: &[String],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<PathBuf>, HubError> {
        let mut plan = Vec::with_capacity(names.len());
        for name in names {
            let relative = safe_relative(name).ok_or_else(|| self.unsafe_name(name))?;
            let file = files
                .iter()
                .find(|file| file.name == *name)
                .ok_or_else(|| HubError::FileNotFound {
                    repo: self.dir.repo.to_string(),
                    wanted: name.clone(),
                    available: files.iter().map(|file| file.name.clone()).collect(),
                })?;
            let retry = &self.options.retry;
            let blob = repeat(retry, name, progress, async || {
                self.remote.blob(commit, file).await
            })
            .await?;
            plan.push((relative, file, blob));
        }
        let downloads: Vec<Download<'_>> = plan
            .iter()
            .map(|(_, file, blob)| Download {
                remote: &self.remote,
                dir: &self.dir,
                commit,
                file,
                blob,
                retry: &self.options.retry,
            })
            .collect();
        let bytes = downloads.iter().fold(0_u64, |sum, download| {
            sum.saturating_add(download.missing())
        });
        progress(Progress::Plan {
            files: downloads.len(),
            bytes,
        });
        check_space(&self.dir, bytes)?;
        let mut paths = Vec::with_capacity(plan.len());
        for (download, (relative, _, blob)) in downloads.iter().zip(&plan) {
            download.run(progress).await?;
            paths.push(self.dir.link(commit, relative, &blob.etag)?);
        }
        Ok(paths)
    }

    fn unsafe_name(&self, name: &str) -> HubError {
        HubError::UnsafeName {
            repo: self.dir.repo.to_string(),
            what: "file name",
            name: name.to_owned(),
        }
    }
}
