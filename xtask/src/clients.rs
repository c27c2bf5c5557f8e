//! `cargo xtask clients`: the clients that others have written, as tests of `ponder serve`.
//!
//! 1. [`suite`] brings each client from its registry into [`FOLDER`] and runs its tests, which lie in
//!    `tests/clients`.
//! 2. [`server`] starts what they ask: the program as it was built here, with the model in it and, by
//!    [`caller`], one that calls tools.

mod caller;
mod server;
mod suite;

use std::time::Instant;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use server::Server;
use suite::Suite;

/// Everything of this command, relative to the workspace's root.
const FOLDER: &str = "target/clients";

/// Opens one of the servers; the tests also ask with a second key, so that there are two users.
const KEY: &str = "key-of-the-tests";

/// Answers that the busy server makes at a time.
const PLACES: &str = "16";

/// Whether `name` is the name of a suite.
pub(crate) fn is_known(name: &str) -> bool {
    Suite::ALL.iter().any(|suite| suite.name() == name)
}

/// Makes sure that all clients are there.
pub(crate) fn fetch(sh: &Shell) -> Result<()> {
    for suite in Suite::ALL {
        let fetched = suite.fetch(sh);
        fetched.with_context(|| format!("fetching the clients for {}", suite.name()))?;
    }
    Ok(())
}

/// Runs the tests of the suites with these names, of all where there are none.
pub(crate) fn run(sh: &Shell, names: &[&str]) -> Result<()> {
    let is_wanted = |suite: &Suite| names.is_empty() || names.contains(&suite.name());
    let suites: Vec<Suite> = Suite::ALL.into_iter().filter(is_wanted).collect();
    for suite in &suites {
        let built = suite.fetch(sh).and_then(|()| suite.build(sh));
        built.with_context(|| format!("preparing the clients for {}", suite.name()))?;
    }
    // As for a test of the whole workspace, so that dependencies are compiled once for all tests.
    cmd!(sh, "cargo test --locked --workspace --test usage --no-run").run()?;

    let other = format!("{KEY}-other");
    let caller = caller::write(sh)?.display().to_string();
    let open = Server::start(sh, "open", &["-m", &caller])?;
    let keyed = Server::start(sh, "keyed", &["--api-key", KEY, "--api-key", &other])?;
    let busy = Server::start(
        sh,
        "busy",
        &["--max-sequences", PLACES, "--max-waiting", "0"],
    )?;
    let variables = [
        ("PONDER_URL", open.url()),
        ("PONDER_KEYED_URL", keyed.url()),
        ("PONDER_KEY", KEY.to_owned()),
        ("PONDER_BUSY_URL", busy.url()),
        // Wherever else requests go through a proxy, these do not.
        ("NO_PROXY", "127.0.0.1".to_owned()),
        ("no_proxy", "127.0.0.1".to_owned()),
    ];
    for suite in suites {
        let name = suite.name();
        println!("\nclients: {name}");
        let start = Instant::now();
        suite.run(sh, &variables).with_context(|| {
            format!("the clients for {name} (hint: {FOLDER}/*.log is what the servers said)")
        })?;
        println!(
            "clients: {name} passed after {:.1} s",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
