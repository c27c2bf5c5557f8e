//! `cargo xtask page`: the tests of the page that `ponder serve` shows.
//!
//! They need Node with npm, and Chromium. The packages of `tests/page` are installed into [`FOLDER`];
//! Chromium is the one that is there, and only where [`INSTALL`] allows it Debian's is installed.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

/// Where the packages and the screenshots go, relative to the workspace's root.
const FOLDER: &str = "target/page";

const TESTS: &str = "tests/page";

/// Set in the environment, it allows this command to install what it needs into the system.
const INSTALL: &str = "PONDER_INSTALL";

const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Makes sure that everything is there that the tests need.
pub(crate) fn fetch(sh: &Shell) -> Result<()> {
    let version = cmd!(sh, "node --version")
        .quiet()
        .read()
        .context("there is no Node; hint: install Node 20 or newer, with npm")?;
    let major = version.trim_start_matches('v').split('.').next();
    let major: u32 = major.unwrap_or_default().parse().unwrap_or(0);
    ensure!(major >= 20, "Node is {version}; hint: install 20 or newer");
    packages(sh)?;
    if browser().is_err() && env::var_os(INSTALL).is_some() {
        cmd!(sh, "apt-get update").quiet().run()?;
        cmd!(sh, "apt-get install --yes --no-install-recommends chromium").run()?;
    }
    let browser = browser()?;
    println!("page: {}, Node {version}", browser.display());
    Ok(())
}

/// Builds the program and runs the tests.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    fetch(sh)?;
    // As for a test of the whole workspace, so that dependencies are compiled once for all tests.
    cmd!(sh, "cargo test --locked --workspace --test usage --no-run").run()?;
    let root = sh.current_dir();
    let program = format!("ponder{}", env::consts::EXE_SUFFIX);
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let (unit, page) = (
        format!("{TESTS}/unit.test.mjs"),
        format!("{TESTS}/page.test.mjs"),
    );
    cmd!(sh, "node --test --test-reporter=spec {unit} {page}")
        .env("PONDER", target.join("debug").join(program))
        .env(
            "PONDER_PAGE_PACKAGES",
            root.join(FOLDER).join("package.json"),
        )
        .env("CHROMIUM", browser()?)
        .run()
        .context("the tests of the page")?;
    println!("page: the screenshots are in {FOLDER}/shots");
    Ok(())
}

/// Installs what the lock file names, unless that was done.
fn packages(sh: &Shell) -> Result<()> {
    let lock = sh.read_file(format!("{TESTS}/package-lock.json"))?;
    let stamp = format!("{FOLDER}/installed.json");
    if sh.path_exists(&stamp) && sh.read_file(&stamp)? == lock {
        return Ok(());
    }
    sh.create_dir(FOLDER)?;
    for name in ["package.json", "package-lock.json"] {
        sh.copy_file(format!("{TESTS}/{name}"), FOLDER)?;
    }
    cmd!(
        sh,
        "npm ci --prefix {FOLDER} --ignore-scripts --no-audit --no-fund"
    )
    .run()
    .context(
        "the packages of the tests could not be installed; hint: is the npm registry reachable?",
    )?;
    Ok(sh.write_file(stamp, lock)?)
}

/// The browser that `CHROMIUM` names, or one that is installed.
fn browser() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(path));
    }
    let folders: Vec<PathBuf> =
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    for name in BROWSERS {
        if let Some(path) = folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
        {
            return Ok(path);
        }
    }
    bail!(
        "there is no Chromium; hint: install it, name it in CHROMIUM, or allow Debian's to be installed with {INSTALL}=1"
    )
}
