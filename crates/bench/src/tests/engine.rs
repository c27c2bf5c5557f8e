//! Whole measurements of the model in the program.

use ponder_engine::{Engine, LoadOptions, SamplingOverrides};

use super::{case, plan};
use crate::local::Local;
use crate::prompt::Prompt;
use crate::sample::Figures;
use crate::stats::Spread;
use crate::stop::Stop;
use crate::target::{Ask, Target};
use crate::{Grid, Job, Plan, Report, Row, Session, Start, compare, plot};

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
        peer: None,
    })
    .expect("a job")
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
    let stop = Stop::default();
    let local = Local::new(&engine, &SamplingOverrides::default(), false, 3, &stop);
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
        assert_eq!(
            (answered.prompt_tokens, answered.cached_tokens),
            (100, Some(0))
        );
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
    let changes = compare(&path, &path, 0.0).expect("a report").changes;
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

#[test]
fn a_prompt_longer_than_the_context_is_refused_at_once() {
    let (engine, options) = default_engine();
    for lengths in [[1 << 24, 0], [8, 1 << 24]] {
        let mut session = session(
            Grid {
                prompt_tokens: vec![lengths[0]],
                depths: vec![lengths[1]],
                concurrencies: vec![1],
                efforts: vec![None],
            },
            4,
        );
        let error = session.local(&engine, &options, &mut |_| {});
        let error = error.expect_err("too long").to_string();
        assert!(error.contains("do not fit into the context"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn runs_of_a_peer_alternate_with_those_here() {
    let (engine, options) = default_engine();
    let dir = tempfile::tempdir().expect("a folder");
    let script = dir.path().join("a peer.sh");
    let text = "echo x >> \"$2\"; printf '[{\"n_prompt\":%s,\"n_gen\":0,\"avg_ts\":10}]' $1";
    std::fs::write(&script, text).expect("written");
    let told = dir.path().join("told");
    let command = format!("sh '{}' {{prompt}} '{}'", script.display(), told.display());
    let grid = Grid {
        prompt_tokens: vec![60],
        depths: vec![0],
        concurrencies: vec![1, 2],
        efforts: vec![None],
    };
    let mut session = session(grid.clone(), 4);
    session.job.peer = Some(command.parse().expect("words"));
    session
        .local(&engine, &options, &mut |_| {})
        .expect("measured");
    let report = session.report();
    assert_eq!((report.rows.len(), report.pairs.len()), (2, 3));
    let lines = std::fs::read_to_string(&told).expect("it ran");
    assert_eq!(lines.lines().count(), 3, "warming up is not compared");
    for pair in &report.pairs {
        assert_eq!(pair.theirs, [Some(10.0), None]);
        let ratio = pair.ratios()[0].expect("both");
        assert!(ratio > 0.0 && (ratio * 10.0 - pair.ours[0].expect("ours")).abs() < 1e-9);
    }
    let markdown = report.markdown();
    assert!(
        markdown.contains("| model | threads | case | prefill t/s | peer's | ratio |"),
        "{markdown}"
    );
    // What a peer says wrongly does not undo what was measured before.
    let mut session = self::session(grid, 4);
    session.job.peer = Some("echo no".parse().expect("words"));
    let error = session.local(&engine, &options, &mut |_| {});
    assert!(
        error
            .expect_err("no JSON")
            .to_string()
            .contains("`echo no`")
    );
    assert_eq!(session.report().rows[0].runs.len(), 3);
}

#[test]
fn rows_of_several_models_and_threads_are_told_apart() {
    let grid = Grid {
        prompt_tokens: vec![60],
        depths: vec![0],
        concurrencies: vec![1],
        efforts: vec![None],
    };
    let mut session = session(grid, 4);
    for threads in [1, 2] {
        let options = LoadOptions {
            prompt_lookup: false,
            threads: Some(threads),
            ..LoadOptions::default()
        };
        let engine = Engine::load("default", &options, &mut |_| {}).expect("the model");
        let measured = session.local(&engine, &options, &mut |_| {});
        measured.expect("measured");
    }
    let report = session.report();
    assert_eq!((report.rows.len(), report.models.len()), (2, 1));
    let markdown = report.markdown();
    assert!(
        markdown.contains("| threads | prompt | start |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| 2 threads | 60 tokens | warm |"),
        "{markdown}"
    );
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(value["model"]["name"], "default");
    assert_eq!(value["rows"][1]["model"], "default");
    assert_eq!(value["rows"][1]["threads"], 2);
    let csv = report.csv();
    assert!(csv.starts_with("build_commit,") && csv.contains(",default,"));
    assert!(
        plot(&report)
            .expect("a picture")
            .contains("2 threads, warm")
    );
}

/// The same requests, timed by what measures and by two clocks alone, A B B A. Not part of every run:
/// its answer is only worth something where nobody else uses the machine.
///
/// `cargo test --release -p ponder-bench -- --ignored --nocapture measuring_costs`
#[test]
#[ignore = "needs a machine that nobody else uses"]
fn measuring_costs_less_than_a_percent() {
    const PAIRS: u64 = 5000;
    let (engine, _) = default_engine();
    let sampling = SamplingOverrides::default();
    let stop = Stop::default();
    let local = Local::new(&engine, &sampling, false, 3, &stop);
    let (mut ttft, mut tpot) = (Vec::new(), Vec::new());
    for number in 0..PAIRS {
        let Prompt { text, .. } = local.prompt(&case(), 0, number).expect("a prompt");
        let ask = Ask {
            text,
            max_tokens: 24,
            effort: None,
            uses_prefix_cache: false,
        };
        let measured = || {
            let answered = local.ask(&ask).expect("an answer");
            let figures = Figures::of(&answered, 0.0, 0.0).expect("figures");
            let last = answered.arrivals.last().expect("text").at_s;
            [figures.ttft_ms, 1000.0 * last - figures.ttft_ms]
        };
        let bare = || bare_times_ms(&engine, local.request_of(&ask));
        let [ours, theirs] = match number % 2 {
            0 => [measured(), bare()],
            _ => {
                let theirs = bare();
                [measured(), theirs]
            }
        };
        ttft.push(ours[0] / theirs[0]);
        tpot.push(ours[1] / theirs[1]);
    }
    let intervals = [("TTFT", ttft), ("TPOT", tpot)].map(|(name, ratios)| {
        let spread = Spread::of(&ratios).expect("pairs");
        let [low, high] = spread.p50_ci95;
        println!(
            "{name}: {:.4} [{low:.4}, {high:.4}] of bare clocks",
            spread.p50
        );
        [low, high]
    });
    for [low, high] in intervals {
        assert!(low > 0.99 && high < 1.01, "{intervals:?}");
    }
}

/// Milliseconds to the first text of a request, and from there to its last.
fn bare_times_ms(engine: &Engine, request: ponder_engine::Request) -> [f64; 2] {
    use std::time::Instant;

    use ponder_engine::Event;

    let (asked, mut first, mut last) = (Instant::now(), None, None);
    for event in engine.generate(request).expect("an answer") {
        if let Event::Reasoning(_) | Event::Content(_) = event.expect("an event") {
            last = Some(Instant::now());
            first = first.or(last);
        }
    }
    let (first, last) = (first.expect("text"), last.expect("text"));
    [first - asked, last - first].map(|time| 1000.0 * time.as_secs_f64())
}
