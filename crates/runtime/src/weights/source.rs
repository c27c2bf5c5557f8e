//! Where the bytes of a model lie: a mapped file, or memory that the program already has.
//!
//! The only unsafe code of the crate is here.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice::DontNeed;

use super::error::{Result, io_error};

/// The bytes of one file, mapped once and shared by everything that points into them.
pub(super) struct Source {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    Memory(Memory),
}

/// Bytes that are in memory already: the embedded model, or a model that a program made.
#[derive(Clone)]
pub enum Memory {
    /// Part of the program.
    Static(&'static [u8]),
    /// Owned together with others.
    Shared(Arc<[u8]>),
}

impl Source {
    /// Maps a file for reading. Nothing is read yet.
    ///
    /// # Errors
    /// If `path` is not a regular file that can be opened and mapped.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        let map = || {
            // Opening a pipe would wait for its other end, so the kind comes first.
            if !std::fs::metadata(path)?.is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a regular file",
                ));
            }
            let file = File::open(path)?;
            // SAFETY: the mapping is read-only and private to this value, and all access goes
            // through `&[u8]`. What cannot be excluded is another process that changes or
            // truncates the file while it is mapped: changed bytes give wrong numbers, and
            // reading a part that is gone ends the process with SIGBUS. Every program that
            // maps its weights lives with that; model files are written once, and the hub's
            // cache replaces files by renaming, which leaves an open mapping whole. No length
            // or offset is trusted after a second look at the mapping in a way that could
            // leave the mapping's own bounds: all access is by checked slices of it.
            unsafe { Mmap::map(&file) }
        };
        let bytes = Bytes::Mapped(map().map_err(io_error(path))?);
        let path = path.to_path_buf();
        Ok(Arc::new(Self { path, bytes }))
    }

    pub(super) fn memory(memory: Memory) -> Arc<Self> {
        let path = PathBuf::from("(in memory)");
        let bytes = Bytes::Memory(memory);
        Arc::new(Self { path, bytes })
    }

    /// The file's path; for memory a text that says so.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Memory(Memory::Static(bytes)) => bytes,
            Bytes::Memory(Memory::Shared(bytes)) => bytes,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Source({}, {} bytes)",
            self.path.display(),
            self.bytes().len()
        )
    }
}

impl From<&'static [u8]> for Memory {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl From<Arc<[u8]>> for Memory {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(bytes.into())
    }
}

/// A range of a source that keeps the source alive. Cloning copies no bytes.
#[derive(Clone)]
pub(super) struct Span {
    source: Arc<Source>,
    start: usize,
    len: usize,
}

impl Span {
    /// A part of `source`, or nothing if it does not lie inside.
    pub(super) fn new(source: &Arc<Source>, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        let source = Arc::clone(source);
        (end <= source.bytes().len()).then_some(Self { source, start, len })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.source.bytes()[self.start..self.start + self.len]
    }

    /// A part of this part, or nothing if it does not lie inside.
    pub(super) fn sub(&self, start: usize, len: usize) -> Option<Self> {
        (start.checked_add(len)? <= self.len).then(|| Self {
            source: Arc::clone(&self.source),
            start: self.start + start,
            len,
        })
    }

    /// Lets go of the memory of some of these bytes, if they are a mapped file.
    pub(super) fn release(&self, part: Range<usize>) {
        assert!(part.start <= part.end && part.end <= self.len, "{part:?}");
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.source.bytes {
            let start = self.start + part.start;
            // SAFETY: for a private, read-only mapping of a file this drops clean pages, which are
            // read from the file again at the next access: no byte that anybody sees changes.
            let advice = unsafe { map.unchecked_advise_range(DontNeed, start, part.len()) };
            // It is advice: where the system does not take it, memory is used for longer.
            let _ = advice;
        }
    }

    /// Asks for pages of the usual size, if it is a mapped file.
    pub(super) fn advise_small_pages(&self) {
        #[cfg(target_os = "linux")]
        if let Bytes::Mapped(map) = &self.source.bytes {
            let _ = map.advise_range(memmap2::Advice::NoHugePage, self.start, self.len);
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.source.path()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}
