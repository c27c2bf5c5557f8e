//! What changed between two reports, beyond noise.

use std::path::Path;

use ponder_figures::Table;
use serde::Serialize;
use serde_json::Value;

use crate::BenchError;
use crate::sample::{Figures, Sample};
use crate::stats::{Spread, false_discovery_rates, least_p, mann_whitney};

/// The probability below which a difference is taken to be none of chance.
const ALPHA: f64 = 0.05;

/// Fields that say which row is which.
const KEYS: [&str; 8] = [
    "target",
    "prompt_tokens",
    "gen_tokens",
    "depth",
    "concurrency",
    "rate",
    "effort",
    "start",
];

/// Fields that say it too where rows of one report differ in them. Where they do not, two reports of
/// different models, or of different numbers of threads, can be compared.
const VARYING: [&str; 2] = ["model", "threads"];

/// A figure's name, and its value for a request.
type Metric = (&'static str, fn(&Figures) -> Option<f64>);

/// What is compared: times, of which less is better.
const METRICS: [Metric; 5] = [
    ("ttft_ms", |f| Some(f.ttft_ms)),
    ("ttfo_ms", |f| f.ttfo_ms),
    ("tpot_ms", |f| f.tpot_ms),
    ("latency_ms", |f| Some(f.latency_ms)),
    ("start_ms", |f| f.start_ms),
];

/// One figure of one row, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Which row.
    pub row: String,
    /// Which figure.
    pub metric: &'static str,
    /// Its median before.
    pub before: f64,
    /// Its median after.
    pub after: f64,
    /// How much more that is, as a share.
    pub change: f64,
    /// The probability that two samples of the same differ as much (Mann–Whitney).
    pub p: f64,
    /// The share of false ones, at most, among all changes of this report that are as certain
    /// (Benjamini–Hochberg).
    pub q: f64,
    /// Values before and after.
    pub n: [usize; 2],
    /// Whether that is beyond noise.
    pub is_certain: bool,
    /// Whether it is worse, beyond noise, by more than is allowed.
    pub is_regression: bool,
}

/// Two reports side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// All figures that both have.
    pub changes: Vec<Change>,
}

/// Compares two reports that `--json` has written, row by row; rows that only one of them has are left
/// out.
///
/// # Errors
/// When a file is no report, or the two have no row in common.
pub fn compare(before: &Path, after: &Path, threshold: f64) -> Result<Comparison, BenchError> {
    let reports = [read(before)?, read(after)?];
    let varying = |key: &&str| reports.iter().any(|rows| varies(rows, key));
    let varying: Vec<&str> = VARYING.into_iter().filter(varying).collect();
    let [old, new] = [
        rows(before, &reports[0], &varying)?,
        rows(after, &reports[1], &varying)?,
    ];
    let mut changes = Vec::new();
    for (row, new) in &new {
        if let Some((_, old)) = old.iter().find(|(other, _)| other == row) {
            changes.extend(METRICS.iter().filter_map(|metric| {
                let change = change(metric, old, new)?;
                let row = row.clone();
                Some(Change { row, ..change })
            }));
        }
    }
    if changes.is_empty() {
        return Err(BenchError::NoReport {
            path: after.to_owned(),
            problem: format!("it has no row in common with `{}`", before.display()),
        });
    }
    let p: Vec<f64> = changes.iter().map(|change| change.p).collect();
    for (change, q) in changes.iter_mut().zip(false_discovery_rates(&p)) {
        change.q = q;
        change.is_certain = q < ALPHA;
        change.is_regression = change.is_certain && change.change > threshold;
    }
    Ok(Comparison { changes })
}

/// How a figure changed; whether that is certain depends on all others.
fn change((metric, of): &Metric, old: &[Sample], new: &[Sample]) -> Option<Change> {
    let values = |samples: &[Sample]| -> Vec<f64> {
        let answered = samples.iter().filter_map(Sample::figures);
        answered.filter_map(of).collect()
    };
    let (a, b) = (values(old), values(new));
    let (was, is) = (Spread::of(&a)?, Spread::of(&b)?);
    // What took no time before has no share to grow by.
    let change = (was.p50 > 0.0).then(|| is.p50 / was.p50 - 1.0)?;
    Some(Change {
        row: String::new(),
        metric,
        before: was.p50,
        after: is.p50,
        change,
        p: mann_whitney(&a, &b),
        q: 1.0,
        n: [a.len(), b.len()],
        is_certain: false,
        is_regression: false,
    })
}

