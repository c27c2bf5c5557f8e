//! The folders of the Hugging Face cache, and the names that may enter them.
//!
//! ```text
//! <cache>/.locks/models--owner--name/<etag>.lock
//! <cache>/models--owner--name/blobs/<etag>             contents, named by SHA-256 (or git hash)
//! <cache>/models--owner--name/blobs/<etag>.incomplete  what an interrupted download left
//! <cache>/models--owner--name/refs/<revision>          the commit that a branch or tag stood for
//! <cache>/models--owner--name/snapshots/<commit>/…     links into blobs, under the real names
//! ```
//!
//! Every name that a server or a user gives passes one of the checks here before it
//! becomes part of a path.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::HubError;

/// A checked `owner/name`: both parts have only letters, digits, `.`, `_` and `-`, and neither
/// `..` nor `--`, as the hub itself demands. So the folder name in the cache can be read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId(String);

impl RepoId {
    /// Checks `owner/name`; the error says what is wrong with it.
    ///
    /// # Errors
    /// A reason in a few words.
    pub fn parse(text: &str) -> Result<RepoId, &'static str> {
        let (owner, name) = text.split_once('/').ok_or("a hub id is owner/name")?;
        for part in [owner, name] {
            let plain = part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            if part.is_empty() || part.len() > 96 || !plain {
                return Err("owner and name have letters, digits, `.`, `_` and `-`");
            }
            if part.contains("..") || part.contains("--") || part == "." {
                return Err("owner and name have neither `..` nor `--`");
            }
        }
        Ok(RepoId(text.to_owned()))
    }

    /// `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The two parts.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }

    /// Folder below the cache.
    pub(super) fn folder_name(&self) -> String {
        let (owner, name) = self.parts();
        format!("models--{owner}--{name}")
    }

    /// The repository whose folder this is.
    pub(super) fn from_folder_name(folder: &str) -> Option<RepoId> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        RepoId::parse(&format!("{owner}/{name}")).ok()
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a branch, tag or commit by the rules of `git check-ref-format`.
pub(super) fn check_revision(revision: &str) -> Result<(), &'static str> {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    if revision.is_empty() || revision.len() > 200 || revision.contains(bad) {
        return Err("a revision is a branch, a tag or a commit");
    }
    let part_is_bad =
        |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if revision.contains("..") || revision.split('/').any(part_is_bad) {
        return Err("a revision is a branch, a tag or a commit");
    }
    Ok(())
}

/// Whether this is the name of a commit rather than of a branch or tag.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hex(revision)
}

