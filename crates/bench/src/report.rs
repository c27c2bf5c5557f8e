//! What came of a measurement: JSON by itself, and the fields that every other form shows.

use ponder_engine::ModelInfo;
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

const METRICS: [Metric; 17] = [
    ("ttft_ms", |f| vec![f.ttft_ms]),
    ("ttfo_ms", |f| f.ttfo_ms.into_iter().collect()),
    ("tpot_ms", |f| f.tpot_ms.into_iter().collect()),
    ("prefill_tps", |f| vec![f.prefill_tps]),
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
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub model: Model,
    /// How.
    pub plan: Plan,
    /// What the machine can do at most, where it was probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// A row for each case, temperature and target.
    pub rows: Vec<Row>,
    /// Runs that alternated with a peer's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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
}

/// The results of one case.
#[derive(Debug)]
#[allow(missing_docs)] // `DEFINITIONS` says what they are.
pub struct Row {
    /// `local`, or the address of a server.
    pub target: String,
    /// What a server calls its model.
    pub served_model: Option<String>,
    pub case: Case,
    pub gen_tokens: usize,
    pub start: Start,
    pub threads: Option<usize>,
    pub device: Option<String>,
    pub load_ms: Option<f64>,
    pub rss_mb: Option<f64>,
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

    /// All fields but the runs, in the order in which they are printed.
    pub fn fields(&self) -> Vec<(String, Value)> {
        let case = &self.case;
        let mut fields: Vec<(String, Value)> = Vec::new();
        let mut add = |name: &str, value: Value| fields.push((name.to_owned(), value));
        add("target", json!(self.target));
        add("served_model", json!(self.served_model));
        add("prompt_tokens", json!(case.prompt_tokens));
        add("gen_tokens", json!(self.gen_tokens));
        add("depth", json!(case.depth));
        add("concurrency", json!(case.concurrency));
        add("effort", json!(case.effort.map(|effort| effort.name())));
        add("start", json!(self.start));
        add("threads", json!(self.threads));
        add("device", json!(self.device));
        add("load_ms", json!(self.load_ms));
        let spreads = METRICS.map(|(name, _)| (name, self.spread(name)));
        for name in ALWAYS {
            let spread = spreads.iter().find(|spread| spread.0 == name);
            let median = spread.and_then(|spread| spread.1).map(|spread| spread.p50);
            add(&format!("{name}_p50"), json!(median));
        }
        add("rss_mb", json!(self.rss_mb));
        add("device_mb", Value::Null);
        add("joules", json!(self.joules));
        add("round_trip_ms", json!(self.round_trip_ms));
        add("rate", json!(self.rate));
        add("total_tps", json!(self.total_tps));
        if let Some(share) = &self.share {
            add("memory_share", json!(share.memory));
            add("compute_share", json!(share.compute));
        }
        add("requests", json!(self.runs.len()));
        add("failed", json!(self.n_failed()));
        for (name, spread) in spreads {
            let Some(spread) = spread else { continue };
            if !ALWAYS.contains(&name) {
                add(&format!("{name}_p50"), json!(spread.p50));
            }
            add(&format!("{name}_p50_ci95"), json!(spread.p50_ci95));
            add(&format!("{name}_min"), json!(spread.min));
            add(&format!("{name}_p90"), json!(spread.p90));
            add(&format!("{name}_p99"), json!(spread.p99));
            add(&format!("{name}_max"), json!(spread.max));
            add(&format!("{name}_stddev"), json!(spread.stddev));
        }
        fields
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
        map.serialize_entry("noise", &self.noise)?;
        map.serialize_entry("notes", &self.notes)?;
        map.serialize_entry("runs", &self.runs)?;
        map.end()
    }
}

impl Report {
    /// What should be known, a line each.
    pub fn remarks(&self) -> Vec<String> {
        let mut lines = self.notes.clone();
        for row in &self.rows {
            let remarks = row.remarks();
            if !remarks.is_empty() {
                let place = match row.target.as_str() {
                    "local" => String::new(),
                    target => format!(" at {target}"),
                };
                let name = format!("{}, {}{place}", row.case, row.start);
                lines.push(format!("{name}: {}", remarks.join("; ")));
            }
        }
        lines
    }
}

/// What each figure is, a line each.
pub const DEFINITIONS: [(&str, &str); 13] = [
    (
        "TTFT",
        "from the request to its first text at the reader, thinking included; of a cold start too, from when the model is loaded",
    ),
    (
        "TTFT's parts",
        "tokenize (template and encoding), queue, prefill, sample, detokenize, and emit: the way of the text to the reader, with the steps of first tokens that have no text",
    ),
    (
        "TTFO",
        "from the request to the first text that is not thinking",
    ),
    ("ITL", "every gap between two texts that arrive"),
    (
        "TPOT",
        "time per token after the first; the first token is excluded",
    ),
    (
        "prefill t/s",
        "prompt tokens that were computed, by the time from their first step to their logits; of a server by TTFT without the round trip",
    ),
    (
        "decode t/s",
        "1 / TPOT, of one answer; total t/s is of all that are made side by side, prefill included",
    ),
    ("answer", "from the request to the end of the answer"),
    (
        "load",
        "reading and packing the model; start is from the start of the process to the first text",
    ),
    (
        "RSS",
        "the most memory that the process had resident while the row was measured",
    ),
    (
        "figures",
        "are medians; ± is half of the median's 95 % interval (bootstrap); percentiles are values that occurred",
    ),
    (
        "of memory, of compute",
        "the bytes that decoding must read, and the operations of prefill, by what the machine can do at most; weights that stay in a cache are read faster than memory",
    ),
    (
        "prompts",
        "are unique and the prefix cache is off, except for what depth puts there; answers have a fixed length, their end is ignored",
    ),
];
