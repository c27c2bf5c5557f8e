//! From a job to a report, one target after the other.
//!
//! 1. [`Session::local`] measures a loaded engine, and makes the prompts of cold starts.
//! 2. [`Session::cold`] makes them, after the engine is gone: memory that is mapped cannot be dropped
//!    from the page cache, and two models at once would disturb each other.
//! 3. [`Session::endpoint`] measures a server.
//! 4. [`Session::report`] is the end.
//!
//! The first two may come again with another model, or with other threads. What was measured stays
//! where a later step fails, or where [`Session::stopper`] has ended it.

use ponder_engine::{Engine, LoadOptions, ModelInfo};

use crate::cold::Restart;
use crate::cold_rows::ColdStarts;
use crate::endpoint::{Endpoint, Server};
use crate::local::Local;
use crate::machine::{DeviceMemory, Machine, device_must_be_there, load};
use crate::measure::{Measured, measure};
use crate::pairs::speeds;
use crate::peer::{Errand, Speeds};
use crate::progress::Rounds;
use crate::report::{Model, Report, Row};
use crate::roofline::Limits;
use crate::stop::Stop;
use crate::{BenchError, Case, Job, Pair, Peer, Plan, Start, Watcher};

/// Memory of a device, in 10⁶ bytes, that context and kernels do not take by themselves.
const BUSY_MB: u64 = 2000;

/// A measurement under way.
pub struct Session {
    pub(crate) job: Job,
    machine: Machine,
    limits: Vec<Limits>,
    models: Vec<Model>,
    pub(crate) rows: Vec<Row>,
    pairs: Vec<Pair>,
    notes: Vec<String>,
    pub(crate) stop: Stop,
    pub(crate) cold: Option<ColdStarts>,
}

impl Session {
    /// Nothing measured yet.
    ///
    /// # Errors
    /// When the job has nothing to measure, or more than there can be.
    pub fn new(job: Job) -> Result<Self, BenchError> {
        job.check()?;
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
        Ok(Self {
            job,
            machine,
            limits: Vec::new(),
            models: Vec::new(),
            rows: Vec::new(),
            pairs: Vec::new(),
            notes,
            stop: Stop::default(),
            cold: None,
        })
    }

    /// What ends the measurement early.
    #[must_use]
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Adds what should be known of all rows.
    pub fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Measures an engine that was loaded with `options`; runs of the job's peer alternate with its.
    ///
    /// # Errors
    /// When a prompt cannot be made, or the peer does not run or says nothing that is understood. A
    /// request that fails is part of the report.
    pub fn local(
        &mut self,
        engine: &Engine,
        options: &LoadOptions,
        watch: Watcher<'_>,
    ) -> Result<(), BenchError> {
        let info = engine.model();
        let model = Model::Local {
            info: Box::new(info.clone()),
            fingerprint: info.fingerprint()?,
        };
        self.add(model);
        let threads = options.n_threads();
        self.look_at(info, threads)?;
        let stop = self.stop.clone();
        let job = self.job.clone();
        let lookup = options.prompt_lookup;
        let local = Local::new(engine, &job.sampling, lookup, job.plan.seed, &stop);
        let (device, cases) = (info.device.clone(), job.grid.cases());
        if job.starts.contains(&Start::Warm) {
            for (i, case) in cases.iter().enumerate() {
                let place = (i, cases.len());
                let mut rounds = Rounds::new(&job.plan, place, case, Start::Warm, watch);
                let mut duel = Duel::new(&job, case, engine, threads, &stop);
                let memory = DeviceMemory::now(engine);
                let measured = measure(&local, case, &job.plan, 0.0, &mut |n| {
                    rounds.done(n);
                    duel.run(n);
                })?;
                device_must_be_there(engine)?;
                self.pairs.extend(duel.pairs(&measured));
                let mut row = row(case, &job.plan, &info.name, Start::Warm, measured);
                row.threads = Some(threads);
                row.device = device.clone();
                row.load_ms = Some(1000.0 * info.load_s);
                row.add_device(memory, engine);
                self.share(&mut row, engine);
                if duel.peer.is_some() {
                    // The peer's is in it.
                    row.joules = None;
                }
                self.keep(row);
                duel.fault.map_or(Ok(()), Err)?;
                if stop.is_set() {
                    return Ok(());
                }
            }
        }
        if job.starts.iter().any(|&start| start != Start::Warm) {
            let cold = ColdStarts::new(&local, engine, &job, threads)?;
            self.cold = Some(cold);
        }
        Ok(())
    }

