//! Where real tokenizers and golden values lie, if they are on this machine.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test compiles this and uses a part of it"
)]

pub mod tiny;

use std::path::{Path, PathBuf};

use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of fetched models and tokenizers: `PONDER_ASSETS` or `target/assets`.
pub fn assets() -> PathBuf {
    std::env::var_os("PONDER_ASSETS")
        .map_or_else(|| workspace().join("target/assets"), PathBuf::from)
}

/// The folder of reference values beside the project.
pub fn shared() -> PathBuf {
    std::env::var_os("PONDER_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from)
}

/// `path` if it is there; else says that the test has nothing to look at.
pub fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// A JSON file that must be readable.
pub fn read_json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A list of token ids.
pub fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().expect("a list of ids");
    ids.iter()
        .map(|id| u32::try_from(id.as_u64().expect("an id")).expect("an id"))
        .collect()
}
