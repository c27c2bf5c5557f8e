//! What is in the store, and removing it. Neither follows a link out of the cache.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::layout::{Lock, RepoDir, is_hex, remove_if_present};
use super::select::{Selection, select};
use super::{HubError, HubRef, RepoId};

/// A commit of a repository of which there are files in the store.
#[derive(Debug, Clone)]
pub struct StoredModel {
    /// `owner/name`.
    pub repo: RepoId,
    /// Commit.
    pub revision: String,
    /// Branches and tags that stood for this commit when they were last pulled.
    pub refs: Vec<String>,
    /// In the order of their names.
    pub files: Vec<StoredFile>,
    /// Size of all files. Commits share the files that are equal in them, so the sum over
    /// the commits of a repository may be more than the disk holds.
    pub bytes: u64,
    /// The folder `snapshots/<commit>`.
    pub path: PathBuf,
}

/// A file of a [`StoredModel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Path inside the repository.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

/// A file name in a snapshot and what holds its contents.
struct Pointer {
    path: PathBuf,
    name: String,
    /// Name of the blob; `None` where links are not symbolic and the file is its own contents.
    etag: Option<String>,
    bytes: u64,
}

/// All repositories that have a folder in the cache.
pub(super) fn repos(cache: &Path) -> Vec<RepoId> {
    let mut repos: Vec<RepoId> = entries(cache)
        .filter(|path| is_folder(path))
        .filter_map(|path| RepoId::from_folder_name(path.file_name()?.to_str()?))
        .collect();
    repos.sort();
    repos
}

/// All commits of a repository of which there are files.
pub(super) fn models(dir: &RepoDir) -> Vec<StoredModel> {
    let refs = refs(dir);
    let mut models: Vec<StoredModel> = commits(dir)
        .map(|revision| {
            let path = dir.snapshot(&revision);
            let files: Vec<StoredFile> = pointers(dir, &revision)
                .into_iter()
                .map(|pointer| StoredFile {
                    name: pointer.name,
                    bytes: pointer.bytes,
                })
                .collect();
            let names = refs
                .iter()
                .filter(|(_, commit)| *commit == revision)
                .map(|(name, _)| name.clone());
            let bytes = files.iter().map(|file| file.bytes).sum();
            StoredModel {
                repo: dir.repo.clone(),
                refs: names.collect(),
                files,
                bytes,
                path,
                revision,
            }
        })
        .filter(|model| !model.files.is_empty())
        .collect();
    models.sort_by(|a, b| a.revision.cmp(&b.revision));
    models
}

/// The names of the files of a snapshot whose contents are there.
pub(super) fn file_names(dir: &RepoDir, commit: &str) -> Vec<String> {
    pointers(dir, commit)
        .into_iter()
        .map(|pointer| pointer.name)
        .collect()
}

/// Removes a repository, one commit of it, or one model of it; gives the bytes that became free.
pub(super) fn remove(dir: &RepoDir, hub: &HubRef) -> Result<Option<u64>, HubError> {
    if !is_folder(&dir.root) {
        return Ok(None);
    }
    let _locks = lock_all(dir)?;
    let doomed = if hub.file.is_none() && hub.revision.is_none() {
        None
    } else {
        let commits: Vec<String> = match &hub.revision {
            Some(revision) => dir.commit_of(revision).into_iter().collect(),
            None => commits(dir).collect(),
        };
        let doomed = choose(dir, &commits, hub)?;
        if doomed.is_empty() {
            return Ok(None);
        }
        Some(doomed)
    };
    let before = size(&dir.root);
    if let Some(doomed) = doomed {
        remove_pointers(dir, &doomed)?;
    }
    if hub.file.is_none() && hub.revision.is_none() || commits(dir).next().is_none() {
        // `remove_dir_all` removes links and not what they lead to.
        fs::remove_dir_all(&dir.root).map_err(HubError::io(&dir.root))?;
        return Ok(Some(before));
    }
    Ok(Some(before.saturating_sub(size(&dir.root))))
}

/// The pointers that the reference names.
fn choose(dir: &RepoDir, commits: &[String], hub: &HubRef) -> Result<Vec<Pointer>, HubError> {
    let mut chosen = Vec::new();
    let mut last_error = None;
    for commit in commits {
        let mut pointers = pointers(dir, commit);
        if hub.file.is_some() {
            let names: Vec<String> = pointers
                .iter()
                .map(|pointer| pointer.name.clone())
                .collect();
            match select(&hub.repo, &names, hub.file.as_ref()) {
                Ok(Selection::Gguf(parts)) => {
                    pointers.retain(|pointer| parts.contains(&pointer.name))
                }
                Ok(Selection::Folder { .. }) => pointers.clear(),
                Err(error) => {
                    last_error = Some(error);
                    pointers.clear();
                }
            }
        }
        chosen.extend(pointers);
    }
    match last_error {
        Some(error) if chosen.is_empty() => Err(error),
        _ => Ok(chosen),
    }
}