impl Comparison {
    /// Figures that became worse by more than is allowed.
    #[must_use]
    pub fn n_regressions(&self) -> usize {
        let worse = self.changes.iter().filter(|change| change.is_regression);
        worse.count()
    }

    /// Says so where there are too few runs: a figure that alone became worse could not be found then,
    /// however much worse it is.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let n_changes = self.changes.len();
        let is_blind = |n: usize, other: usize| least_p(n, other) * n_changes as f64 >= ALPHA;
        let fewest = self.changes.iter().map(|change| change.n);
        let fewest = fewest.min_by_key(|n| n[0].min(n[1]))?;
        let enough = (1..).find(|&n| !is_blind(n, n))?;
        is_blind(fewest[0], fewest[1]).then(|| {
            format!(
                "of {n_changes} figures one that changed alone cannot be told from chance by {} and {} runs; {enough} and {enough} would do",
                fewest[0], fewest[1]
            )
        })
    }

    /// What is compared, for people.
    #[must_use]
    pub fn table(&self) -> Table {
        let columns = [
            ("row", false),
            ("figure", false),
            ("before", true),
            ("after", true),
            ("change", true),
            ("p", true),
            ("q", true),
            ("", false),
        ];
        Table {
            columns: columns
                .map(|(name, is_number)| (name.to_owned(), is_number))
                .into(),
            rows: self.changes.iter().map(cells).collect(),
        }
    }
}

fn cells(change: &Change) -> Vec<String> {
    let verdict = match (change.is_certain, change.is_regression, change.change > 0.0) {
        (false, ..) => "as before",
        (_, true, _) => "WORSE",
        (_, _, true) => "a little worse",
        (_, _, false) => "better",
    };
    vec![
        change.row.clone(),
        change.metric.to_owned(),
        format!("{:.3}", change.before),
        format!("{:.3}", change.after),
        format!("{:+.1} %", 100.0 * change.change),
        format!("{:.3}", change.p),
        format!("{:.3}", change.q),
        verdict.to_owned(),
    ]
}

