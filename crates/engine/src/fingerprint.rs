//! What tells one model's files from another's without reading all of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ponder_runtime::weights::gguf;
use sha2::{Digest, Sha256};

use crate::{EngineError, ModelInfo, store};

/// Pieces of a file that are read, and their length. A trained model differs from itself a step
/// earlier almost everywhere, so that a few pieces tell.
const PIECES: u64 = 16;
const PIECE_LEN: u64 = 1 << 16;

/// What belongs to a model in a folder, beside its weights. Other files may lie there too: logs, say.
const NAMES: [&str; 5] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

impl ModelInfo {
    /// A hash of the model's files: names, lengths, and pieces of what they hold. What tells one
    /// model from another.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, EngineError> {
        match self.embedded {
            true => Ok(hex(&Sha256::digest(store::embedded()))),
            false => fingerprint(&self.path).map_err(|error| self.file_error(&error)),
        }
    }

    /// The files that the model consists of; none for one that is part of the program.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, EngineError> {
        match self.embedded {
            true => Ok(Vec::new()),
            false => files(&self.path).map_err(|error| self.file_error(&error)),
        }
    }

    fn file_error(&self, error: &io::Error) -> EngineError {
        EngineError::File {
            path: self.path.clone(),
            message: error.to_string(),
        }
    }
}

fn fingerprint(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for path in files(path)? {
        let mut file = File::open(&path)?;
        let len = file.metadata()?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hash.update(format!("{name}\n{len}\n"));
        for piece in 0..PIECES {
            let start = len.saturating_sub(PIECE_LEN) * piece / (PIECES - 1);
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            (&mut file).take(PIECE_LEN).read_to_end(&mut bytes)?;
            hash.update(&bytes);
        }
    }
    Ok(hex(&hash.finalize()))
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(gguf::files(path));
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        let is_weights = path
            .extension()
            .is_some_and(|ending| ending == "safetensors");
        is_weights || NAMES.iter().any(|one| name == *one)
    });
    files.sort();
    Ok(files)
}

/// The first half of a hash, which is enough to tell files apart.
fn hex(hash: &[u8]) -> String {
    let half = hash.iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.safetensors");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            [&path, dir.path()].map(|path| fingerprint(path).expect("readable"))
        };
        let mut bytes = vec![7; 3_000_000];
        let first = of(&bytes);
        assert_eq!(first, of(&bytes));
        bytes.push(7);
        assert_ne!(first, of(&bytes), "another length");
        bytes.pop();
        *bytes.last_mut().expect("bytes") = 8;
        assert_ne!(first, of(&bytes), "another end");
        let x = of(b"x");
        assert_ne!(of(b""), x);
        std::fs::write(dir.path().join("log.jsonl"), "{}").expect("written");
        assert_eq!(of(b"x"), x, "a log is no part of a model");
        std::fs::write(dir.path().join("config.json"), "{}").expect("written");
        assert_ne!(of(b"x"), x);
        assert!(fingerprint(&dir.path().join("b")).is_err());
    }

    #[test]
    fn all_parts_of_a_split_file_belong_to_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let names = ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "b.gguf"];
        for name in names
            .iter()
            .chain(&["a-00001-of-00003.gguf", "a-x-of-00002.gguf"])
        {
            std::fs::write(dir.path().join(name), name).expect("written");
        }
        let [first, second, other] = names.map(|name| dir.path().join(name));
        assert_eq!(files(&first).expect("a folder"), [first.clone(), second]);
        assert_eq!(files(&other).expect("a file"), std::slice::from_ref(&other));
    }
}
