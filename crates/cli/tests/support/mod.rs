//! What the tests of the `ponder` program share: starting it, and models to start it with.

#![allow(dead_code, reason = "each test program uses a part of this")]

pub(crate) mod serve;
pub(crate) mod tiny;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command that does not depend on the environment of whoever runs the tests.
pub(crate) fn ponder(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ponder"));
    for name in [
        "PONDER_MODEL",
        "PONDER_API_KEY",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "RUST_BACKTRACE",
        "HF_TOKEN",
        "HF_HUB_CACHE",
    ] {
        command.env_remove(name);
    }
    command
        .env("HF_HUB_OFFLINE", "1")
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .args(args);
    command
}

/// Runs to the end with this standard input.
pub(crate) fn output_of(mut command: Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ponder starts");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    // A program that does not read its input may close it early.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    child.wait_with_output().expect("ponder ends")
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// SmolLM2-135M-Instruct from `PONDER_ASSETS`, by default `target/assets`.
///
/// Prints a line and returns `None` where the file is missing.
pub(crate) fn smollm2() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let assets = std::env::var_os("PONDER_ASSETS")
        .map_or_else(|| workspace.join("target/assets"), PathBuf::from);
    let path = assets.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there is no {}", path.display());
    None
}
