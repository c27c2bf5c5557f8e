//! What tells one model's files from another's without reading all of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

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

/// A hash of a file, or of a model's files in a folder: names, lengths, and pieces of what they hold.
pub(crate) fn fingerprint(path: &Path) -> io::Result<String> {
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
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
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
pub(crate) fn hex(hash: &[u8]) -> String {
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
}
