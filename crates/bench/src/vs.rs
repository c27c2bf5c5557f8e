//! Runs that alternate with a peer's own benchmark: A B A B, and the ratio of each pair.
//!
//! The peer is llama-bench, or a program that prints what `llama-bench -o json` does: a list of tests
//! with `n_prompt`, `n_gen`, `n_depth` and `avg_ts`. A test of a prompt is a speed of prefill, one of
//! generated tokens a speed of decode. `{prompt}`, `{gen}` and `{depth}` in the command stand for the
//! case's numbers, `{threads}` for the threads that the model runs on here.

use std::process::Command;

use ponder_figures::Table;
use serde::Serialize;
use serde_json::Value;

use crate::stats::Spread;
use crate::{BenchError, Case};

/// One pair of runs.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The case.
    pub case: Case,
    /// The number of the pair.
    pub run: usize,
    /// Tokens per second here: prefill, decode.
    pub ours: [Option<f64>; 2],
    /// The peer's.
    pub theirs: [Option<f64>; 2],
}

impl Pair {
    /// Ours by theirs.
    pub fn ratios(&self) -> [Option<f64>; 2] {
        [0, 1].map(|i| Some(self.ours[i]? / self.theirs[i]?))
    }
}

/// Lets the peer run once. Gives its tokens per second, of prefill and of decode.
pub(crate) fn run_peer(
    command: &str,
    case: &Case,
    gen_tokens: usize,
    threads: usize,
) -> Result<[Option<f64>; 2], BenchError> {
    let fault = |problem: String| BenchError::Peer {
        command: command.to_owned(),
        problem,
        hint: "it should print what `llama-bench -o json` does",
    };
    let numbers = [
        ("{prompt}", case.prompt_tokens),
        ("{gen}", gen_tokens),
        ("{depth}", case.depth),
        ("{threads}", threads),
    ];
    let words = command.split_whitespace().map(|word| {
        let fill = |word: String, (name, n): &(&str, usize)| word.replace(name, &n.to_string());
        numbers.iter().fold(word.to_owned(), fill)
    });
    let words: Vec<String> = words.collect();
    let Some((program, args)) = words.split_first() else {
        return Err(fault("the command is empty".to_owned()));
    };
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| fault(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default();
        return Err(fault(format!("{}, {said}", output.status)));
    }
    speeds(&output.stdout, case.depth).map_err(fault)
}

/// The speeds in llama-bench's JSON, of tests at this depth.
fn speeds(output: &[u8], depth: usize) -> Result<[Option<f64>; 2], String> {
    let tests: Vec<Value> = serde_json::from_slice(output).map_err(|error| error.to_string())?;
    let mut speeds = [None; 2];
    for test in &tests {
        let n = |name: &str| test[name].as_u64().unwrap_or(0);
        if n("n_depth") != depth as u64 {
            continue;
        }
        match (n("n_prompt"), n("n_gen")) {
            (1.., 0) => speeds[0] = test["avg_ts"].as_f64(),
            (0, 1..) => speeds[1] = test["avg_ts"].as_f64(),
            _ => {}
        }
    }
    match speeds {
        [None, None] => Err(format!(
            "it has no test of prefill or decode at depth {depth}"
        )),
        speeds => Ok(speeds),
    }
}

/// The pairs, for people, and below those of each case the median of their ratios.
pub(crate) fn table(pairs: &[Pair]) -> Option<Table> {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let line = |pair: &Pair| {
        let mut cells = vec![pair.case.to_string(), (pair.run + 1).to_string()];
        for i in [0, 1] {
            cells.push(number(pair.ours[i], 1));
            cells.push(number(pair.theirs[i], 1));
            cells.push(number(pair.ratios()[i], 3));
        }
        cells
    };
    let median = |pairs: &[Pair]| {
        let ratio = |i: usize| {
            let ratios: Vec<f64> = pairs.iter().filter_map(|pair| pair.ratios()[i]).collect();
            number(Spread::of(&ratios).map(|spread| spread.p50), 3)
        };
        let mut cells = vec![pairs[0].case.to_string(), "median".to_owned()];
        for i in [0, 1] {
            cells.extend([String::new(), String::new(), ratio(i)]);
        }
        cells
    };
    let of_case = |pairs: &[Pair]| -> Vec<Vec<String>> {
        pairs.iter().map(line).chain([median(pairs)]).collect()
    };
    let columns = [
        ("case", false),
        ("pair", true),
        ("prefill t/s", true),
        ("peer", true),
        ("ratio", true),
        ("decode t/s", true),
        ("peer", true),
        ("ratio", true),
    ];
    (!pairs.is_empty()).then(|| Table {
        columns: columns
            .map(|(name, is_number)| (name.to_owned(), is_number))
            .into(),
        rows: pairs
            .chunk_by(|a, b| a.case == b.case)
            .flat_map(of_case)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_bench_is_understood() {
        let text = r#"[{"n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ts": 170.5},
            {"n_prompt": 0, "n_gen": 64, "n_depth": 0, "avg_ts": 40.25},
            {"n_prompt": 0, "n_gen": 64, "n_depth": 512, "avg_ts": 30.0}]"#;
        assert_eq!(speeds(text.as_bytes(), 0), Ok([Some(170.5), Some(40.25)]));
        assert_eq!(speeds(text.as_bytes(), 512), Ok([None, Some(30.0)]));
        assert!(speeds(text.as_bytes(), 7).is_err());
        assert!(speeds(b"{}", 0).is_err());
    }

    #[test]
    fn ratios_are_those_of_pairs_and_their_median() {
        let case = Case {
            prompt_tokens: 8,
            depth: 0,
            concurrency: 1,
            effort: None,
        };
        let pair = |(run, theirs): (usize, f64)| Pair {
            case,
            run,
            ours: [Some(100.0), Some(30.0)],
            theirs: [Some(theirs), None],
        };
        let pairs: Vec<Pair> = [50.0, 200.0, 80.0]
            .into_iter()
            .enumerate()
            .map(pair)
            .collect();
        let table = table(&pairs).expect("pairs");
        let ratios: Vec<&str> = table.rows.iter().map(|row| row[4].as_str()).collect();
        assert_eq!(ratios, ["2.000", "0.500", "1.250", "1.250"]);
        assert_eq!(table.rows[0][7], "–");
        assert!(super::table(&[]).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn the_command_is_told_the_case() {
        let dir = tempfile::tempdir().expect("a folder");
        let script = dir.path().join("peer.sh");
        let text = "printf '[{\"n_prompt\":%s,\"n_gen\":0,\"n_depth\":%s,\"avg_ts\":%s}]' $1 $2 $3";
        std::fs::write(&script, text).expect("written");
        let case = Case {
            prompt_tokens: 100,
            depth: 7,
            concurrency: 1,
            effort: None,
        };
        let command = format!("sh {} {{prompt}} {{depth}} {{threads}}", script.display());
        assert_eq!(
            run_peer(&command, &case, 64, 3).expect("speeds"),
            [Some(3.0), None]
        );
        for wrong in ["", "no/such-program", "false"] {
            let error = run_peer(wrong, &case, 64, 1)
                .expect_err("no peer")
                .to_string();
            assert!(error.contains("hint: it should print"), "{error}");
        }
    }
}
