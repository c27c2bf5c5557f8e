//! Whole measurements of something that says when it said what, and of the model in the program.

use std::sync::Mutex;
use std::time::Duration;

use ponder_engine::{Engine, FirstToken, LoadOptions, SamplingOverrides, Timings};

use crate::local::Local;
use crate::measure::{Measured, Plan, measure};
use crate::prompt::Prompt;
use crate::sample::{Figures, Outcome};
use crate::stats::Spread;
use crate::target::{Answered, Arrival, Ask, Target};
use crate::{BenchError, Case, Grid, Job, Report, Row, Session, Start, compare, plot};

/// The time before the first piece, one after the other, and between pieces; so many are thinking.
#[derive(Default)]
struct Fake {
    first_ms: Mutex<Vec<u32>>,
    gap_ms: u32,
    thoughts: usize,
    pieces: usize,
    tokens_per_piece: usize,
    cached: usize,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    /// Whether it waits as long as it says.
    takes_time: bool,
    asked: Mutex<Vec<Ask>>,
}

impl Target for Fake {
    fn prompt(&self, case: &Case, slot: usize, number: u64) -> Result<Prompt, BenchError> {
        let prefix = match case.depth {
            0 => String::new(),
            depth => format!("prefix of {depth} in {slot}"),
        };
        let text = format!("{prefix} prompt {number}");
        Ok(Prompt { prefix, text })
    }

    fn ask(&self, ask: &Ask) -> Result<Answered, String> {
        let n = {
            let mut asked = self.asked.lock().expect("a lock");
            asked.push(ask.clone());
            asked.len()
        };
        let first_ms = {
            let mut first_ms = self.first_ms.lock().expect("a lock");
            if first_ms.len() > 1 {
                first_ms.remove(0)
            } else {
                first_ms[0]
            }
        };
        assert!(self.panics_at != Some(n), "a mistake in whoever asks");
        if self.fails_at == Some(n) {
            return Err("the connection was reset".to_owned());
        }
        let mut answered = Answered {
            prompt_tokens: 100,
            cached_tokens: self.cached,
            completion_tokens: self.pieces * self.tokens_per_piece,
            ..Answered::default()
        };
        let mut at_ms = 0;
        for piece in 0..self.pieces {
            at_ms += if piece == 0 { first_ms } else { self.gap_ms };
            answered.arrivals.push(Arrival {
                at_s: f64::from(at_ms) / 1000.0,
                is_output: piece >= self.thoughts,
            });
        }
        answered.latency_s = f64::from(at_ms) / 1000.0;
        if self.takes_time {
            std::thread::sleep(Duration::from_millis(at_ms.into()));
        }
        Ok(answered)
    }
}

fn case() -> Case {
    Case {
        prompt_tokens: 100,
        depth: 0,
        concurrency: 1,
        effort: None,
    }
}

fn plan(runs: usize) -> Plan {
    Plan {
        gen_tokens: 8,
        runs,
        warmup: 1,
        prefix_cache: false,
        rate: None,
        seed: 1,
    }
}

fn run(fake: &Fake, case: &Case, plan: &Plan) -> Measured {
    measure(fake, case, plan, 0.0, &mut |_| {}).expect("measured")
}

fn figures(measured: &Measured) -> Vec<&Figures> {
    measured
        .samples
        .iter()
        .filter_map(|sample| sample.figures())
        .collect()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6 * expected,
        "{found}, not {expected}"
    );
}

#[test]
fn figures_are_what_was_scripted() {
    let fake = Fake {
        first_ms: Mutex::new(vec![50]),
        gap_ms: 10,
        thoughts: 3,
        pieces: 8,
        tokens_per_piece: 1,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(3));
    let all = figures(&measured);
    assert_eq!(all.len(), 3, "what warms up does not count");
    let median = |of: fn(&Figures) -> f64| {
        let values: Vec<f64> = all.iter().map(|figures| of(figures)).collect();
        Spread::of(&values).expect("values").p50
    };
    near(median(|f| f.ttft_ms), 50.0);
    near(median(|f| f.ttfo_ms.expect("an answer")), 80.0);
    near(median(|f| f.tpot_ms.expect("gaps")), 10.0);
    near(median(|f| f.latency_ms), 120.0);
    near(median(|f| f.prefill_tps), 100.0 / 0.05);
    for figures in all {
        assert_eq!(figures.itl_ms.len(), 7);
        let span: f64 = figures.itl_ms.iter().sum();
        let tpot = figures.tpot_ms.expect("gaps");
        assert!(
            (span / 7.0 - tpot).abs() < 1e-9,
            "the first token is no gap"
        );
        let decode = figures.decode_tps.expect("gaps");
        assert!((decode * tpot - 1000.0).abs() < 1e-6);
    }
}

