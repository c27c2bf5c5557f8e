//! From a job to a report, one target after the other.
//!
//! 1. [`Session::local`] measures a loaded engine, and makes the prompts of cold starts.
//! 2. [`Session::cold`] makes them, after the engine is gone: memory that is mapped cannot be dropped
//!    from the page cache, and two models at once would disturb each other.
//! 3. [`Session::endpoint`] measures a server.
//! 4. [`Session::report`] is the end.

use std::path::PathBuf;

use ponder_engine::{Device, Engine, LoadOptions, SamplingOverrides};

use crate::cold::{Cold, Restart, Task};
use crate::endpoint::Endpoint;
use crate::local::Local;
use crate::machine::{Machine, Noise, load};
use crate::measure::{Measured, Plan, case_number, measure};
use crate::report::{Model, Report, Row};
use crate::roofline::Limits;
use crate::sample::Sample;
use crate::target::Target;
use crate::vs::run_peer;
use crate::{BenchError, Case, Grid, Pair, Start};

/// Bytes from the disk, as a share of the model's files, below which a start was not cold.
const COLD_SHARE: f64 = 0.5;

/// What the numbers of cold starts' prompts are counted from, beyond those of all rounds.
const COLD: u64 = 1 << 32;

/// What sets the seeds of runs beside a peer apart.
const VERSUS: u64 = 1 << 40;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cases.
    pub grid: Grid,
    /// How each is measured.
    pub plan: Plan,
    /// How warm things are.
    pub starts: Vec<Start>,
    /// What differs from the model's own sampling defaults.
    pub sampling: SamplingOverrides,
    /// Whether the machine's limits are probed first.
    pub roofline: bool,
}

/// How far a measurement is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Rounds of all rows that were made.
    pub done: usize,
    /// Rounds that there will be, of this target.
    pub total: usize,
    /// What the present row is.
    pub row: String,
}

/// Who hears of it.
pub type Watcher<'a> = &'a mut dyn FnMut(&Progress);

/// A measurement under way.
pub struct Session {
    job: Job,
    machine: Machine,
    limits: Option<Limits>,
    model: Option<Model>,
    rows: Vec<Row>,
    pairs: Vec<Pair>,
    notes: Vec<String>,
    cold: Option<ColdStarts>,
}

/// What cold starts need to know of the engine that is gone.
struct ColdStarts {
    files: Vec<PathBuf>,
    file_bytes: u64,
    threads: usize,
    device: String,
    tasks: Vec<(Case, Vec<Task>)>,
}

impl Session {
    /// Nothing measured yet.
    pub fn new(job: Job) -> Self {
        let machine = Machine::here();
        let mut notes = Vec::new();
        if let Some(load) = load().filter(|&load| load > machine.cores as f64 / 2.0) {
            notes.push(format!(
                "others use this machine: {load:.1} threads wanted to run in the minute before"
            ));
        }
        if machine.build.profile == "debug" {
            notes.push("this is a debug build, which is slower than the program is".to_owned());
        }
        Self {
            job,
            machine,
            limits: None,
            model: None,
            rows: Vec::new(),
            pairs: Vec::new(),
            notes,
            cold: None,
        }
    }

    /// Measures an engine that was loaded with `options`.
    ///
    /// # Errors
    /// When a prompt cannot be made. A request that fails is part of the report.
    pub fn local(
        &mut self,
        engine: &Engine,
        options: &LoadOptions,
        watch: Watcher<'_>,
    ) -> Result<(), BenchError> {
        let info = engine.model();
        self.model = Some(Model::Local {
            info: Box::new(info.clone()),
            fingerprint: info.fingerprint()?,
        });
        let threads = options.n_threads();
        if self.job.roofline {
            self.limits = Some(Limits::probe(threads)?);
        }
        let plan = &self.job.plan;
        let lookup = options.prompt_lookup;
        let local = Local::new(engine, &self.job.sampling, lookup, plan.seed);
        let (device, cases) = (device_name(options.device), self.job.grid.cases());
        if self.job.starts.contains(&Start::Warm) {
            for (i, case) in cases.iter().enumerate() {
                let mut progress = Rounds::new(plan, i, cases.len(), case, Start::Warm, watch);
                let measured = measure(&local, case, plan, 0.0, &mut |n| progress.done(n))?;
                let mut row = row(case, plan, "local", Start::Warm, measured);
                row.threads = Some(threads);
                row.device = Some(device.clone());
                row.load_ms = Some(1000.0 * info.load_s);
                self.rows.push(row);
            }
        }
        if self.job.starts.iter().any(|&start| start != Start::Warm) {
            self.cold = Some(ColdStarts {
                files: info.files()?,
                file_bytes: info.file_bytes,
                threads,
                device,
                tasks: cold_tasks(&local, &cases, plan)?,
            });
        }
        Ok(())
    }

