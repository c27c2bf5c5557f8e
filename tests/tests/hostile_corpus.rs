//! What fuzzing found, and the seeds that it began with, in every test run.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ponder_tests::hostile::{TARGETS, check};

/// Far above what any of the files takes, far below a hang.
const LIMIT: Duration = Duration::from_secs(20);

/// The files of `fuzz/FOLDER/TARGET`.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"));
    let entries = fs::read_dir(root.join(folder).join(target));
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_target_has_seeds() {
    for (name, _) in TARGETS {
        assert!(
            !inputs("corpus-seeds", name).is_empty(),
            "no seeds for {name}"
        );
    }
}

#[test]
fn past_findings_and_seeds_do_no_harm() {
    for (name, target) in TARGETS {
        for path in [inputs("corpus-seeds", name), inputs("regressions", name)].concat() {
            // Named before it runs: a panic would not say which file it was.
            println!("{}", path.display());
            let input = fs::read(&path).expect("a readable file");
            let start = Instant::now();
            check(*target, &input);
            let time = start.elapsed();
            assert!(time < LIMIT, "{} took {time:?}", path.display());
        }
    }
}
