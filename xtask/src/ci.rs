//! The checks of continuous integration, cheapest first.
//!
//! A new check belongs into [`STEPS`], so that a developer's machine and the
//! server always run the same ones. The first failing step ends the run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

struct Step {
    name: &'static str,
    /// The command, its words separated by single spaces.
    command: &'static str,
    env: Option<(&'static str, &'static str)>,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        command: "cargo fmt --all --check",
        env: None,
    },
    Step {
        name: "lint",
        command: "cargo clippy --locked --workspace --all-targets -- -D warnings",
        env: None,
    },
    Step {
        name: "docs",
        command: "cargo doc --locked --workspace --no-deps",
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    // `--workspace` keeps the features, and so the compiled dependencies, of
    // the next step.
    Step {
        name: "architecture, licences and sources",
        command: "cargo test --locked --workspace --test architecture --test licences",
        env: None,
    },
    Step {
        name: "tests",
        command: "cargo test --locked --workspace",
        env: None,
    },
];

/// Runs every step; the error names the step that failed.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    for step in STEPS {
        let time = timed(step.name, || run_step(sh, step))?;
        times.push((step.name, time));
    }
    let time = timed("advisories", || advisories(sh))?;
    times.push(("advisories", time));

    println!("\n==> all passed");
    for (name, time) in times {
        println!("{:>8.1} s  {name}", time.as_secs_f64());
    }
    println!("{:>8.1} s  in all", start.elapsed().as_secs_f64());
    Ok(())
}

fn timed(name: &str, step: impl FnOnce() -> Result<()>) -> Result<Duration> {
    println!("\n==> {name}");
    let start = Instant::now();
    let result = step();
    let time = start.elapsed();
    let verdict = if result.is_ok() { "passed" } else { "failed" };
    println!("==> {name}: {verdict} after {:.1} s", time.as_secs_f64());
    result.with_context(|| format!("the step `{name}` failed"))?;
    Ok(time)
}

fn run_step(sh: &Shell, step: &Step) -> Result<()> {
    let mut words = step.command.split(' ');
    let program = words.next().unwrap_or_default();
    let mut command = sh.cmd(program).args(words);
    if let Some((name, value)) = step.env {
        command = command.env(name, value);
    }
    Ok(command.run()?)
}

/// Checks the dependencies against the advisory database, which lies in no
/// package registry: without `cargo-deny` or without the database this says
/// so and passes.
fn advisories(sh: &Shell) -> Result<()> {
    if cmd!(sh, "cargo deny --version")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_err()
    {
        println!("skipped: cargo-deny is not installed");
        return Ok(());
    }
    if let Err(error) = cmd!(sh, "cargo deny fetch db").run() {
        println!("skipped: the advisory database could not be fetched ({error})");
        return Ok(());
    }
    // The database was fetched a moment ago.
    Ok(cmd!(sh, "cargo deny check --disable-fetch advisories").run()?)
}