#[test]
fn percentiles_are_exact() {
    let times: Vec<u32> = [0]
        .into_iter()
        .chain((1..=20).rev().map(|i| 5 * i))
        .collect();
    let fake = Fake {
        first_ms: Mutex::new(times),
        pieces: 1,
        tokens_per_piece: 1,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(20));
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    let spread = Spread::of(&ttft).expect("values");
    near(spread.min, 5.0);
    near(spread.p50, 50.0);
    near(spread.p90, 90.0);
    near(spread.p99, 100.0);
    near(spread.max, 100.0);
    for value in [spread.min, spread.p50, spread.p90, spread.p99, spread.max] {
        assert!(ttft.contains(&value), "a value that occurred");
    }
    assert!(
        figures(&measured).iter().all(|f| f.tpot_ms.is_none()),
        "one token has no gap"
    );
}

#[test]
fn several_tokens_in_a_piece_are_several_tokens() {
    let fake = Fake {
        first_ms: Mutex::new(vec![20]),
        gap_ms: 20,
        pieces: 8,
        tokens_per_piece: 4,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(1));
    near(figures(&measured)[0].tpot_ms.expect("gaps"), 5.0);
}

#[test]
fn what_fails_is_reported_and_never_averaged_in() {
    let fake = Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 1,
        tokens_per_piece: 1,
        fails_at: Some(3),
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(3));
    assert_eq!(figures(&measured).len(), 2);
    match &measured.samples[1].outcome {
        Outcome::Failed { error } => assert_eq!(error, "the connection was reset"),
        Outcome::Answered(figures) => panic!("{figures:?}"),
    }
}

#[test]
fn a_panic_is_one_failed_request() {
    let fake = Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 1,
        tokens_per_piece: 1,
        panics_at: Some(4),
        ..Fake::default()
    };
    let two = Case {
        concurrency: 2,
        ..case()
    };
    let measured = run(&fake, &two, &plan(3));
    assert_eq!((measured.samples.len(), figures(&measured).len()), (6, 5));
}

#[test]
fn prompts_are_unique_and_what_the_cache_holds_is_checked() {
    let fake = |cached| Fake {
        first_ms: Mutex::new(vec![0]),
        pieces: 1,
        tokens_per_piece: 1,
        cached,
        ..Fake::default()
    };
    let two = Case {
        concurrency: 2,
        ..case()
    };
    let cold = fake(0);
    for case in [case(), two] {
        assert_eq!(
            figures(&run(&cold, &case, &plan(2))).len(),
            2 * case.concurrency
        );
    }
    let asked = cold.asked.lock().expect("a lock");
    let texts: std::collections::HashSet<_> = asked.iter().map(|ask| &ask.text).collect();
    assert_eq!((texts.len(), asked.len()), (9, 9), "no prompt comes twice");
    assert!(asked.iter().all(|ask| !ask.uses_prefix_cache));
    // Something was in the cache that should not be.
    assert!(figures(&run(&fake(64), &case(), &plan(2))).is_empty());
    let deep = Case {
        depth: 64,
        ..case()
    };
    let warm = fake(64);
    assert_eq!(figures(&run(&warm, &deep, &plan(2))).len(), 2);
    let asked = warm.asked.lock().expect("a lock");
    assert_eq!(
        (asked[0].text.as_str(), asked[0].max_tokens),
        ("prefix of 64 in 0", 1)
    );
    assert!(asked.iter().all(|ask| ask.uses_prefix_cache));
    assert!(figures(&run(&fake(0), &deep, &plan(2))).is_empty());
    let same = fake(99);
    let repeated = Plan {
        prefix_cache: true,
        ..plan(2)
    };
    assert_eq!(figures(&run(&same, &case(), &repeated)).len(), 2);
    let asked = same.asked.lock().expect("a lock");
    assert!(asked.iter().all(|ask| ask.text == asked[0].text));
}

#[test]
fn requests_side_by_side_begin_together() {
    let fake = Fake {
        first_ms: Mutex::new(vec![40]),
        pieces: 1,
        tokens_per_piece: 2,
        takes_time: true,
        ..Fake::default()
    };
    let four = Case {
        concurrency: 4,
        ..case()
    };
    let measured = run(&fake, &four, &plan(2));
    assert_eq!(figures(&measured).len(), 8);
    // Eight answers of two tokens in twice 40 ms.
    let expected = 16.0 / 0.08;
    let found = measured.total_tps.expect("tokens");
    assert!(
        found > 0.85 * expected && found <= expected,
        "{found} of {expected}"
    );
}

