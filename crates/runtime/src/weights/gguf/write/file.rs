//! A GGUF file that is written a piece at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::header::Header;
use crate::weights::error::{Result, WeightsError};

/// Writes a file under the name `NAME.partial` and gives it its own name when it is complete.
///
/// Dropped before [`finish`](Self::finish), it removes what it has written.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    partial: PathBuf,
    target: PathBuf,
    overwrite: bool,
    /// The bytes that tensors still lack, the one being written last.
    tensors: Vec<u64>,
    left: u64,
    padding: u64,
    total: u64,
    finished: bool,
}

impl FileWriter {
    /// Begins a file: writes the header. What lies at `target` is kept until
    /// [`finish`](Self::finish), and then replaced only if `overwrite`.
    ///
    /// # Errors
    /// If there is a file already and `overwrite` is false, if another program writes to it now,
    /// or if the system refuses to make or write it.
    pub fn create(target: &Path, overwrite: bool, header: &Header) -> Result<Self> {
        refuse_existing(target, overwrite)?;
        let mut partial = target.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = write_error(&partial);
        // What another run left behind is cut off only once it is sure that it has ended.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(&partial).map_err(&failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy = "another program is writing this file";
                return Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, busy)));
            }
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if file.metadata().map_err(&failed)?.len() > 0 {
            file.set_len(0).map_err(&failed)?;
        }
        let mut tensors = header.tensor_bytes.clone();
        tensors.reverse();
        let mut writer = Self {
            file,
            target: target.to_path_buf(),
            overwrite,
            tensors,
            left: 0,
            padding: 0,
            total: header.file_bytes(),
            finished: false,
            partial,
        };
        writer.put(&header.bytes)?;
        writer.next_tensor()?;
        Ok(writer)
    }

    /// Appends bytes of the tensor whose turn it is. When it is complete, the next one's follow.
    ///
    /// # Errors
    /// If the system refuses to write them.
    ///
    /// # Panics
    /// If these are more bytes than the tensor still lacks.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let n_bytes = bytes.len() as u64;
        assert!(
            n_bytes <= self.left,
            "{n_bytes} bytes for a tensor that lacks {}",
            self.left
        );
        if n_bytes == 0 {
            return Ok(());
        }
        self.put(bytes)?;
        self.left -= n_bytes;
        if self.left == 0 {
            self.next_tensor()?;
        }
        Ok(())
    }

    /// Completes the file, and gives its size in bytes.
    ///
    /// # Errors
    /// If the system refuses to write or rename it, or if a file of its name has appeared that
    /// must not be overwritten.
    ///
    /// # Panics
    /// If a tensor lacks bytes.
    pub fn finish(mut self) -> Result<u64> {
        assert!(
            self.left == 0 && self.tensors.is_empty(),
            "all tensors are written before the end"
        );
        let failed = write_error(&self.target);
        self.file.sync_all().map_err(&failed)?;
        refuse_existing(&self.target, self.overwrite)?;
        std::fs::rename(&self.partial, &self.target).map_err(&failed)?;
        self.finished = true;
        Ok(self.total)
    }

    /// Pads the tensor that was written and goes to the next one with any bytes.
    fn next_tensor(&mut self) -> Result<()> {
        while self.left == 0 {
            const ZEROS: [u8; 64] = [0; 64];
            self.put(&ZEROS[..self.padding as usize])?;
            self.padding = 0;
            let Some(n_bytes) = self.tensors.pop() else {
                return Ok(());
            };
            self.left = n_bytes;
            self.padding = Header::padding(n_bytes);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let failed = write_error(&self.partial);
        self.file.write_all(bytes).map_err(failed)
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished {
            // The error that ended the writing is the one to report.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

fn refuse_existing(target: &Path, overwrite: bool) -> Result<()> {
    if target.is_dir() {
        let source = io::Error::new(io::ErrorKind::IsADirectory, "it is a folder");
        return Err(write_error(target)(source));
    }
    if !overwrite && target.exists() {
        let path = target.to_path_buf();
        return Err(WeightsError::Exists { path });
    }
    Ok(())
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> WeightsError + use<> {
    let path = path.to_path_buf();
    move |source| {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space, or name a file on another disk"
            }
            io::ErrorKind::FileTooLarge => "name a file on a disk that holds files of this size",
            io::ErrorKind::NotFound => "make the folder first, or name another one",
            io::ErrorKind::ResourceBusy => "wait until it has ended, or name another file",
            _ => "check that you may write there, or name another file",
        };
        let path = path.clone();
        WeightsError::Write { path, source, hint }
    }
}
