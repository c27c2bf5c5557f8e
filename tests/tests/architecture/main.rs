//! The repository polices its own shape: what `ARCHITECTURE.md` states as
//! absences fails here.
//!
//! 1. [`crates`]: which crate may depend on which.
//! 2. [`sources`]: rules on the text of the sources, read as Rust tokens
//!    ([`words`]) so that comments and unit tests do not count.

#![forbid(unsafe_code)]

mod crates;
mod sources;
mod words;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a folder in the workspace")
}

/// All `.rs` files below `folder`, sorted; none if there is no such folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The violations of a rule, one a line, must be none.
#[track_caller]
fn assert_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
