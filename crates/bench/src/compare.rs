//! What changed between two reports, beyond noise.

use std::path::Path;

use ponder_figures::Table;
use serde::Serialize;
use serde_json::Value;

use crate::BenchError;
use crate::sample::{Figures, Sample};
use crate::stats::{Spread, mann_whitney};

/// The probability below which a difference is taken to be none of chance.
const ALPHA: f64 = 0.05;

/// Fields that say which row is which.
const KEYS: [&str; 7] = [
    "target",
    "prompt_tokens",
    "gen_tokens",
    "depth",
    "concurrency",
    "effort",
    "start",
];

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
    /// Whether that is beyond noise.
    pub is_certain: bool,
    /// Whether it is worse, beyond noise, by more than is allowed.
    pub is_regression: bool,
}

/// Compares two reports that `--json` has written, row by row; rows that only one of them has are left
/// out.
///
/// # Errors
/// When a file is no report, or the two have no row in common.
pub fn compare(before: &Path, after: &Path, threshold: f64) -> Result<Vec<Change>, BenchError> {
    let [old, new] = [rows(before)?, rows(after)?];
    let mut changes = Vec::new();
    for (row, new) in &new {
        let Some((_, old)) = old.iter().find(|(other, _)| other == row) else {
            continue;
        };
        for (metric, of) in METRICS {
            let values = |samples: &[Sample]| -> Vec<f64> {
                let answered = samples.iter().filter_map(Sample::figures);
                answered.filter_map(of).collect()
            };
            let (a, b) = (values(old), values(new));
            let (Some(was), Some(is)) = (Spread::of(&a), Spread::of(&b)) else {
                continue;
            };
            let (change, p) = (is.p50 / was.p50 - 1.0, mann_whitney(&a, &b));
            changes.push(Change {
                row: row.clone(),
                metric,
                before: was.p50,
                after: is.p50,
                change,
                p,
                is_certain: p < ALPHA,
                is_regression: p < ALPHA && change > threshold,
            });
        }
    }
    match changes.is_empty() {
        false => Ok(changes),
        true => Err(BenchError::NoReport {
            path: after.to_owned(),
            problem: format!("it has no row in common with `{}`", before.display()),
        }),
    }
}

/// What is compared, for people.
pub fn changes_table(changes: &[Change]) -> Table {
    let line = |change: &Change| {
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
            verdict.to_owned(),
        ]
    };
    let columns = [
        ("row", false),
        ("figure", false),
        ("before", true),
        ("after", true),
        ("change", true),
        ("p", true),
        ("", false),
    ];
    Table {
        columns: columns
            .map(|(name, is_number)| (name.to_owned(), is_number))
            .into(),
        rows: changes.iter().map(line).collect(),
    }
}

/// The rows of a report, by what they are.
fn rows(path: &Path) -> Result<Vec<(String, Vec<Sample>)>, BenchError> {
    let fault = |problem: String| BenchError::NoReport {
        path: path.to_owned(),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| BenchError::File {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let report: Value = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let rows = report["rows"].as_array();
    let rows = rows.ok_or_else(|| fault("it has no rows".to_owned()))?;
    let row = |row: &Value| {
        let keys = KEYS.iter().filter(|key| !row[**key].is_null());
        let key: Vec<String> = keys
            .map(|key| match &row[*key] {
                Value::String(text) => text.clone(),
                value => format!("{key} {value}"),
            })
            .collect();
        let runs = serde_json::from_value(row["runs"].clone());
        Ok((
            key.join(", ").replace('_', " "),
            runs.map_err(|error| fault(format!("a row's runs cannot be read: {error}")))?,
        ))
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(dir: &Path, name: &str, times: &[f64]) -> std::path::PathBuf {
        let run = |(run, ttft): (usize, &f64)| {
            json!({"run": run, "slot": 0, "prompt_tokens": 8, "cached_tokens": 0,
                "completion_tokens": 2, "reasoning_tokens": 0, "ttft_ms": ttft, "ttfo_ms": null,
                "tpot_ms": 2.0, "itl_ms": [2.0], "prefill_tps": 1.0, "decode_tps": 500.0,
                "latency_ms": 50.0})
        };
        let mut runs: Vec<Value> = times.iter().enumerate().map(run).collect();
        runs.push(json!({"run": 99, "slot": 0, "error": "gone"}));
        let report = json!({"rows": [{"target": "local", "prompt_tokens": 8, "gen_tokens": 2,
            "depth": 0, "concurrency": 1, "effort": null, "start": "warm", "runs": runs}]});
        let path = dir.join(name);
        std::fs::write(&path, report.to_string()).expect("written");
        path
    }

    #[test]
    fn only_what_is_beyond_noise_and_the_threshold_is_a_regression() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = [10.0, 10.1, 10.2, 9.9, 9.8, 10.05];
        let before = report(dir.path(), "a.json", &base);
        let of = |name: &str, times: &[f64], threshold| {
            let after = report(dir.path(), name, times);
            let changes = compare(&before, &after, threshold).expect("reports");
            let ttft = changes.iter().find(|change| change.metric == "ttft_ms");
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
    fn what_is_no_report_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.json");
        std::fs::write(&path, "{}").expect("written");
        let error = compare(&path, &path, 0.05)
            .expect_err("no rows")
            .to_string();
        assert!(error.contains("x.json` is no report"), "{error}");
        let error = compare(Path::new("no/such.json"), &path, 0.05);
        assert!(
            error
                .expect_err("no file")
                .to_string()
                .contains("no/such.json")
        );
    }
}
