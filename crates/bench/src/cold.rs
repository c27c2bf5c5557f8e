//! Cold starts: a process of its own for each answer.
//!
//! The program starts itself again with the same arguments and one more, hands it a [`Task`] on
//! standard input, and reads a [`Made`] from its standard output. With [`Start::ColdDisk`] the
//! system is asked before to forget the model's files.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use ponder_engine::{Effort, Engine, LoadOptions, SamplingOverrides};
use serde::{Deserialize, Serialize};

use crate::local::Local;
use crate::machine::{device_must_be_there, peak_rss};
use crate::sample::{Figures, Outcome};
use crate::stop::Stop;
use crate::target::{Ask, Target};
use crate::{BenchError, Start, process};

/// What the process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) text: String,
    pub(crate) max_tokens: usize,
    pub(crate) effort: Option<Effort>,
}

/// What it did.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    outcome: Outcome,
    /// When its first text was there, in nanoseconds since 1970.
    first_text_ns: u64,
    peak_rss: Option<u64>,
    /// Bytes that came from a disk.
    disk_bytes: Option<u64>,
}

/// How the program is started again.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Arguments that make it call [`child`], and load the same model in the same way.
    pub args: Vec<OsString>,
}

/// One cold answer.
pub(crate) struct Cold {
    pub(crate) outcome: Outcome,
    pub(crate) peak_rss: Option<u64>,
    pub(crate) disk_bytes: Option<u64>,
}

impl Restart {
    /// Starts a process and lets it answer; `None` where the measurement was stopped before it had.
    pub(crate) fn ask(
        &self,
        task: &Task,
        start: Start,
        files: &[PathBuf],
        stop: &Stop,
    ) -> Result<Option<Cold>, BenchError> {
        let fault = |error: &dyn std::fmt::Display| BenchError::Child(error.to_string());
        if start == Start::ColdDisk {
            forget(files).map_err(|error| fault(&error))?;
        }
        let program = std::env::current_exe().map_err(|error| fault(&error))?;
        let task = serde_json::to_vec(task).map_err(|error| fault(&error))?;
        let mut command = Command::new(program);
        command.args(&self.args);
        let ended = process::run(command, task, stop).map_err(|error| fault(&error))?;
        let Some(process::Ended { began, output }) = ended else {
            return Ok(None);
        };
        let made: Result<Made, _> = serde_json::from_slice(&output.stdout);
        let Ok(mut made) = made else {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it said nothing");
            return Err(fault(&format!("{}, {said}", output.status)));
        };
        if let Outcome::Answered(figures) = &mut made.outcome {
            let took = made.first_text_ns.saturating_sub(nanoseconds(began));
            figures.start_ms = Some(took as f64 / 1e6);
        }
        Ok(Some(Cold {
            outcome: made.outcome,
            peak_rss: made.peak_rss,
            disk_bytes: made.disk_bytes,
        }))
    }
}

/// What the process does: reads its task, loads the model, answers, and gives the line to be printed.
///
/// # Errors
/// When the task or the model cannot be read.
pub fn child(
    model: &str,
    options: &LoadOptions,
    sampling: &SamplingOverrides,
) -> Result<String, BenchError> {
    process::end_with_parent();
    let fault = |error: &dyn std::fmt::Display| BenchError::Child(error.to_string());
    let task: Task = serde_json::from_reader(std::io::stdin()).map_err(|error| fault(&error))?;
    let engine = Engine::load(model, options, &mut |_| {})?;
    let stop = Stop::default();
    let local = Local::new(&engine, sampling, options.prompt_lookup, 0, &stop);
    let ask = Ask {
        text: task.text,
        max_tokens: task.max_tokens,
        effort: task.effort,
        uses_prefix_cache: false,
    };
    let asked_ns = nanoseconds(SystemTime::now());
    let answered = local.ask(&ask);
    device_must_be_there(&engine).map_err(|error| fault(&error))?;
    let first_s = answered.as_ref().ok();
    let first_s = first_s.and_then(|answered| answered.arrivals.first());
    let first_ns = first_s.map_or(0.0, |first| first.at_s * 1e9) as u64;
    let disk_bytes = disk_bytes();
    let figures = answered.and_then(|answered| Figures::of(&answered, 0.0, 0.0));
    let made = Made {
        outcome: match figures {
            Ok(mut figures) => {
                figures.load_ms = Some(1000.0 * engine.model().load_s);
                figures.disk_mb = disk_bytes.map(|bytes| bytes as f64 / 1e6);
                Outcome::Answered(Box::new(figures))
            }
            Err(error) => Outcome::Failed { error },
        },
        first_text_ns: asked_ns + first_ns,
        peak_rss: peak_rss::get(),
        disk_bytes,
    };
    serde_json::to_string(&made).map_err(|error| fault(&error))
}

/// Since 1970.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// Bytes that this process has had read from a disk.
fn disk_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes:"))?;
    line.trim().parse().ok()
}

/// Asks the system to forget what it keeps of files in memory.
#[cfg(target_os = "linux")]
fn forget(files: &[PathBuf]) -> std::io::Result<()> {
    for path in files {
        let open = std::fs::File::open(path);
        let file = open.map_err(|error| {
            std::io::Error::other(format!("cannot open `{}`: {error}", path.display()))
        })?;
        // What was never written to the disk cannot be forgotten.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Asks the system to forget what it keeps of files in memory.
#[cfg(not(target_os = "linux"))]
fn forget(_: &[PathBuf]) -> std::io::Result<()> {
    Err(std::io::Error::other(
        "this system has no way to forget a file that a program may use",
    ))
}