/// Removes these pointers, the blobs that only they led to, and what is empty afterwards.
fn remove_pointers(dir: &RepoDir, doomed: &[Pointer]) -> Result<(), HubError> {
    for pointer in doomed {
        remove_if_present(&pointer.path)?;
    }
    for commit in commits(dir).collect::<Vec<_>>() {
        if pointers(dir, &commit).is_empty() {
            let path = dir.snapshot(&commit);
            fs::remove_dir_all(&path).map_err(HubError::io(&path))?;
            for (name, _) in refs(dir)
                .into_iter()
                .filter(|(_, target)| *target == commit)
            {
                remove_if_present(&dir.refs().join(name))?;
            }
        }
    }
    let kept: HashSet<String> = commits(dir)
        .flat_map(|commit| pointers(dir, &commit))
        .filter_map(|pointer| pointer.etag)
        .collect();
    for etag in doomed.iter().filter_map(|pointer| pointer.etag.as_ref()) {
        if !kept.contains(etag) {
            remove_if_present(&dir.blob(etag))?;
        }
    }
    Ok(())
}

/// Takes the locks of all files, so that no download runs while the repository goes.
fn lock_all(dir: &RepoDir) -> Result<Vec<Lock>, HubError> {
    let mut locks = Vec::new();
    for path in entries(dir.locks()) {
        let Some(etag) = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".lock"))
        else {
            continue;
        };
        let lock = dir.lock(etag)?;
        if !lock.try_take()? {
            return Err(HubError::Busy {
                repo: dir.repo.to_string(),
            });
        }
        locks.push(lock);
    }
    Ok(locks)
}

fn commits(dir: &RepoDir) -> impl Iterator<Item = String> + use<> {
    let folders = entries(&dir.snapshots()).filter(|path| is_folder(path));
    folders
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .filter(|name| is_hex(name))
}

/// Names and commits of all refs.
fn refs(dir: &RepoDir) -> Vec<(String, String)> {
    let root = dir.refs();
    let mut refs: Vec<(String, String)> = walk(&root)
        .into_iter()
        .filter_map(|(path, name)| Some((name, fs::read_to_string(path).ok()?.trim().to_owned())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    refs.sort();
    refs
}

fn pointers(dir: &RepoDir, commit: &str) -> Vec<Pointer> {
    let mut pointers: Vec<Pointer> = walk(&dir.snapshot(commit))
        .into_iter()
        .filter_map(|(path, name)| {
            let meta = fs::symlink_metadata(&path).ok()?;
            if meta.is_file() {
                return Some(Pointer {
                    path,
                    name,
                    etag: None,
                    bytes: meta.len(),
                });
            }
            let etag = blob_name(&fs::read_link(&path).ok()?)?;
            let blob = fs::symlink_metadata(dir.blob(&etag))
                .ok()
                .filter(fs::Metadata::is_file)?;
            Some(Pointer {
                path,
                name,
                etag: Some(etag),
                bytes: blob.len(),
            })
        })
        .collect();
    pointers.sort_by(|a, b| a.name.cmp(&b.name));
    pointers
}

/// The blob that a link of the form `../../blobs/<etag>` leads to.
fn blob_name(target: &Path) -> Option<String> {
    let mut parts = target
        .components()
        .skip_while(|part| matches!(part, Component::ParentDir));
    match (parts.next()?, parts.next()?, parts.next()) {
        (Component::Normal(blobs), Component::Normal(etag), None) if blobs == "blobs" => {
            etag.to_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// Paths and slash-separated names of everything below `root` that is not a folder.
fn walk(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for path in entries(&folder) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let name = format!("{prefix}{name}");
            if is_folder(&path) {
                folders.push((path, format!("{name}/")))
            } else {
                found.push((path, name))
            }
        }
    }
    found
}

/// Bytes of all files below a folder; links count nothing.
fn size(root: &Path) -> u64 {
    let file_size = |path: &Path| {
        fs::symlink_metadata(path)
            .ok()
            .filter(fs::Metadata::is_file)
            .map_or(0, |m| m.len())
    };
    walk(root).iter().map(|(path, _)| file_size(path)).sum()
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}
