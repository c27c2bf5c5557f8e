//! What came of a measurement: JSON by itself, and the fields that every other form shows.

use ponder_engine::ModelInfo;
use ponder_figures::picture::short_name;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::machine::{Machine, Noise};
use crate::roofline::{Limits, Share};
use crate::sample::{Figures, Outcome, Parts, Sample};
use crate::stats::Spread;
use crate::{Case, Pair, Plan, Start};

/// A spread between the 10th and 90th percentile, as a share of the median, above which a row deserves
/// a word.
const WIDE: f64 = 0.1;

/// What is summed up of a row's samples: a name with its unit, and the values of one sample.
type Metric = (&'static str, fn(&Figures) -> Vec<f64>);

const METRICS: [Metric; 19] = [
    ("ttft_ms", |f| vec![f.ttft_ms]),
    ("ttfo_ms", |f| f.ttfo_ms.into_iter().collect()),
    ("tpot_ms", |f| f.tpot_ms.into_iter().collect()),
    ("prefill_tps", |f| f.prefill_tps.into_iter().collect()),
    ("decode_tps", |f| f.decode_tps.into_iter().collect()),
    ("itl_ms", |f| f.itl_ms.clone()),
    ("latency_ms", |f| vec![f.latency_ms]),
    ("tokenize_ms", |f| part(f, |parts| parts.tokenize_ms)),
    ("queue_ms", |f| part(f, |parts| parts.queue_ms)),
    ("prefill_ms", |f| part(f, |parts| parts.prefill_ms)),
    ("sample_ms", |f| part(f, |parts| parts.sample_ms)),
    ("detokenize_ms", |f| part(f, |parts| parts.detokenize_ms)),
    ("emit_ms", |f| part(f, |parts| parts.emit_ms)),
    ("process_load_ms", |f| f.load_ms.into_iter().collect()),
    ("start_ms", |f| f.start_ms.into_iter().collect()),
    ("device_prefill_ms", |f| {
        f.device_prefill_ms.into_iter().collect()
    }),
    ("device_tpot_ms", |f| f.device_tpot_ms.into_iter().collect()),
    ("server_prefill_ms", |f| {
        f.server_prefill_ms.into_iter().collect()
    }),
    ("server_tpot_ms", |f| f.server_tpot_ms.into_iter().collect()),
];

/// Metrics of which the median is there even if there is none: scripts rely on the names.
const ALWAYS: [&str; 5] = ["ttft_ms", "ttfo_ms", "tpot_ms", "prefill_tps", "decode_tps"];

fn part(figures: &Figures, of: fn(&Parts) -> f64) -> Vec<f64> {
    figures.ttft_parts.iter().map(of).collect()
}

/// All that was measured.
#[derive(Debug)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub models: Vec<Model>,
    /// How.
    pub plan: Plan,
    /// What the machine can do at most, with as many threads as models had, and what the devices can on
    /// which they ran; nothing where that was not probed.
    pub limits: Vec<Limits>,
    /// A row for each case, temperature, target, model and number of threads.
    pub rows: Vec<Row>,
    /// Runs that alternated with a peer's.
    pub pairs: Vec<Pair>,
    /// What should be known of all rows.
    pub notes: Vec<String>,
}

/// What was measured.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub enum Model {
    /// A model in this process.
    Local {
        /// What is known of it.
        #[serde(flatten)]
        info: Box<ModelInfo>,
        /// What tells it from others.
        fingerprint: String,
    },
    /// Whatever a server calls it.
    Remote {
        /// The name.
        name: String,
    },
}

impl Model {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Local { info, .. } => &info.name,
            Self::Remote { name } => name,
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_local = |model: &Self| matches!(model, Self::Local { .. });
        self.name() == other.name() && is_local(self) == is_local(other)
    }
}