/// The rows of a report that was written.
fn read(path: &Path) -> Result<Vec<Value>, BenchError> {
    let text = std::fs::read_to_string(path).map_err(|error| BenchError::File {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let report: Result<Value, _> = serde_json::from_str(&text);
    let mut report = report.map_err(|error| no_report(path, error.to_string()))?;
    match report.get_mut("rows").map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        _ => Err(no_report(path, "it has no rows".to_owned())),
    }
}

fn no_report(path: &Path, problem: String) -> BenchError {
    BenchError::NoReport {
        path: path.to_owned(),
        problem,
    }
}

fn varies(rows: &[Value], key: &str) -> bool {
    rows.windows(2).any(|pair| pair[0][key] != pair[1][key])
}

/// The requests of all rows, by what the rows are.
fn rows(
    path: &Path,
    rows: &[Value],
    varying: &[&str],
) -> Result<Vec<(String, Vec<Sample>)>, BenchError> {
    let row = |row: &Value| {
        let keys = KEYS.iter().chain(varying);
        let keys = keys.filter(|key| row.get(**key).is_some_and(|value| !value.is_null()));
        let key: Vec<String> = keys
            .map(|key| match &row[*key] {
                Value::String(text) => text.clone(),
                value => format!("{} {value}", key.replace('_', " ")),
            })
            .collect();
        let runs = row.get("runs").cloned().unwrap_or_default();
        let runs = serde_json::from_value(runs)
            .map_err(|error| no_report(path, format!("a row's runs cannot be read: {error}")));
        Ok((key.join(", "), runs?))
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(dir: &Path, name: &str, times: &[f64]) -> std::path::PathBuf {
        written(dir, name, &[row("m", 2, times)])
    }

    fn written(dir: &Path, name: &str, rows: &[Value]) -> std::path::PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, json!({"rows": rows}).to_string()).expect("written");
        path
    }

    fn row(model: &str, threads: usize, times: &[f64]) -> Value {
        let run = |(run, ttft): (usize, &f64)| {
            json!({"run": run, "slot": 0, "prompt_tokens": 8, "cached_tokens": 0,
                "completion_tokens": 2, "reasoning_tokens": 0, "ttft_ms": ttft, "ttfo_ms": null,
                "tpot_ms": 2.0, "itl_ms": [2.0], "prefill_tps": 1.0, "decode_tps": 500.0,
                "latency_ms": 50.0})
        };
        let mut runs: Vec<Value> = times.iter().enumerate().map(run).collect();
        runs.push(json!({"run": 99, "slot": 0, "error": "gone"}));
        json!({"target": "local", "model": model, "threads": threads, "prompt_tokens": 8,
            "gen_tokens": 2, "depth": 0, "concurrency": 1, "effort": null, "start": "warm",
            "runs": runs})
    }

    #[test]
    fn only_what_is_beyond_noise_and_the_threshold_is_a_regression() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = [10.0, 10.1, 10.2, 9.9, 9.8, 10.05];
        let before = report(dir.path(), "a.json", &base);
        let of = |name: &str, times: &[f64], threshold| {
            let after = report(dir.path(), name, times);
            let found = compare(&before, &after, threshold).expect("reports");
            assert_eq!(found.note(), None, "six runs are enough");
            let ttft = found
                .changes
                .iter()
                .find(|change| change.metric == "ttft_ms");
            let ttft = ttft.expect("TTFT").clone();
            (ttft.is_certain, ttft.is_regression)
        };
        assert_eq!(of("same.json", &base, 0.05), (false, false));
        let slower = base.map(|time| time * 1.1);
        assert_eq!(of("slow.json", &slower, 0.05), (true, true));
        assert_eq!(of("slow.json", &slower, 0.2), (true, false));
        let faster = base.map(|time| time * 0.8);
        assert_eq!(of("fast.json", &faster, 0.05), (true, false));
        // One outlier is no change.
        let outlier = [10.0, 10.1, 10.15, 9.95, 9.85, 30.0];
        assert_eq!(of("outlier.json", &outlier, 0.05), (false, false));
    }

    #[test]
    fn of_many_figures_one_needs_more_runs() {
        let dir = tempfile::tempdir().expect("a folder");
        let times = |n: usize, factor: f64| -> Vec<f64> {
            (0..n).map(|i| factor * (10.0 + 0.01 * i as f64)).collect()
        };
        // One model of eight became slower.
        let of = |name: &str, n: usize, factor: f64| {
            let rows = (0..8).map(|i| {
                let factor = if i == 3 { factor } else { 1.0 };
                row(&format!("model {i}"), 2, &times(n, factor))
            });
            written(dir.path(), name, &rows.collect::<Vec<_>>())
        };
        let found = |n: usize| {
            let (before, after) = (of("a.json", n, 1.0), of("b.json", n, 2.0));
            compare(&before, &after, 0.05).expect("reports")
        };
        let few = found(4);
        assert_eq!(few.n_regressions(), 0);
        let note = few.note().expect("too few");
        assert!(note.contains("by 4 and 4 runs"), "{note}");
        let many = found(8);
        assert_eq!((many.n_regressions(), many.note()), (1, None));
        let worse = many.changes.iter().find(|change| change.is_regression);
        assert!(worse.expect("one").row.contains("model 3"));
        assert!(worse.is_some_and(|change| change.q > change.p));
    }

    #[test]
    fn models_and_threads_tell_rows_apart_only_where_they_vary() {
        let dir = tempfile::tempdir().expect("a folder");
        let times = [10.0, 10.1, 10.2, 9.9, 9.8, 10.05];
        let before = written(dir.path(), "a.json", &[row("a", 1, &times)]);
        let after = written(dir.path(), "b.json", &[row("b", 2, &times)]);
        assert!(compare(&before, &after, 0.05).is_ok(), "two models compare");
        let both = written(
            dir.path(),
            "c.json",
            &[row("a", 1, &times), row("a", 2, &times.map(|t| 2.0 * t))],
        );
        let same = compare(&both, &both, 0.0).expect("reports");
        assert_eq!(same.changes.len(), 2 * 3);
        assert!(same.changes.iter().all(|change| change.change == 0.0));
        assert!(same.changes[0].row.ends_with("threads 1"));
    }

    #[test]
    fn what_is_no_report_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.json");
        for text in ["", "{}", "[]", "3", "{\"rows\": []}", "{\"rows\": [1]}"] {
            std::fs::write(&path, text).expect("written");
            let error = compare(&path, &path, 0.05).expect_err(text).to_string();
            assert!(error.contains("x.json` is no report"), "{error}");
        }
        let error = compare(Path::new("no/such.json"), &path, 0.05);
        assert!(
            error
                .expect_err("no file")
                .to_string()
                .contains("no/such.json")
        );
    }
}