    /// Makes the cold starts of the model that was measured before. Cases with a depth or with several
    /// requests side by side are left out: both need a process that has worked before.
    ///
    /// # Errors
    /// When a process cannot be started, or cannot load the model.
    pub fn cold(&mut self, restart: &Restart, watch: Watcher<'_>) -> Result<(), BenchError> {
        match self.cold.take() {
            Some(cold) => cold.measure(self, restart, watch),
            None => Ok(()),
        }
    }

    /// Measures a server. Its prompts are as long as its own counts say.
    ///
    /// # Errors
    /// When the server is not there or does not answer at all.
    pub fn endpoint(&mut self, server: &Server, watch: Watcher<'_>) -> Result<(), BenchError> {
        let plan = self.job.plan.clone();
        let stop = self.stop.clone();
        let endpoint = match Endpoint::connect(server, plan.seed, &stop) {
            Err(_) if stop.is_set() => return Ok(()),
            endpoint => endpoint?,
        };
        let name = endpoint.model().to_owned();
        self.add(Model::Remote { name: name.clone() });
        let (cases, away_s) = (self.job.grid.cases(), endpoint.round_trip_s());
        for (i, case) in cases.iter().enumerate() {
            let place = (i, cases.len());
            let mut rounds = Rounds::new(&plan, place, case, Start::Warm, watch);
            let measured = measure(&endpoint, case, &plan, away_s, &mut |n| rounds.done(n));
            let measured = match measured {
                Err(_) if stop.is_set() => return Ok(()),
                measured => measured?,
            };
            let mut row = row(case, &plan, &name, Start::Warm, measured);
            endpoint.url().clone_into(&mut row.target);
            row.round_trip_ms = Some(1000.0 * away_s);
            row.rss_mb = None;
            row.note_unknown_cache();
            self.keep(row);
            if stop.is_set() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there is anything to report.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// All that was measured.
    pub fn report(mut self) -> Report {
        if self.stop.is_set() {
            self.note("it was stopped: what was not measured until then is missing");
        }
        if self.job.peer.is_some() && self.pairs.is_empty() {
            self.note("the peer did not run: it does so beside warm runs of one request at a time");
        }
        Report {
            machine: self.machine,
            models: self.models,
            plan: self.job.plan,
            limits: self.limits,
            rows: self.rows,
            pairs: self.pairs,
            notes: self.notes,
        }
    }

    /// Notes what a model runs on, and what that can do at most.
    fn look_at(&mut self, info: &ModelInfo, threads: usize) -> Result<(), BenchError> {
        if let Some(accelerator) = &info.accelerator {
            let facts = &accelerator.facts;
            self.machine.add(facts);
            let used = accelerator
                .free_mb
                .map_or(0, |free| facts.memory_mb.saturating_sub(free));
            if used > BUSY_MB {
                self.note(&format!(
                    "{used} MB of {} were taken before the model was loaded, by others and by the kernels",
                    facts.name
                ));
            }
        }
        let device = info.device.as_deref();
        let mut known = self.limits.iter();
        if !self.job.roofline || known.any(|known| known.is_of(Some(threads), device)) {
            return Ok(());
        }
        match Limits::probe(info, threads) {
            Ok(limits) => self.limits.extend(limits),
            // Rows say as much without it.
            Err(error @ BenchError::DeviceProbe(_)) => self.note(&error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add(&mut self, model: Model) {
        if !self.models.iter().any(|known| known.is_same(&model)) {
            self.models.push(model);
        }
    }

    /// Keeps a row, unless nothing of it was measured.
    pub(crate) fn keep(&mut self, mut row: Row) {
        let n_runs = match row.rate {
            Some(_) => self.job.plan.runs,
            None => self.job.plan.runs * row.case.concurrency,
        };
        if row.runs.is_empty() {
            return;
        }
        if row.runs.len() < n_runs {
            let n = row.runs.len();
            row.notes
                .push(format!("stopped after {n} of {n_runs} requests"));
        }
        self.rows.push(row);
    }

    /// Says how near a row of one request at a time came to the machine's limits.
    fn share(&self, row: &mut Row, engine: &Engine) {
        let limits = self.limits.iter().find(|known| known.hold_for(row));
        let Some(limits) = limits.filter(|_| row.case.concurrency == 1) else {
            return;
        };
        let prefill = row.spread("prefill_ms").map(|spread| spread.p50);
        // What was found in the cache was not computed.
        let prefill = prefill.filter(|_| !self.job.plan.prefix_cache);
        let tpot = row.spread("tpot_ms").map(|spread| spread.p50);
        let info = engine.model();
        row.share = Some(limits.share(
            &info.work,
            &info.quantization,
            (row.case.depth, row.case.prompt_tokens),
            row.gen_tokens,
            prefill,
            tpot,
        ));
    }
}

/// The row of what was measured of a model here.
pub(crate) fn row(case: &Case, plan: &Plan, model: &str, start: Start, measured: Measured) -> Row {
    Row {
        target: Row::LOCAL.to_owned(),
        model: model.to_owned(),
        case: *case,
        gen_tokens: plan.gen_tokens,
        start,
        threads: None,
        device: None,
        load_ms: None,
        rss_mb: measured.peak_rss.map(|bytes| bytes as f64 / 1e6),
        device_mb: None,
        device_allocated_mb: None,
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

impl Row {
    /// Adds what the model has of a device, and whether others used it since `before`.
    fn add_device(&mut self, before: Option<DeviceMemory>, engine: &Engine) {
        let Some(device) = engine.device() else {
            return;
        };
        self.device_allocated_mb = Some(device.allocated_bytes() as f64 / 1e6);
        let now = DeviceMemory::now(engine);
        self.device_mb = now.and_then(|now| now.used_mb(engine.model()));
        self.noise.device_taken_mb = before
            .zip(now)
            .map(|(before, now)| before.taken_by_others_mb(now));
    }
}

/// A peer that runs after every round that counts.
struct Duel<'a> {
    peer: Option<&'a Peer>,
    errand: Errand<'a>,
    name: &'a str,
    warmup: usize,
    stop: &'a Stop,
    theirs: Vec<Speeds>,
    fault: Option<BenchError>,
}

impl<'a> Duel<'a> {
    fn new(
        job: &'a Job,
        case: &'a Case,
        engine: &'a Engine,
        threads: usize,
        stop: &'a Stop,
    ) -> Self {
        let info = engine.model();
        let is_alone = case.concurrency == 1 && job.plan.rate.is_none();
        Self {
            peer: job.peer.as_ref().filter(|_| is_alone),
            errand: Errand {
                // A peer knows no short names.
                model: match info.embedded {
                    true => &info.name,
                    false => info.path.to_str().unwrap_or(&info.name),
                },
                case,
                gen_tokens: job.plan.gen_tokens,
                threads,
            },
            name: &info.name,
            warmup: job.plan.warmup,
            stop,
            theirs: Vec::new(),
            fault: None,
        }
    }

    /// Called after each round.
    fn run(&mut self, n_rounds: usize) {
        let Some(peer) = self.peer else { return };
        if n_rounds <= self.warmup || self.fault.is_some() {
            return;
        }
        match peer.run(self.errand, self.stop) {
            Ok(speeds) => self.theirs.extend(speeds),
            Err(error) => self.fault = Some(error),
        }
    }

    fn pairs(&self, measured: &Measured) -> Vec<Pair> {
        let pair = |(run, &theirs): (usize, &Speeds)| Pair {
            model: self.name.to_owned(),
            threads: self.errand.threads,
            case: *self.errand.case,
            run,
            ours: speeds(&measured.samples, run),
            theirs,
        };
        self.theirs.iter().enumerate().map(pair).collect()
    }
}