/// The results of one case.
#[derive(Debug)]
#[allow(missing_docs)] // `DEFINITIONS` says what they are.
pub struct Row {
    /// `local`, or the address of a server.
    pub target: String,
    /// The model's name; of a server's model what the server calls it.
    pub model: String,
    pub case: Case,
    pub gen_tokens: usize,
    pub start: Start,
    pub threads: Option<usize>,
    pub device: Option<String>,
    pub load_ms: Option<f64>,
    pub rss_mb: Option<f64>,
    pub device_mb: Option<f64>,
    pub device_allocated_mb: Option<f64>,
    pub round_trip_ms: Option<f64>,
    pub rate: Option<f64>,
    pub total_tps: Option<f64>,
    pub joules: Option<f64>,
    pub share: Option<Share>,
    pub noise: Noise,
    pub notes: Vec<String>,
    /// Every request.
    pub runs: Vec<Sample>,
}

impl Row {
    /// The target of rows that were measured here.
    pub(crate) const LOCAL: &'static str = "local";

    /// How the values of a metric spread; `None` where there are none.
    pub fn spread(&self, metric: &str) -> Option<Spread> {
        let (_, values) = METRICS.iter().find(|(name, _)| *name == metric)?;
        let answered = self.runs.iter().filter_map(Sample::figures);
        Spread::of(&answered.flat_map(values).collect::<Vec<_>>())
    }

    /// Requests that failed.
    pub fn n_failed(&self) -> usize {
        let failed = self.runs.iter().filter(|run| run.figures().is_none());
        failed.count()
    }

    /// Answers that were shorter than they should be.
    pub(crate) fn n_short(&self) -> usize {
        let answered = self.runs.iter().filter_map(Sample::figures);
        let short = answered.filter(|figures| figures.completion_tokens < self.gen_tokens);
        short.count()
    }

    /// What was measured and the medians that scripts rely on; what there is not is null.
    pub(crate) fn fields(&self) -> Vec<(String, Value)> {
        let case = &self.case;
        let mut fields: Vec<(String, Value)> = Vec::new();
        let mut add = |name: &str, value: Value| fields.push((name.to_owned(), value));
        add("target", json!(self.target));
        add("model", json!(self.model));
        add("prompt_tokens", json!(case.prompt_tokens));
        add("gen_tokens", json!(self.gen_tokens));
        add("depth", json!(case.depth));
        add("concurrency", json!(case.concurrency));
        add("effort", json!(case.effort.map(|effort| effort.name())));
        add("start", json!(self.start));
        add("threads", json!(self.threads));
        add("device", json!(self.device));
        add("load_ms", json!(self.load_ms));
        for name in ALWAYS {
            let median = self.spread(name).map(|spread| spread.p50);
            add(&format!("{name}_p50"), json!(median));
        }
        add("rss_mb", json!(self.rss_mb));
        add("device_mb", json!(self.device_mb));
        add("device_allocated_mb", json!(self.device_allocated_mb));
        add("joules", json!(self.joules));
        add("round_trip_ms", json!(self.round_trip_ms));
        add("rate", json!(self.rate));
        add("total_tps", json!(self.total_tps));
        add(
            "memory_share",
            json!(self.share.and_then(|share| share.memory)),
        );
        add(
            "compute_share",
            json!(self.share.and_then(|share| share.compute)),
        );
        add("requests", json!(self.runs.len()));
        add("failed", json!(self.n_failed()));
        fields
    }