    /// Lets runs of an engine alternate with those of a peer, which `command` starts, one request at a
    /// time.
    ///
    /// # Errors
    /// When a prompt cannot be made, or the peer does not run or says nothing that is understood.
    pub fn versus(
        &mut self,
        engine: &Engine,
        options: &LoadOptions,
        command: &str,
        watch: Watcher<'_>,
    ) -> Result<(), BenchError> {
        let threads = options.n_threads();
        let one = Plan {
            runs: 1,
            warmup: 0,
            rate: None,
            ..self.job.plan.clone()
        };
        let mut cases = self.job.grid.cases();
        cases.retain(|case| case.concurrency == 1);
        for (i, case) in cases.iter().enumerate() {
            let mut progress =
                Rounds::new(&self.job.plan, i, cases.len(), case, Start::Warm, watch);
            for run in 0..self.job.plan.runs {
                // Each run asks something else, and nothing that a row has asked.
                let seed = one.seed ^ (VERSUS + run as u64);
                let local = Local::new(engine, &self.job.sampling, options.prompt_lookup, seed);
                let measured = measure(&local, case, &one, 0.0, &mut |_| {})?;
                let row = row(case, &one, "local", Start::Warm, measured);
                let ours = ["prefill_tps", "decode_tps"];
                self.pairs.push(Pair {
                    case: *case,
                    run,
                    ours: ours.map(|metric| row.spread(metric).map(|spread| spread.p50)),
                    theirs: run_peer(command, case, one.gen_tokens, threads)?,
                });
                progress.done(self.job.plan.warmup + run + 1);
            }
        }
        Ok(())
    }

    /// Makes the cold starts of the model that was measured before. Cases with a depth or with several
    /// requests side by side are left out: both need a process that has worked before.
    ///
    /// # Errors
    /// When a process cannot be started, or cannot load the model.
    pub fn cold(&mut self, restart: &Restart, watch: Watcher<'_>) -> Result<(), BenchError> {
        let Some(cold) = self.cold.take() else {
            return Ok(());
        };
        let n_cases = self.job.grid.cases().len();
        if cold.tasks.len() < n_cases {
            let note = "cold starts were measured without depth and one request at a time only";
            self.notes.push(note.to_owned());
        }
        let plan = &self.job.plan;
        for start in [Start::ColdProcess, Start::ColdDisk] {
            if !self.job.starts.contains(&start) {
                continue;
            }
            if start == Start::ColdDisk && cold.files.is_empty() {
                let note = "there is no cold-disk: the model is part of the program";
                self.notes.push(note.to_owned());
                continue;
            }
            for (i, (case, tasks)) in cold.tasks.iter().enumerate() {
                let mut progress = Rounds::new(plan, i, cold.tasks.len(), case, start, watch);
                self.rows.push(cold_row(
                    restart,
                    &cold,
                    case,
                    tasks,
                    plan,
                    start,
                    &mut progress,
                )?);
            }
        }
        Ok(())
    }

    /// Measures a server. Its prompts are as long as its own counts say.
    ///
    /// # Errors
    /// When the server is not there or does not answer at all.
    pub fn endpoint(
        &mut self,
        url: &str,
        model: Option<&str>,
        key: Option<&str>,
        watch: Watcher<'_>,
    ) -> Result<(), BenchError> {
        let plan = &self.job.plan;
        let endpoint = Endpoint::connect(url, model, key, plan.seed)?;
        self.model.get_or_insert_with(|| Model::Remote {
            name: endpoint.model().to_owned(),
        });
        let (cases, away_s) = (self.job.grid.cases(), endpoint.round_trip_s());
        for (i, case) in cases.iter().enumerate() {
            let mut progress = Rounds::new(plan, i, cases.len(), case, Start::Warm, watch);
            let measured = measure(&endpoint, case, plan, away_s, &mut |n| progress.done(n))?;
            let mut row = row(case, plan, endpoint.url(), Start::Warm, measured);
            row.round_trip_ms = Some(1000.0 * away_s);
            row.served_model = Some(endpoint.model().to_owned());
            row.rss_mb = None;
            self.rows.push(row);
        }
        Ok(())
    }