#[test]
fn waiting_for_a_turn_counts_when_requests_arrive_by_chance() {
    let fake = Fake {
        first_ms: Mutex::new(vec![20]),
        pieces: 1,
        tokens_per_piece: 1,
        takes_time: true,
        ..Fake::default()
    };
    let often = Plan {
        rate: Some(1000.0),
        ..plan(5)
    };
    let measured = run(&fake, &case(), &often);
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    // All are due at once, and one is answered at a time.
    for (i, found) in ttft.iter().enumerate() {
        let least = 20.0 * (i + 1) as f64 - 12.0;
        assert!(*found > least, "{ttft:?}");
    }
    let seldom = Plan {
        rate: Some(20.0),
        ..plan(3)
    };
    let many = Case {
        concurrency: 8,
        ..case()
    };
    let measured = run(&fake, &many, &seldom);
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    assert_eq!(ttft.len(), 3, "as many as the runs, however many ask");
    let fastest = Spread::of(&ttft).expect("values").min;
    assert!((20.0..21.0).contains(&fastest), "{ttft:?}");
}

#[test]
fn the_parts_of_an_engine_add_up() {
    let answered = Answered {
        arrivals: vec![Arrival {
            at_s: 0.1,
            is_output: true,
        }],
        latency_s: 0.5,
        prompt_tokens: 100,
        cached_tokens: 60,
        completion_tokens: 5,
        engine: Some(Timings {
            decode_tps: 50.0,
            first_token: FirstToken {
                tokenize_s: 0.01,
                queue_s: 0.005,
                prefill_s: 0.08,
                sample_s: 0.002,
                detokenize_s: 0.001,
            },
            ..Timings::default()
        }),
        ..Answered::default()
    };
    let figures = Figures::of(&answered, 0.03, 0.0).expect("figures");
    let parts = figures.ttft_parts.expect("parts");
    assert!((figures.ttft_ms - 130.0).abs() < 1e-9);
    assert!(
        (parts.queue_ms - 35.0).abs() < 1e-9,
        "being late is waiting"
    );
    assert!((parts.emit_ms - 2.0).abs() < 1e-9, "what is left");
    assert!(
        (figures.prefill_tps - 500.0).abs() < 1e-9,
        "40 tokens in 80 ms"
    );
    assert_eq!(figures.tpot_ms, Some(20.0));
    assert!(
        Figures::of(&Answered::default(), 0.0, 0.0).is_err(),
        "no text at all"
    );
}

fn session(grid: Grid, gen_tokens: usize) -> Session {
    Session::new(Job {
        grid,
        plan: Plan {
            gen_tokens,
            ..plan(3)
        },
        starts: vec![Start::Warm],
        sampling: SamplingOverrides::default(),
        roofline: false,
    })
}

fn default_engine() -> (Engine, LoadOptions) {
    let options = LoadOptions {
        prompt_lookup: false,
        ..LoadOptions::default()
    };
    let engine = Engine::load("default", &options, &mut |_| {});
    (engine.expect("the model in the program"), options)
}

#[test]
fn an_engine_is_measured_as_it_measures_itself() {
    let (engine, _) = default_engine();
    let local = Local::new(&engine, &SamplingOverrides::default(), false, 3);
    let (mut off_first, mut off_tpot) = (f64::INFINITY, f64::INFINITY);
    for number in 0..5 {
        let Prompt { text, .. } = local.prompt(&case(), 0, number).expect("a prompt");
        let ask = Ask {
            text,
            max_tokens: 24,
            effort: None,
            uses_prefix_cache: false,
        };
        let answered = local.ask(&ask).expect("an answer");
        assert_eq!((answered.prompt_tokens, answered.cached_tokens), (100, 0));
        assert_eq!(answered.completion_tokens, 24);
        let figures = Figures::of(&answered, 0.0, 0.0).expect("figures");
        let own = answered.engine.expect("its own account");
        let parts = figures.ttft_parts.expect("parts");
        // The first token may have no text; what passes until one has is not the engine's.
        let first_ms = figures.ttft_ms - parts.emit_ms - parts.detokenize_ms;
        off_first = off_first.min((first_ms - 1000.0 * own.ttft_s).abs());
        assert!(parts.emit_ms >= 0.0, "{parts:?}");
        let n_gaps = figures.itl_ms.len() as f64;
        let mean_gap = figures.itl_ms.iter().sum::<f64>() / n_gaps;
        off_tpot = off_tpot.min((mean_gap / figures.tpot_ms.expect("gaps") - 1.0).abs());
    }
    assert!(off_first < 0.01, "{off_first} ms");
    assert!(off_tpot < 0.2, "{off_tpot}");
}

