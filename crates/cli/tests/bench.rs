//! `ponder bench` with a model of random weights.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use support::tiny::{Style, tiny_model};
use support::{output_of, ponder, stderr, stdout};

/// Measures a folder's model, four tokens at a time.
fn bench(model: &Path, more: &str) -> Output {
    let path = model.to_str().expect("UTF-8");
    let fixed = ["bench", "-m", path, "--gen-tokens", "4", "--no-roofline"];
    let more: Vec<&str> = more.split_whitespace().collect();
    output_of(ponder(&[&fixed[..], &more].concat()), "")
}

fn json_of(output: &Output) -> Value {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "{}", stderr(output));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn json_is_one_line_with_a_row_for_each_case() {
    let model = tiny_model(Style::Thinking);
    let words = "--prompt-tokens 80,120 --depth 0,64 --effort none,low --runs 2 --json";
    let output = bench(model.path(), words);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let report = json_of(&output);
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 8);
    for row in rows {
        assert_eq!(
            (&row["failed"], &row["requests"]),
            (&json!(0), &json!(2)),
            "{row}"
        );
        assert!(row["ttft_ms_p50"].as_f64() > Some(0.0));
        let computed = row["prompt_tokens"].as_u64().expect("a number");
        for run in row["runs"].as_array().expect("runs") {
            let count = |name: &str| run[name].as_u64().expect("a number");
            let own = count("prompt_tokens") - count("cached_tokens");
            // Fewer where two prompts begin with the same word, of which each byte is a token here.
            assert!(
                (computed - 16..=computed + 8).contains(&own),
                "{own} of {computed}"
            );
            assert_eq!(run["completion_tokens"], 4, "its end is ignored");
        }
    }
    assert_eq!(
        (&rows[0]["effort"], &rows[4]["effort"]),
        (&json!("none"), &json!("low"))
    );
}

#[test]
fn cold_starts_are_processes_of_their_own() {
    let model = tiny_model(Style::Plain);
    let report = json_of(&bench(
        model.path(),
        "--prompt-tokens 80 --start warm,cold-process --runs 2 --json",
    ));
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(
        (&rows[0]["start"], &rows[1]["start"]),
        (&json!("warm"), &json!("cold-process"))
    );
    assert_eq!(rows[0]["start_ms_p50"], Value::Null);
    let [start, load, ttft] =
        ["start_ms_p50", "load_ms", "ttft_ms_p50"].map(|name| rows[1][name].as_f64());
    assert!(
        start > load && start > ttft && ttft > Some(0.0),
        "{}",
        rows[1]
    );
    assert_eq!(rows[1]["failed"], 0);
}

