//! [`Suite`]: the clients of one language, and their tests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Cmd, Shell, cmd};

use super::FOLDER;

const TESTS: &str = "tests/clients";

const MANIFEST: &str = "tests/clients/rust/Cargo.toml";

/// The clients of one language.
#[derive(Clone, Copy)]
pub(super) enum Suite {
    /// `openai`.
    Python,
    /// `openai`, and `ai` with `@ai-sdk/openai-compatible`.
    Node,
    /// `async-openai`.
    Rust,
}

impl Suite {
    pub(super) const ALL: [Self; 3] = [Self::Python, Self::Node, Self::Rust];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Rust => "rust",
        }
    }

    /// Brings what the tests need, in the versions that are written down beside them. What is already
    /// there is kept.
    pub(super) fn fetch(self, sh: &Shell) -> Result<()> {
        match self {
            Self::Python => once(sh, "python", "requirements.txt", |folder| {
                cmd!(sh, "python3 -m venv {folder}").run()?;
                let list = format!("{TESTS}/python/requirements.txt");
                let pip = folder.join("bin/python");
                Ok(cmd!(sh, "{pip} -m pip install --quiet --requirement {list}").run()?)
            }),
            Self::Node => once(sh, "node", "package-lock.json", |folder| {
                for name in ["package.json", "package-lock.json"] {
                    sh.copy_file(format!("{TESTS}/node/{name}"), folder)?;
                }
                // Scripts of packages are not needed, so they do not run.
                let npm = cmd!(
                    sh,
                    "npm ci --silent --ignore-scripts --no-audit --no-fund --prefix {folder}"
                );
                Ok(npm.run()?)
            }),
            Self::Rust => Ok(cmd!(
                sh,
                "cargo fetch --quiet --locked --manifest-path {MANIFEST}"
            )
            .run()?),
        }
    }

    /// Builds what there is to build.
    pub(super) fn build(self, sh: &Shell) -> Result<()> {
        match self {
            Self::Python | Self::Node => Ok(()),
            Self::Rust => Ok(cargo_test(sh).arg("--no-run").run()?),
        }
    }

    /// Runs the tests, which find the servers in these variables.
    pub(super) fn run(self, sh: &Shell, variables: &[(&str, String)]) -> Result<()> {
        let mut command = match self {
            Self::Python => {
                let python = sh.current_dir().join(FOLDER).join("python/bin/python");
                cmd!(sh, "{python} -B -m pytest --quiet {TESTS}/python")
            }
            Self::Node => {
                // Node looks for packages beside and above the tests only.
                let folder = sh.current_dir().join(FOLDER).join("node");
                let mut tests = Vec::new();
                for file in sh.read_dir(format!("{TESTS}/node"))? {
                    if file.extension().is_some_and(|extension| extension == "mjs") {
                        sh.copy_file(&file, &folder)?;
                        tests.extend(file.file_name().map(|name| folder.join(name)));
                    }
                }
                tests.retain(|test| test.to_string_lossy().ends_with(".test.mjs"));
                cmd!(sh, "node --test --test-reporter=spec {tests...}")
            }
            Self::Rust => cargo_test(sh),
        };
        for (name, value) in variables {
            command = command.env(name, value);
        }
        Ok(command.run()?)
    }
}

/// In the workspace's folder, so that both use the same packages, and in a target of its own, because
/// they need other features of them.
fn cargo_test(sh: &Shell) -> Cmd<'_> {
    let target = format!("{FOLDER}/rust");
    cmd!(
        sh,
        "cargo test --quiet --offline --locked --manifest-path {MANIFEST} --target-dir {target}"
    )
}

/// Fills the folder `name` anew, unless it was filled by the same list of packages.
fn once(sh: &Shell, name: &str, list: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = sh.current_dir().join(FOLDER).join(name);
    let wanted = sh.read_file(format!("{TESTS}/{name}/{list}"))?;
    let filled = folder.join(".filled");
    if fs::read_to_string(&filled).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    sh.remove_path(&folder)?;
    sh.create_dir(&folder)?;
    fill(&folder)?;
    fs::write(&filled, wanted).with_context(|| format!("writing {}", filled.display()))
}