    /// How all figures spread; of those that there are not, everything is null.
    pub(crate) fn spreads(&self) -> Vec<(String, Value)> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        for (name, _) in METRICS {
            let spread = self.spread(name);
            let mut add = |part: &str, value| fields.push((format!("{name}_{part}"), value));
            let of = |part: fn(&Spread) -> f64| json!(spread.as_ref().map(part));
            if !ALWAYS.contains(&name) {
                add("p50", of(|spread| spread.p50));
            }
            add("p50_ci95", json!(spread.map(|spread| spread.p50_ci95)));
            add("min", of(|spread| spread.min));
            add("p90", of(|spread| spread.p90));
            add("p99", of(|spread| spread.p99));
            add("max", of(|spread| spread.max));
            add("stddev", of(|spread| spread.stddev));
        }
        fields
    }

    /// Says so where the cache was to hold something and nobody knows whether it did.
    pub(crate) fn note_unknown_cache(&mut self) {
        let mut answered = self.runs.iter().filter_map(Sample::figures);
        if self.case.depth > 0 && answered.any(|figures| figures.cached_tokens.is_none()) {
            let note = "the server does not say what it found in its cache";
            self.notes.push(note.to_owned());
        }
    }

    /// What should be known of the row: what failed, what disturbed, what varied.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = self.notes.clone();
        let mut failures = self.runs.iter().filter_map(|run| match &run.outcome {
            Outcome::Failed { error } => Some(error),
            Outcome::Answered(_) => None,
        });
        if let Some(error) = failures.next() {
            let (n, all) = (self.n_failed(), self.runs.len());
            remarks.push(format!(
                "{n} of {all} requests failed, and are in no figure: {error}"
            ));
        }
        match self.n_short() {
            0 => {}
            n => remarks.push(format!("{n} answers ended early")),
        }
        for metric in ["ttft_ms", "tpot_ms"] {
            if let Some(spread) = self.spread(metric)
                && (spread.p90 - spread.min) > WIDE * spread.p50
                && self.case.concurrency == 1
            {
                let name = metric.trim_end_matches("_ms").to_uppercase();
                let share = 100.0 * (spread.p90 - spread.min) / spread.p50;
                remarks.push(format!("{name} varied by {share:.0} %"));
            }
        }
        remarks.extend(self.noise.remarks());
        remarks
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.fields() {
            map.serialize_entry(&name, &value)?;
        }
        for (name, value) in self.spreads() {
            if !value.is_null() {
                map.serialize_entry(&name, &value)?;
            }
        }
        map.serialize_entry("noise", &self.noise)?;
        map.serialize_entry("notes", &self.notes)?;
        map.serialize_entry("runs", &self.runs)?;
        map.end()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("machine", &self.machine)?;
        map.serialize_entry("model", &self.models.first())?;
        map.serialize_entry("models", &self.models)?;
        map.serialize_entry("plan", &self.plan)?;
        map.serialize_entry("limits", &self.limits)?;
        map.serialize_entry("rows", &self.rows)?;
        map.serialize_entry("pairs", &self.pairs)?;
        map.serialize_entry("notes", &self.notes)?;
        map.end()
    }
}

/// What rows of a report differ in, of what they were measured of: only that is said of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Varies {
    pub(crate) target: bool,
    pub(crate) model: bool,
    pub(crate) threads: bool,
}

impl Varies {
    pub(crate) fn over(rows: &[Row]) -> Self {
        let differ = |is_same: fn(&Row, &Row) -> bool| {
            rows.windows(2).any(|pair| !is_same(&pair[0], &pair[1]))
        };
        Self {
            target: rows.iter().any(|row| row.target != Row::LOCAL),
            model: differ(|a, b| a.model == b.model),
            threads: differ(|a, b| a.threads == b.threads),
        }
    }

    /// What a row was measured of; empty where all were of the same.
    pub(crate) fn setup(self, row: &Row) -> String {
        let mut parts = Vec::new();
        if self.model {
            parts.push(short_name(&row.model).to_owned());
        }
        if self.threads {
            parts.extend(row.threads.map(|n| match n {
                1 => "1 thread".to_owned(),
                n => format!("{n} threads"),
            }));
        }
        if self.target {
            parts.push(row.target.clone());
        }
        parts.join(", ")
    }
}

impl Report {
    /// The model that a row was measured of.
    pub(crate) fn model_of(&self, row: &Row) -> Option<&Model> {
        let is_local = row.target == Row::LOCAL;
        self.models.iter().find(|model| {
            model.name() == row.model && is_local == matches!(model, Model::Local { .. })
        })
    }

    /// What should be known, a line each.
    pub fn remarks(&self) -> Vec<String> {
        let mut lines = self.notes.clone();
        let varies = Varies::over(&self.rows);
        for row in &self.rows {
            let remarks = row.remarks();
            if !remarks.is_empty() {
                let parts = [
                    varies.setup(row),
                    row.case.to_string(),
                    row.start.to_string(),
                ];
                let parts: Vec<String> = parts.into_iter().filter(|it| !it.is_empty()).collect();
                lines.push(format!("{}: {}", parts.join(", "), remarks.join("; ")));
            }
        }
        lines
    }
}
