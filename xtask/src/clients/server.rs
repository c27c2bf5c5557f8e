//! [`Server`]: a `ponder serve` on a free port.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::Shell;

use super::FOLDER;

/// A server that ends when this is dropped.
pub(super) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server and waits until it listens. What it logs goes to `NAME.log`.
    pub(super) fn start(sh: &Shell, name: &str, options: &[&str]) -> Result<Self> {
        let root = sh.current_dir();
        let folder = root.join(FOLDER);
        let data = folder.join(name);
        // What an earlier run left would be listed.
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let log = File::create(folder.join(format!("{name}.log")))?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let program = target
            .join("debug")
            .join(format!("ponder{}", env::consts::EXE_SUFFIX));
        let mut process = Command::new(&program)
            .args([
                "serve",
                "--json",
                "--offline",
                "-m",
                "default",
                "--port",
                "0",
            ])
            .arg("--data-dir")
            .arg(&data)
            .args(options)
            // These would change what is tested.
            .env_remove("PONDER_MODEL")
            .env_remove("PONDER_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let output = process.stdout.take().context("the server has no output")?;
        let mut server = Self {
            process,
            url: String::new(),
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)
            .with_context(|| format!("the server did not start; {FOLDER}/{name}.log says why"))?;
        let url = ready["url"].as_str();
        server.url = url
            .context("the server does not say where it is")?
            .to_owned();
        Ok(server)
    }

    /// What clients call the base of all addresses.
    pub(super) fn url(&self) -> String {
        format!("{}/v1", self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