#[test]
fn reports_have_the_names_that_scripts_rely_on() {
    let (engine, options) = default_engine();
    let mut session = session(
        Grid {
            prompt_tokens: vec![60, 80],
            depths: vec![0, 64],
            concurrencies: vec![1, 2],
            efforts: vec![None],
        },
        4,
    );
    let mut steps = Vec::new();
    session
        .local(&engine, &options, &mut |step| {
            steps.push((step.done, step.total))
        })
        .expect("measured");
    assert_eq!(steps.last(), Some(&(8 * 4, 8 * 4)));
    let report = session.report();
    assert_eq!(
        report.rows.iter().map(Row::n_failed).sum::<usize>(),
        0,
        "{:?}",
        report.remarks()
    );
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(value["rows"].as_array().map(Vec::len), Some(8));
    let row = &value["rows"][2];
    for (name, expected) in [
        ("prompt_tokens", 60),
        ("gen_tokens", 4),
        ("depth", 64),
        ("concurrency", 1),
    ] {
        assert_eq!(row[name], expected, "{name}");
    }
    for name in [
        "threads",
        "load_ms",
        "ttft_ms_p50",
        "ttfo_ms_p50",
        "tpot_ms_p50",
        "prefill_tps_p50",
        "decode_tps_p50",
        "ttft_ms_p99",
        "itl_ms_p90",
        "total_tps",
    ] {
        assert!(
            row[name].is_number() || name == "ttfo_ms_p50",
            "{name}: {}",
            row[name]
        );
        assert!(row.get(name).is_some(), "{name}");
    }
    assert_eq!(row["device"], "cpu");
    assert_eq!(row["runs"].as_array().map(Vec::len), Some(3));
    assert!(
        row["runs"][0]["cached_tokens"]
            .as_u64()
            .is_some_and(|n| n.abs_diff(64) <= 8)
    );
    assert_eq!(value["model"]["name"], "default");
    assert!(value["machine"]["cpu"].is_string());
    // A report can be read again, and is not worse than itself.
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.json");
    std::fs::write(&path, value.to_string()).expect("written");
    let changes = compare(&path, &path, 0.0).expect("a report");
    assert!(changes.len() >= 8 * 3 && changes.iter().all(|change| !change.is_certain));
    forms_agree(&report);
    let svg = plot(&report).expect("a picture");
    // A band for each of four series in both panels.
    assert_eq!(svg.matches("<polygon").count(), 8);
}

/// Every form has all rows and, in the first of its columns, the same things.
fn forms_agree(report: &Report) {
    let n = report.rows.len();
    let csv = report.csv();
    let mut lines = csv.lines();
    let names: Vec<_> = lines.next().expect("headings").split(',').collect();
    assert_eq!(lines.clone().count(), n);
    for name in [
        "cpu_info",
        "model_type",
        "n_prompt",
        "n_gen",
        "n_depth",
        "n_threads",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let sql = report.sql();
    assert_eq!(sql.matches("INSERT INTO ponder_bench").count(), n);
    assert!(sql.starts_with("CREATE TABLE IF NOT EXISTS ponder_bench (\n"));
    let jsonl = report.jsonl();
    assert_eq!(jsonl.lines().count(), n);
    for line in jsonl.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(record["machine"]["cpu_flags"].is_array() && record["runs"].is_array());
    }
    let markdown = report.markdown();
    assert!(
        markdown.contains("| prompt | depth | at a time |"),
        "{markdown}"
    );
    assert!(markdown.contains("TPOT: time per token after the first"));
}

#[test]
fn a_prompt_shorter_than_its_template_is_refused() {
    let (engine, options) = default_engine();
    let mut session = session(
        Grid {
            prompt_tokens: vec![2],
            depths: vec![0],
            concurrencies: vec![1],
            efforts: vec![None],
        },
        4,
    );
    let error = session
        .local(&engine, &options, &mut |_| {})
        .expect_err("too short");
    assert!(
        error
            .to_string()
            .contains("a prompt of 2 tokens cannot be made"),
        "{error}"
    );
}
