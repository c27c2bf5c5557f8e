//! What can go wrong with a model's files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of everything in [`weights`](super).
pub(super) type Result<T, E = WeightsError> = std::result::Result<T, E>;

/// Why a model's files cannot be used. Each displays as one line: where, what was expected, what
/// was found, and a hint that gets the user on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to open, map or list a path.
    #[error("{}: {source}; hint: check that the path exists and that you may read it", path.display())]
    Io {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system refused to write a file.
    #[error("cannot write {}: {source}; hint: {hint}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do next.
        hint: &'static str,
    },
    /// There is a file where one is to be written.
    #[error("{} exists already; hint: name another file, or allow to overwrite it (--force)", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path holds nothing that is a model, or more than one.
    #[error("{0}")]
    NotAModel(Box<Fault>),
    /// The file is shorter than its own header says.
    #[error("{0}")]
    Truncated(Box<Fault>),
    /// The file breaks the rules of its format.
    #[error("{0}")]
    Malformed(Box<Fault>),
    /// The file is sound, but uses something that this program cannot read.
    #[error("{0}")]
    Unsupported(Box<Fault>),
    /// A metadata key is missing or has another kind than it should.
    #[error("{0}")]
    Key(Box<Fault>),
    /// A tensor was asked for a part that it does not have.
    #[error("{0}")]
    Slice(Box<Fault>),
}

/// The parts of an error's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file or folder.
    pub path: PathBuf,
    /// The place in it: a byte, a tensor, a key.
    pub place: String,
    /// What the format asks for there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do next.
    pub hint: &'static str,
}

impl Fault {
    pub(super) fn new(
        path: &Path,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: &'static str,
    ) -> Box<Self> {
        Box::new(Self {
            path: path.to_path_buf(),
            place: one_line(place.into()),
            expected: one_line(expected.into()),
            found: one_line(found.into()),
            hint,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            place,
            expected,
            found,
            hint,
        } = self;
        write!(
            f,
            "{}: {place}: expected {expected}, found {found}; hint: {hint}",
            path.display()
        )
    }
}

/// The hint for a file whose bytes make no sense.
pub(super) const DAMAGED: &str = "the file is damaged or not what its name says; download it again";
/// The hint for a file that ends too early.
pub(super) const INCOMPLETE: &str = "the download is incomplete; download the file again";

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
    let path = path.to_path_buf();
    move |source| WeightsError::Io { path, source }
}

/// Keeps an error on one line of bearable length, whatever a file made a parser say.
fn one_line(text: String) -> String {
    const LONGEST: usize = 300;
    if text.len() <= LONGEST && !text.contains(char::is_control) {
        return text;
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}

/// A name from a file, fit for a line of text: control characters escaped, cut where it is long.
pub(super) fn quoted(name: &[u8]) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(&name[..name.len().min(LONGEST)]);
    let dots = if name.len() > LONGEST { "…" } else { "" };
    format!("`{}{dots}`", text.escape_debug())
}
