//! One file from the hub into the blobs: locked, resumed, checked.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::layout::{RepoDir, create_parent, remove_if_present};
use super::remote::{Blob, Remote, RemoteFile};
use super::retry::{Backoff, Failure};
use super::{HubError, Progress, RetryPolicy};

/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A file to be brought in.
pub(super) struct Download<'a> {
    pub(super) remote: &'a Remote<'a>,
    pub(super) dir: &'a RepoDir,
    pub(super) commit: &'a str,
    pub(super) file: &'a RemoteFile,
    pub(super) blob: &'a Blob,
    pub(super) retry: &'a RetryPolicy,
}

impl Download<'_> {
    /// Bytes that are not on disk yet.
    pub(super) fn missing(&self) -> u64 {
        let len = |path: PathBuf| fs::metadata(path).map_or(0, |meta| meta.len());
        if len(self.dir.blob(&self.blob.etag)) == self.file.size {
            return 0;
        }
        self.file
            .size
            .saturating_sub(len(self.dir.incomplete(&self.blob.etag)))
    }

    /// Brings the file in, unless it is there.
    pub(super) async fn run(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), HubError> {
        let lock = self.dir.lock(&self.blob.etag)?;
        if !lock.try_take()? {
            progress(Progress::Waiting {
                name: &self.file.name,
            });
            while !lock.try_take()? {
                tokio::time::sleep(LOCK_POLL).await;
            }
        }
        let target = self.dir.blob(&self.blob.etag);
        let is_complete = fs::metadata(&target).is_ok_and(|meta| meta.len() == self.file.size);
        if !is_complete {
            let mut partial = Partial::open(self.dir.incomplete(&self.blob.etag), self.file)?;
            self.fill(&mut partial, progress).await?;
            partial.finish(target)?;
        }
        progress(Progress::File {
            name: &self.file.name,
            done: self.file.size,
            total: self.file.size,
        });
        Ok(())
    }

    /// Downloads what is missing and checks the whole.
    async fn fill(
        &self,
        partial: &mut Partial,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let was_resumed = self.complete(partial, progress).await?;
        let Err(found) = partial.check(self.blob) else {
            return Ok(());
        };
        if was_resumed {
            // The kept part may be what is wrong: a server that ignored the range, or a disk
            // that lost its last writes. A second mismatch is the server's.
            tracing::warn!(
                file = self.file.name,
                "the resumed download is damaged, it starts anew"
            );
            partial.restart()?;
            self.complete(partial, progress).await?;
            if partial.check(self.blob).is_ok() {
                return Ok(());
            }
        }
        remove_if_present(&partial.path)?;
        Err(HubError::Checksum {
            file: self.file.name.clone(),
            expected: self.blob.etag.clone(),
            found,
        })
    }

    /// Downloads what is missing, through cuts; says whether the file came in more than one piece.
    async fn complete(
        &self,
        partial: &mut Partial,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<bool, HubError> {
        let mut backoff = Backoff::new(self.retry);
        // Small files are not resumed: their contents have no SHA-256 that would show a wrong seam.
        let mut can_resume = self.file.is_large;
        let mut in_pieces = false;
        let mut highest = partial.have;
        while partial.have < self.file.size {
            if !can_resume && partial.have > 0 {
                partial.restart()?;
            }
            in_pieces |= partial.have > 0;
            match self.attempt(partial, &mut highest, progress).await {
                Ok(()) => {}
                Err(Stop::TooLong) if partial.have > 0 && can_resume && in_pieces => {
                    can_resume = false
                }
                Err(Stop::TooLong) => {
                    remove_if_present(&partial.path)?;
                    return Err(self
                        .remote
                        .malformed_error(&self.file.name, "more bytes than announced"));
                }
                Err(Stop::Gained(failure)) => {
                    backoff.reset();
                    backoff
                        .wait(
                            self.interrupted(partial, failure),
                            &self.file.name,
                            progress,
                        )
                        .await?;
                }
                Err(Stop::Failed(failure)) => {
                    backoff
                        .wait(
                            self.interrupted(partial, failure),
                            &self.file.name,
                            progress,
                        )
                        .await?;
                }
            }
        }
        Ok(in_pieces)
    }

    /// One request. `highest` is the largest size that the file has had on disk.
    async fn attempt(
        &self,
        partial: &mut Partial,
        highest: &mut u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Stop> {
        let (name, total) = (&self.file.name, self.file.size);
        let before = *highest;
        progress(Progress::File {
            name,
            done: before,
            total,
        });
        let range = (partial.have > 0).then_some(partial.have..total);
        let mut stream = self
            .remote
            .bytes(self.commit, name, range)
            .await
            .map_err(Stop::Failed)?;
        let stop = |failure: Failure, highest: u64| {
            if highest - before >= RetryPolicy::PROGRESS_BYTES {
                Stop::Gained(failure)
            } else {
                Stop::Failed(failure)
            }
        };
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| stop(self.remote.failure(error, name), *highest))?;
            let chunk = chunk.as_ref();
            if chunk.len() as u64 > total - partial.have {
                return Err(Stop::TooLong);
            }
            partial
                .append(chunk, total)
                .map_err(|error| Stop::Failed(Failure::Final(error)))?;
            *highest = (*highest).max(partial.have);
            progress(Progress::File {
                name,
                done: *highest,
                total,
            });
        }
        if partial.have < total {
            let reason = "the connection was closed early".to_owned();
            let error = self.interrupted_error(partial, &reason);
            return Err(stop(
                Failure::Again {
                    error,
                    reason,
                    wait: None,
                },
                *highest,
            ));
        }
        Ok(())
    }

    /// A lost connection in the middle of a file is reported with what is kept of the file.
    fn interrupted(&self, partial: &Partial, failure: Failure) -> Failure {
        match failure {
            Failure::Again {
                error: HubError::NoNetwork { .. } | HubError::Malformed { .. },
                reason,
                wait,
            } if partial.have > 0 => Failure::Again {
                error: self.interrupted_error(partial, &reason),
                reason,
                wait,
            },
            failure => failure,
        }
    }

    fn interrupted_error(&self, partial: &Partial, reason: &str) -> HubError {
        HubError::Interrupted {
            file: self.file.name.clone(),
            have: partial.have,
            total: self.file.size,
            reason: reason.to_owned(),
        }
    }
}