pub(super) fn is_hex(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// The relative path of a file of a repository, or `None` when it is refused: absolute,
/// with `.` or `..`, with characters that some system reads as a separator or a drive.
pub(super) fn safe_relative(name: &str) -> Option<PathBuf> {
    let bad = |c: char| c.is_control() || matches!(c, '\\' | ':');
    if name.len() > 1024 || name.contains(bad) {
        return None;
    }
    let part_is_bad =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 255;
    if name.split('/').any(part_is_bad) {
        return None;
    }
    let path = PathBuf::from(name);
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
        .then_some(path)
}

/// The cache folder of one repository.
#[derive(Debug, Clone)]
pub(super) struct RepoDir {
    pub(super) repo: RepoId,
    pub(super) root: PathBuf,
    locks: PathBuf,
}

impl RepoDir {
    pub(super) fn new(cache: &Path, repo: &RepoId) -> RepoDir {
        let folder = repo.folder_name();
        RepoDir {
            repo: repo.clone(),
            root: cache.join(&folder),
            locks: cache.join(".locks").join(folder),
        }
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// `etag` must have passed [`is_hex`].
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.blobs().join(etag)
    }

    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.blobs().join(format!("{etag}.incomplete"))
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    pub(super) fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    pub(super) fn locks(&self) -> &Path {
        &self.locks
    }

    /// The commit that a revision stood for when it was last pulled.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = fs::read_to_string(self.refs().join(revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Records what a branch or tag stands for. A commit needs no record.
    pub(super) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.refs().join(revision);
        create_parent(&path)?;
        let temporary = self
            .refs()
            .join(format!(".{}.{}", commit, std::process::id()));
        fs::write(&temporary, commit).map_err(HubError::io(&temporary))?;
        fs::rename(&temporary, &path).map_err(HubError::io(&path))
    }

    /// Makes `snapshots/<commit>/<name>` stand for `blobs/<etag>` and returns its path.
    pub(super) fn link(&self, commit: &str, name: &Path, etag: &str) -> Result<PathBuf, HubError> {
        let pointer = self.snapshot(commit).join(name);
        create_parent(&pointer)?;
        let depth = name.components().count() + 1;
        let target = (0..depth)
            .fold(PathBuf::new(), |path, _| path.join(".."))
            .join("blobs")
            .join(etag);
        if fs::read_link(&pointer).is_ok_and(|present| present == target) {
            return Ok(pointer);
        }
        // A rename replaces the pointer in one step, so that a process that runs the model
        // or pulls it at the same moment never finds it missing.
        let temporary = self
            .snapshot(commit)
            .join(format!(".{etag}.{}", std::process::id()));
        remove_if_present(&temporary)?;
        make_link(&target, &self.blob(etag), &temporary).map_err(HubError::io(&pointer))?;
        fs::rename(&temporary, &pointer).map_err(HubError::io(&pointer))?;
        Ok(pointer)
    }

    /// Opens the lock of one blob; the same file that `huggingface_hub` and `hf-hub` lock.
    pub(super) fn lock(&self, etag: &str) -> Result<Lock, HubError> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        Ok(Lock {
            file: open.map_err(HubError::io(&path))?,
            path,
        })
    }
}

/// An advisory lock; the system releases it when the process ends, however it ends.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock unless another process has it.
    pub(super) fn try_take(&self) -> Result<bool, HubError> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            // Network file systems may have no locks. The rename at the end of a download keeps
            // the blob whole even so; only work may be done twice.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(true),
            Err(TryLockError::Error(error)) => Err(HubError::io(&self.path)(error)),
        }
    }
}

pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(HubError::io(parent))
}

pub(super) fn remove_if_present(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(HubError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn make_link(target: &Path, _blob: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

/// Symbolic links need a privilege on Windows; a hard link costs no space either.
#[cfg(not(unix))]
fn make_link(_target: &Path, blob: &Path, pointer: &Path) -> io::Result<()> {
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_ids_survive_the_way_through_the_folder_name() {
        for id in ["Qwen/Qwen3-0.6B", "a/b", "org_1/x.y-z_w"] {
            let repo = RepoId::parse(id).unwrap();
            assert_eq!(RepoId::from_folder_name(&repo.folder_name()), Some(repo));
        }
        for id in [
            "", "gpt2", "/b", "a/", "a/b/c", "../b", "a/..", "a--b/c", "a/b\0", "a/b c", "./b",
            "a/ü",
        ] {
            assert!(RepoId::parse(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for name in [
            "config.json",
            "Q4_K_M/model-00001-of-00002.gguf",
            "..a",
            "a..",
            "ü.txt",
        ] {
            assert!(safe_relative(name).is_some(), "{name:?}");
        }
        let hostile = [
            "",
            ".",
            "..",
            "../x",
            "a/../x",
            "/etc/passwd",
            "a//b",
            "a/",
            "a\0b",
            "C:x",
            "a\\..\\b",
            "a\nb",
        ];
        for name in hostile {
            assert!(safe_relative(name).is_none(), "{name:?}");
        }
        assert!(safe_relative(&"x".repeat(300)).is_none());
    }

    #[test]
    fn revisions_follow_the_rules_of_git() {
        for revision in ["main", "v1.0", "refs/pr/1", "feature/x@y", &"a".repeat(40)] {
            assert!(check_revision(revision).is_ok(), "{revision:?}");
        }
        for revision in [
            "", "..", "a/../b", "/a", "a/", "a b", "a:b", "x.lock", ".a", "a\0",
        ] {
            assert!(check_revision(revision).is_err(), "{revision:?}");
        }
    }
}
