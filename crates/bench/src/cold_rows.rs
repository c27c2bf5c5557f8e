//! The rows of cold starts.

use std::path::PathBuf;

use ponder_engine::Engine;

use crate::cold::{Cold, Restart, Task};
use crate::machine::Noise;
use crate::measure::{Measured, case_number};
use crate::progress::Rounds;
use crate::report::Row;
use crate::sample::Sample;
use crate::session::row;
use crate::target::Target;
use crate::{BenchError, Case, Job, Session, Start, Watcher};

/// Bytes from the disk, as a share of the model's files, below which a start was not cold.
const COLD_SHARE: f64 = 0.5;

/// What the numbers of cold starts' prompts are counted from, beyond those of all rounds.
const COLD: u64 = 1 << 32;

/// What cold starts need to know of the engine that is gone.
pub(crate) struct ColdStarts {
    model: String,
    files: Vec<PathBuf>,
    file_bytes: u64,
    threads: usize,
    device: Option<String>,
    tasks: Vec<(Case, Vec<Task>)>,
}

impl ColdStarts {
    /// Makes the prompts of all cases that can be measured from a cold start.
    pub(crate) fn new(
        target: &dyn Target,
        engine: &Engine,
        job: &Job,
        threads: usize,
    ) -> Result<Self, BenchError> {
        let info = engine.model();
        let cases = job.grid.cases().into_iter();
        let cases = cases.filter(|case| case.depth == 0 && case.concurrency == 1);
        let tasks = |case: &Case| -> Result<Vec<Task>, BenchError> {
            let first = case_number(case).wrapping_add(COLD);
            let task = |run| {
                let prompt = target.prompt(case, 0, first.wrapping_add(run as u64))?;
                Ok(Task {
                    text: prompt.text,
                    max_tokens: job.plan.gen_tokens,
                    effort: case.effort,
                })
            };
            (0..job.plan.runs).map(task).collect()
        };
        let tasks: Result<Vec<_>, BenchError> =
            cases.map(|case| Ok((case, tasks(&case)?))).collect();
        Ok(Self {
            model: info.name.clone(),
            files: info.files()?,
            file_bytes: info.file_bytes,
            threads,
            device: info.device.clone(),
            tasks: tasks?,
        })
    }

    /// Makes all rows.
    pub(crate) fn measure(
        &self,
        session: &mut Session,
        restart: &Restart,
        watch: Watcher<'_>,
    ) -> Result<(), BenchError> {
        if self.tasks.len() < session.job.grid.cases().len() {
            session.note("cold starts were measured without depth and one request at a time only");
        }
        for start in [Start::ColdProcess, Start::ColdDisk] {
            if !session.job.starts.contains(&start) {
                continue;
            }
            if start == Start::ColdDisk && self.files.is_empty() {
                session.note("there is no cold-disk: the model is part of the program");
                continue;
            }
            for (i, (case, tasks)) in self.tasks.iter().enumerate() {
                let place = (i, self.tasks.len());
                let mut rounds = Rounds::new(&session.job.plan, place, case, start, watch);
                let row = self.row(session, restart, (case, tasks), start, &mut rounds)?;
                session.keep(row);
                if session.stop.is_set() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn row(
        &self,
        session: &Session,
        restart: &Restart,
        (case, tasks): (&Case, &[Task]),
        start: Start,
        rounds: &mut Rounds<'_>,
    ) -> Result<Row, BenchError> {
        let noise = Noise::begin();
        let (mut measured, mut still_warm) = (Measured::default(), 0);
        let least = COLD_SHARE * self.file_bytes as f64;
        for (run, task) in tasks.iter().enumerate() {
            let made = restart.ask(task, start, &self.files, &session.stop)?;
            let Some(Cold {
                outcome,
                peak_rss,
                disk_bytes,
            }) = made
            else {
                break;
            };
            let is_warm = disk_bytes.is_some_and(|bytes| (bytes as f64) < least);
            still_warm += usize::from(start == Start::ColdDisk && is_warm);
            measured.peak_rss = measured.peak_rss.max(peak_rss);
            let slot = 0;
            measured.samples.push(Sample { run, slot, outcome });
            rounds.done(session.job.plan.warmup + run + 1);
        }
        measured.noise = noise.end();
        let mut row = row(case, &session.job.plan, &self.model, start, measured);
        row.rate = None;
        row.threads = Some(self.threads);
        row.device.clone_from(&self.device);
        row.load_ms = row.spread("process_load_ms").map(|spread| spread.p50);
        if still_warm > 0 {
            row.notes.push(format!(
                "the page cache was not dropped before {still_warm} of {} starts: less than half of the file came from a disk",
                tasks.len()
            ));
        }
        Ok(row)
    }
}