/// Why a request did not bring the file to its end.
enum Stop {
    /// It failed.
    Failed(Failure),
    /// It failed, but only after it had brought a good deal.
    Gained(Failure),
    /// The server sent more than the file holds.
    TooLong,
}

/// `blobs/<etag>.incomplete`, open for appending, and the digest of what is in it.
struct Partial {
    path: PathBuf,
    file: File,
    have: u64,
    digest: Sha256,
}

impl Partial {
    fn open(path: PathBuf, remote: &RemoteFile) -> Result<Partial, HubError> {
        create_parent(&path)?;
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = open.map_err(HubError::io(&path))?;
        let mut partial = Partial {
            path,
            file,
            have: 0,
            digest: Sha256::new(),
        };
        partial.have = partial
            .file
            .metadata()
            .map_err(HubError::io(&partial.path))?
            .len();
        if partial.have > remote.size || !remote.is_large {
            partial.restart()?;
        } else {
            partial.digest_kept()?;
        }
        Ok(partial)
    }

    fn digest_kept(&mut self) -> Result<(), HubError> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self
                .file
                .read(&mut buffer)
                .map_err(HubError::io(&self.path))?;
            if read == 0 {
                return Ok(());
            }
            self.digest.update(&buffer[..read]);
        }
    }

    fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(HubError::io(&self.path))?;
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(HubError::io(&self.path))?;
        self.have = 0;
        self.digest = Sha256::new();
        Ok(())
    }

    fn append(&mut self, mut bytes: &[u8], total: u64) -> Result<(), HubError> {
        // Not `write_all`: when the disk fills up, what still found room is kept and counted.
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => {
                    self.digest.update(&bytes[..written]);
                    self.have += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(write_error(&self.path, total - self.have, error)),
            }
        }
        Ok(())
    }

    /// The digest that was found instead, where there is one to compare with.
    fn check(&self, blob: &Blob) -> Result<(), String> {
        let found: String = self
            .digest
            .clone()
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if !blob.is_sha256 || found == blob.etag {
            Ok(())
        } else {
            Err(found)
        }
    }

    /// Makes the file a blob; it has this name only when all of it is on the disk.
    fn finish(self, target: PathBuf) -> Result<(), HubError> {
        self.file
            .sync_all()
            .map_err(|error| write_error(&self.path, 0, error))?;
        drop(self.file);
        fs::rename(&self.path, &target).map_err(HubError::io(&target))
    }
}

fn write_error(path: &std::path::Path, needed: u64, error: std::io::Error) -> HubError {
    let full = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
    ];
    if !full.contains(&error.kind()) {
        return HubError::io(path)(error);
    }
    let folder = path.parent().unwrap_or(path).to_path_buf();
    // A quota or a limit of the process leaves space that is free but not for us.
    let free = (error.kind() == ErrorKind::StorageFull)
        .then(|| fs4::available_space(&folder).ok())
        .flatten();
    HubError::DiskFull {
        path: folder,
        needed,
        free,
    }
}

/// Refuses a download that cannot fit. Where the system does not tell, it is tried.
pub(super) fn check_space(dir: &RepoDir, needed: u64) -> Result<(), HubError> {
    let path = dir.blobs();
    fs::create_dir_all(&path).map_err(HubError::io(&path))?;
    match fs4::available_space(&path) {
        Ok(free) if needed > free => Err(HubError::DiskFull {
            path,
            needed,
            free: Some(free),
        }),
        _ => Ok(()),
    }
}