#[test]
fn several_models_and_threads_are_rows_of_one_table() {
    let models = [tiny_model(Style::Plain), tiny_model(Style::Thinking)];
    let second = models[1].path().to_str().expect("UTF-8");
    let words =
        format!("-m {second} --threads 1,2 --prompt-tokens 80 --runs 1 --start warm,cold-process");
    let report = json_of(&bench(models[0].path(), &format!("{words} --json")));
    let rows = report["rows"].as_array().expect("rows");
    let setups: Vec<_> = rows
        .iter()
        .map(|row| (row["model"].as_str(), row["threads"].as_u64()))
        .collect();
    let first = models[0].path().to_str();
    let expected = [
        (first, Some(1)),
        (first, Some(2)),
        (Some(second), Some(1)),
        (Some(second), Some(2)),
    ];
    // Each is measured warm, and then from a process of its own that loads the same.
    let expected: Vec<_> = expected.iter().flat_map(|&one| [one, one]).collect();
    assert_eq!(setups, expected);
    assert!(rows.iter().all(|row| row["failed"] == 0));
    assert_eq!(report["models"].as_array().map(Vec::len), Some(2));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_what_was_started_and_keeps_what_was_measured() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let model = tiny_model(Style::Plain);
    let folder = model.path();
    // The peer answers once, and then starts something that takes its time.
    let script = "if test -e \"$1/once\"; then sleep 300 & echo $$ $! > \"$1/ids\"; wait; fi
        touch \"$1/once\"
        echo '[{\"n_prompt\": 80, \"n_gen\": 0, \"avg_ts\": 1}]'";
    fs::write(folder.join("peer.sh"), script).expect("written");
    let path = folder.to_str().expect("UTF-8");
    let peer = format!("sh '{path}/peer.sh' '{path}'");
    let words = ["bench", "-m", path, "--no-roofline", "--gen-tokens", "4"];
    let more = [
        "--prompt-tokens",
        "80",
        "--runs",
        "9",
        "--json",
        "--vs",
        &peer,
    ];
    let child = ponder(&[&words[..], &more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ponder starts");
    let began = Instant::now();
    let patience = Duration::from_secs(120);
    let ids = loop {
        let ids = fs::read_to_string(folder.join("ids")).unwrap_or_default();
        if ids.ends_with('\n') {
            break ids;
        }
        assert!(began.elapsed() < patience, "the peer never ran twice");
        std::thread::sleep(Duration::from_millis(20));
    };
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(signal.expect("kill runs").success());
    let output = child.wait_with_output().expect("ponder ends");
    assert!(began.elapsed() < patience, "it did not wait for the peer");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    for id in ids.split_whitespace() {
        // What was killed may be seen until the kernel is done with it.
        loop {
            let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(began.elapsed() < patience, "{id} lives on: {state}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let report = json_of(&output);
    let row = &report["rows"][0];
    assert_eq!((&row["requests"], &row["failed"]), (&json!(2), &json!(0)));
    assert_eq!(report["pairs"].as_array().map(Vec::len), Some(1));
    let notes = report["notes"].to_string();
    assert!(notes.contains("it was stopped"), "{notes}");
    assert!(
        row["notes"].to_string().contains("2 of 9 requests"),
        "{row}"
    );
}

#[test]
fn what_was_measured_stays_where_the_rest_fails() {
    let model = tiny_model(Style::Plain);
    let words = "--prompt-tokens 80 --runs 1 --json --endpoint http://127.0.0.1:1";
    let output = bench(model.path(), words);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("127.0.0.1:1"),
        "{}",
        stderr(&output)
    );
    let report = json_of(&output);
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(1));
    assert!(report["notes"].to_string().contains("not everything"));
}

#[test]
fn a_report_is_saved_beside_what_is_printed() {
    let model = tiny_model(Style::Plain);
    let path = model.path().join("report.json");
    let words = "--prompt-tokens 80 --runs 1 --markdown --save";
    let output = bench(model.path(), &format!("{words} {}", path.display()));
    assert!(stdout(&output).contains("| prompt"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(1));
}

#[test]
fn reports_are_compared_and_a_regression_fails() {
    let model = tiny_model(Style::Plain);
    let report = json_of(&bench(model.path(), "--prompt-tokens 80 --runs 6 --json"));
    let file = |name: &str, factor: f64| {
        let mut report = report.clone();
        for run in report["rows"][0]["runs"].as_array_mut().expect("runs") {
            run["ttft_ms"] = json!(factor * run["ttft_ms"].as_f64().expect("a time"));
        }
        let path = model.path().join(name);
        fs::write(&path, report.to_string()).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (before, slower) = (file("a.json", 1.0), file("b.json", 100.0));
    let compared = |a: &str, b: &str| output_of(ponder(&["bench", "compare", a, b]), "");
    let same = compared(&before, &before);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    assert!(!stdout(&same).contains("WORSE"));
    let worse = compared(&before, &slower);
    assert_eq!(worse.status.code(), Some(1));
    assert!(stdout(&worse).contains("WORSE"), "{}", stdout(&worse));
    assert!(
        stderr(&worse).contains("became worse by more than 5 %"),
        "{}",
        stderr(&worse)
    );
    let better = compared(&slower, &before);
    assert_eq!(better.status.code(), Some(0));
    assert_eq!(compared("no/such.json", &before).status.code(), Some(1));
}

#[test]
fn tables_say_what_their_figures_are() {
    let model = tiny_model(Style::Plain);
    let text = stdout(&bench(model.path(), "--prompt-tokens 80 --concurrency 1,3"));
    for words in [
        "TTFT ms",
        "TPOT ms",
        "prefill t/s",
        "at a time",
        "the first token is excluded",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let svg = model.path().join("plot.svg");
    let plot = format!(
        "--prompt-tokens 80,120 --runs 2 --markdown --plot {}",
        svg.display()
    );
    let markdown = stdout(&bench(model.path(), &plot));
    assert!(markdown.contains("| prompt | start |"), "{markdown}");
    let svg = fs::read_to_string(svg).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("TTFT in ms by prompt tokens"));
    let csv = stdout(&bench(model.path(), "--prompt-tokens 80 --csv"));
    assert!(
        csv.starts_with("build_commit,") && csv.lines().count() == 2,
        "{csv}"
    );
}

#[test]
fn what_cannot_be_measured_is_said_in_a_line() {
    let model = tiny_model(Style::Plain);
    let short = bench(model.path(), "--prompt-tokens 3");
    assert_eq!(
        (short.status.code(), stdout(&short).as_str()),
        (Some(1), "")
    );
    assert!(
        stderr(&short).contains("hint: measure prompts of at least"),
        "{}",
        stderr(&short)
    );
    let words = ["bench", "--endpoint", "http://127.0.0.1:1"];
    let nobody = output_of(ponder(&words), "");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        stderr(&nobody).contains("127.0.0.1:1"),
        "{}",
        stderr(&nobody)
    );
    assert_eq!(
        output_of(ponder(&["bench", "--runs", "0"]), "")
            .status
            .code(),
        Some(2)
    );
}
