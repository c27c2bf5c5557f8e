//! `cargo xtask fuzz`: runs a target of `fuzz/` under libFuzzer.
//!
//! `fuzz/` has the layout that `cargo fuzz` expects, so that tool works too
//! where a nightly compiler is installed. This recipe needs neither: the
//! coverage instrumentation is an LLVM pass that stable rustc can be told to
//! run. The address sanitizer, which stable rustc lacks, is no loss where
//! nearly all code is safe Rust.

use std::fs;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// Coverage feedback for libFuzzer, and checks that a release build lacks.
const RUSTFLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Coverflow-checks \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The largest input in bytes. How much may be allocated for one is checked by
/// `ponder_tests::hostile`, since libFuzzer only could with a sanitizer.
const MAX_LEN: u32 = 64 * 1024;

/// The largest resident memory in MiB, the fuzzer's own tables included.
const RSS_LIMIT_MB: u32 = 1024;

/// An input that takes longer than this many seconds counts as a hang.
const TIMEOUT_S: u32 = 10;

/// Prints the names of the targets.
pub(crate) fn list(sh: &Shell) -> Result<()> {
    for target in targets(sh)? {
        println!("{target}");
    }
    Ok(())
}

/// Fuzzes `target` for `seconds`, beginning with the committed seeds and what
/// earlier runs found. A finding is left in `target/fuzz/artifacts`; copy it
/// to `fuzz/regressions/TARGET` once it is fixed.
pub(crate) fn run(sh: &Shell, target: &str, seconds: u32) -> Result<()> {
    let known = targets(sh)?;
    if !known.iter().any(|name| name == target) {
        bail!(
            "there is no fuzz target `{target}`; known are {}",
            known.join(", ")
        );
    }
    let triple = host(sh)?;
    // The versions that the tests run with; what only `fuzz/` needs is added.
    sh.copy_file("Cargo.lock", "fuzz/Cargo.lock")?;
    let build = "target/fuzz/build";
    cmd!(
        sh,
        "cargo build --release --manifest-path fuzz/Cargo.toml --bin {target} --target {triple} --target-dir {build}"
    )
    .env("RUSTFLAGS", RUSTFLAGS)
    .run()?;

    let corpus = sh.create_dir(format!("target/fuzz/corpus/{target}"))?;
    let artifacts = sh.create_dir(format!("target/fuzz/artifacts/{target}"))?;
    let (seeds, regressions) = (
        format!("fuzz/corpus-seeds/{target}"),
        format!("fuzz/regressions/{target}"),
    );
    // libFuzzer writes new inputs to the first folder and only reads the rest.
    let folders = [&seeds, &regressions]
        .into_iter()
        .filter(|folder| sh.path_exists(folder));
    let artifacts = format!("{}/", artifacts.display());
    let dictionary = format!("fuzz/dictionaries/{target}.dict");
    let options = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LEN}"),
        format!("-rss_limit_mb={RSS_LIMIT_MB}"),
        format!("-timeout={TIMEOUT_S}"),
        format!("-artifact_prefix={artifacts}"),
        format!("-dict={dictionary}"),
        "-print_final_stats=1".to_owned(),
    ];
    let program = format!("{build}/{triple}/release/{target}");
    cmd!(sh, "{program} {options...} {corpus} {folders...}").run()?;
    Ok(())
}

/// The names of the files in `fuzz/fuzz_targets`, sorted.
fn targets(sh: &Shell) -> Result<Vec<String>> {
    let folder = sh.current_dir().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

/// The target triple of this machine. Naming it keeps the flags above from
/// build scripts and procedural macros.
fn host(sh: &Shell) -> Result<String> {
    let version = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}