    /// All that was measured.
    pub fn report(mut self) -> Report {
        if let (Some(limits), Some(Model::Local { info, .. })) = (&self.limits, &self.model) {
            for row in self.rows.iter_mut().filter(|row| row.target == "local") {
                let case = row.case;
                if let (Some(prefill), 1) = (row.spread("prefill_ms"), case.concurrency) {
                    let tpot_ms = row.spread("tpot_ms").map(|spread| spread.p50);
                    let prompt = (case.depth, case.prompt_tokens);
                    let work = &info.work;
                    row.share = Some(limits.share(
                        work,
                        &info.quantization,
                        prompt,
                        row.gen_tokens,
                        prefill.p50,
                        tpot_ms,
                    ));
                }
            }
        }
        Report {
            machine: self.machine,
            model: self.model.unwrap_or(Model::Remote {
                name: String::new(),
            }),
            plan: self.job.plan,
            limits: self.limits,
            rows: self.rows,
            pairs: self.pairs,
            notes: self.notes,
        }
    }
}

/// The prompts of all cases that can be measured from a cold start.
fn cold_tasks(
    target: &dyn Target,
    cases: &[Case],
    plan: &Plan,
) -> Result<Vec<(Case, Vec<Task>)>, BenchError> {
    let cases = cases
        .iter()
        .filter(|case| case.depth == 0 && case.concurrency == 1);
    let tasks = |case: &Case| -> Result<Vec<Task>, BenchError> {
        let task = |run| {
            let prompt =
                target.prompt(case, 0, case_number(case).wrapping_add(COLD + run as u64))?;
            Ok(Task {
                text: prompt.text,
                max_tokens: plan.gen_tokens,
                effort: case.effort,
            })
        };
        (0..plan.runs).map(task).collect()
    };
    cases.map(|case| Ok((*case, tasks(case)?))).collect()
}

fn cold_row(
    restart: &Restart,
    cold: &ColdStarts,
    case: &Case,
    tasks: &[Task],
    plan: &Plan,
    start: Start,
    progress: &mut Rounds<'_>,
) -> Result<Row, BenchError> {
    let noise = Noise::begin();
    let (mut measured, mut still_warm) = (Measured::default(), 0);
    for (run, task) in tasks.iter().enumerate() {
        let Cold {
            outcome,
            peak_rss,
            disk_bytes,
        } = restart.ask(task, start, &cold.files)?;
        let least = COLD_SHARE * cold.file_bytes as f64;
        let is_warm = disk_bytes.is_some_and(|bytes| (bytes as f64) < least);
        still_warm += usize::from(start == Start::ColdDisk && is_warm);
        measured.peak_rss = measured.peak_rss.max(peak_rss);
        measured.samples.push(Sample {
            run,
            slot: 0,
            outcome,
        });
        progress.done(plan.warmup + run + 1);
    }
    measured.noise = noise.end();
    let mut row = row(case, plan, "local", start, measured);
    row.threads = Some(cold.threads);
    row.device = Some(cold.device.clone());
    row.load_ms = row.spread("process_load_ms").map(|spread| spread.p50);
    if still_warm > 0 {
        row.notes.push(format!(
            "the page cache was not dropped before {still_warm} of {} starts: less than half of the file came from a disk",
            tasks.len()
        ));
    }
    Ok(row)
}

fn row(case: &Case, plan: &Plan, target: &str, start: Start, measured: Measured) -> Row {
    Row {
        target: target.to_owned(),
        served_model: None,
        case: *case,
        gen_tokens: plan.gen_tokens,
        start,
        threads: None,
        device: None,
        load_ms: None,
        rss_mb: measured.peak_rss.map(|bytes| bytes as f64 / 1e6),
        round_trip_ms: None,
        rate: plan.rate,
        total_tps: measured.total_tps,
        joules: measured.joules,
        share: None,
        noise: measured.noise,
        notes: Vec::new(),
        runs: measured.samples,
    }
}

fn device_name(device: Device) -> String {
    format!("{device:?}").to_lowercase()
}

/// Tells the watcher of rounds.
struct Rounds<'a> {
    watch: Watcher<'a>,
    progress: Progress,
    before: usize,
}

impl<'a> Rounds<'a> {
    fn new(
        plan: &Plan,
        index: usize,
        n_cases: usize,
        case: &Case,
        start: Start,
        watch: Watcher<'a>,
    ) -> Self {
        let per_case = plan.warmup + plan.runs;
        let progress = Progress {
            done: index * per_case,
            total: n_cases * per_case,
            row: format!("{case}, {start}"),
        };
        watch(&progress);
        Self {
            watch,
            before: progress.done,
            progress,
        }
    }

    fn done(&mut self, n: usize) {
        self.progress.done = self.before + n;
        (self.watch)(&self.progress);
    }
}
