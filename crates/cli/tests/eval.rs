//! `ponder eval` with a model of random weights, and with a real one where it is there.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use support::tiny::{Style, tiny_model};
use support::{output_of, ponder, smollm2, stderr, stdout};

/// Questions of which a model that says nothing but A has the first and the last right.
const QUESTIONS: &str = concat!(
    "{\"question\": \"hi\", \"answer\": \"aaaa\", \"task\": \"letters\"}\n",
    "{\"question\": \"1+1\", \"answer\": \"2\", \"task\": \"sums\"}\n",
    "{\"question\": \"ho\", \"answer\": \"AAAA\", \"kind\": \"exact\", \"task\": \"letters\"}\n",
);

/// Evaluates a folder's `task.jsonl` with a model that says nothing but A, four times.
fn eval(model: &Path, more: &[&str]) -> Output {
    fs::write(model.join("task.jsonl"), QUESTIONS).expect("written");
    let task = model.join("task.jsonl");
    let fixed = ["eval", "--logit-bias", "65=100", "-m"];
    let paths = [model, Path::new("--task"), &task].map(|path| path.to_str().expect("UTF-8"));
    output_of(ponder(&[&fixed[..], &paths, more].concat()), "")
}

fn json_of(output: &Output) -> Value {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "{}", stderr(output));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn json_is_one_line_with_a_row_for_each_setting() {
    let model = tiny_model(Style::Plain);
    let args = [
        "--max-tokens",
        "4",
        "--votes",
        "1,2",
        "--samples",
        "2",
        "--json",
    ];
    let output = eval(model.path(), &args);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let report = json_of(&output);
    assert_eq!(report["task"], "task.jsonl");
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    for (row, votes) in rows.iter().zip([1, 2]) {
        assert_eq!(
            (&row["votes"], &row["n"], &row["answers"]),
            (&json!(votes), &json!(3), &json!(6))
        );
        assert_eq!(row["accuracy"].as_f64(), Some(2.0 / 3.0));
        assert_eq!(row["effort"], Value::Null);
        assert_eq!(row["ended_by"], json!({"none": 6}));
        assert_eq!(row["finish_reasons"], json!({"length": 6}));
        assert_eq!(
            (&row["wrong_format"], &row["empty"]),
            (&json!(2), &json!(0))
        );
        assert_eq!(row["completion_tokens_mean"], json!(4.0 * f64::from(votes)));
        assert!(row["seconds_mean"].as_f64() > Some(0.0));
        assert_eq!(row["groups"][0]["task"], "letters");
        assert_eq!(row["groups"][0]["accuracy"], json!(1.0));
    }
}

#[test]
fn thinking_is_counted_and_shares_follow_from_it() {
    let model = tiny_model(Style::Thinking);
    let args = [
        "--max-tokens",
        "80",
        "--effort",
        "low,none",
        "--think-tokens",
        "50%",
        "--json",
    ];
    let report = json_of(&eval(model.path(), &args));
    let rows: Vec<_> = report["rows"].as_array().expect("rows").iter().collect();
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("effort"), ["low", "low", "none", "none"]);
    let own = rows[0]["thinking_tokens_mean"].as_f64().expect("a number");
    assert!(own > 20.0, "{own}");
    assert_eq!(
        column("think_share"),
        [Value::Null, json!(0.5), Value::Null, json!(0.5)]
    );
    assert_eq!(rows[1]["think_tokens"].as_f64(), Some((own / 2.0).round()));
    assert!(rows[1]["thinking_tokens_mean"].as_f64() <= Some(own / 2.0));
    assert_eq!(rows[1]["ended_by"], json!({"budget": 3}));
    assert_eq!(rows[2]["thinking_tokens_mean"], json!(0.0));
    assert_eq!(
        rows[3]["think_tokens"],
        json!(0),
        "half of nothing is what the level says"
    );
}

#[test]
fn ways_to_end_a_thought_stand_side_by_side() {
    let model = tiny_model(Style::Thinking);
    let words = "--max-tokens 100 --think-tokens 30 --landing off,on --early-exit off,entropy,agreement \
                 --concurrency 2 --json";
    let words: Vec<&str> = words.split_whitespace().collect();
    let report = json_of(&eval(model.path(), &words));
    assert_eq!(report["concurrency"], 2);
    let rows = report["rows"].as_array().expect("rows");
    let settings = rows
        .iter()
        .map(|row| (row["landing"].clone(), row["early_exit"].clone()));
    let mut expected = Vec::new();
    for landing in [Value::Null, json!(0.8)] {
        expected.extend(["off", "entropy", "agreement"].map(|exit| (landing.clone(), json!(exit))));
    }
    assert_eq!(settings.collect::<Vec<_>>(), expected);
    for row in rows {
        assert_eq!((&row["think_tokens"], &row["n"]), (&json!(30), &json!(3)));
        assert!(row["thinking_tokens_p95"].as_f64() <= Some(30.0), "{row}");
    }
    let text = stdout(&eval(model.path(), &words[..words.len() - 1]));
    assert!(
        text.starts_with("effort  budget  landing  early exit  n  accuracy"),
        "{text}"
    );
    assert!(
        text.ends_with("times with 2 requests side by side.\n"),
        "{text}"
    );
}

#[test]
fn tables_are_for_people() {
    let model = tiny_model(Style::Plain);
    let plain = stdout(&eval(model.path(), &["--max-tokens", "4"]));
    assert!(plain.starts_with("effort  n  accuracy"), "{plain}");
    assert!(
        plain.contains("66.7 %") && plain.contains("letters"),
        "{plain}"
    );
    let plot = model.path().join("plot.svg");
    let args = [
        "--max-tokens",
        "4",
        "--markdown",
        "--plot",
        plot.to_str().expect("UTF-8"),
    ];
    let markdown = stdout(&eval(model.path(), &args));
    assert!(
        markdown.starts_with("| effort | n | accuracy |"),
        "{markdown}"
    );
    let svg = fs::read_to_string(plot).expect("a plot");
    assert!(svg.starts_with("<svg") && svg.contains("task.jsonl"));
}

#[test]
fn a_killed_run_goes_on() {
    let model = tiny_model(Style::Plain);
    let log = model.path().join("log.jsonl");
    let path = log.to_str().expect("UTF-8");
    let args = [
        "--max-tokens",
        "40",
        "--samples",
        "3",
        "--resume",
        path,
        "--json",
    ];
    let whole = json_of(&eval(model.path(), &args));
    let text = fs::read_to_string(&log).expect("a log");
    assert_eq!(text.lines().count(), 1 + 9);

    // As if it had been killed while it wrote the fifth answer.
    let fifth = text.match_indices('\n').nth(4).expect("a line").0 + 20;
    fs::write(&log, &text[..fifth]).expect("written");
    assert_eq!(
        figures(&json_of(&eval(model.path(), &args))),
        figures(&whole)
    );
    let again = fs::read_to_string(&log).expect("a log");
    assert_eq!(again.lines().count(), 1 + 9);
    assert!(
        again.starts_with(&text[..fifth - 20]),
        "what was there stays"
    );
    // A whole log asks nothing, so even the times are the same.
    assert_eq!(
        json_of(&eval(model.path(), &args)),
        json_of(&eval(model.path(), &args))
    );

    let other = eval(model.path(), &[&args[..], &["--seed", "5"]].concat());
    let error = stderr(&other);
    assert_eq!(
        (other.status.code(), stdout(&other).as_str()),
        (Some(1), "")
    );
    assert!(
        error.contains("its seed is 0, and here it is 5\nhint: "),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&log).expect("a log"), again);
}

/// What does not depend on time.
fn figures(report: &Value) -> Vec<Value> {
    let rows = report["rows"].as_array().expect("rows").iter();
    let names = [
        "n",
        "accuracy",
        "ci95",
        "ended_by",
        "pass_at_k",
        "majority_at_k",
    ];
    rows.flat_map(|row| names.map(|name| row[name].clone()))
        .collect()
}

#[cfg(unix)]
#[test]
fn a_run_that_is_really_killed_goes_on() {
    use std::time::{Duration, Instant};

    let model = tiny_model(Style::Plain);
    let dir = model.path();
    fs::write(dir.join("task.jsonl"), QUESTIONS.repeat(20)).expect("written");
    let file = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    let (task, log) = (file("task.jsonl"), file("log.jsonl"));
    let mut words = vec![
        "eval",
        "--logit-bias",
        "65=100",
        "-m",
        dir.to_str().expect("UTF-8"),
    ];
    words.extend([
        "--task",
        &task,
        "--max-tokens",
        "100",
        "--resume",
        &log,
        "--json",
    ]);
    let mut child = ponder(&words)
        .stdout(Stdio::null())
        .spawn()
        .expect("ponder starts");
    let lines = || fs::read(&log).map_or(0, |text| text.split(|&byte| byte == b'\n').count());
    let begun = Instant::now();
    while lines() < 6 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let n_before = lines();
    assert!(n_before >= 6, "{n_before} lines");
    let report = json_of(&output_of(ponder(&words), ""));
    assert_eq!(report["rows"][0]["answers"], 60);
    assert_eq!(
        lines(),
        62,
        "a settings line, 60 answers, and nothing behind the last newline"
    );
}

#[test]
fn mistakes_are_named_before_a_model_is_loaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = dir.path().join("bad.jsonl");
    let path = task.to_str().expect("UTF-8");
    let args = ["eval", "-m", "no/such.gguf", "--task", path];
    let error_of = |text: &str| {
        fs::write(&task, text).expect("written");
        let output = output_of(ponder(&args), "");
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(1), "")
        );
        stderr(&output)
    };
    let error = error_of(&format!("{QUESTIONS}{{\"question\": \"q\"}}\n"));
    assert!(
        error.contains("bad.jsonl` line 4: missing field `answer`"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error_of("\n").contains("has no questions\nhint: "));
    fs::write(&task, QUESTIONS).expect("written");
    for option in ["--plot", "--resume"] {
        let output = output_of(ponder(&[&args[..], &[option, "no/such/file"]].concat()), "");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("there is no folder `no/such`"),
            "{option}"
        );
    }
    let output = output_of(ponder(&["eval", "--task", path, "--votes", "0"]), "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn values_out_of_range_are_wrong_usage() {
    let model = tiny_model(Style::Plain);
    let output = eval(model.path(), &["--temperature", "1000"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(2), ""),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_generator_asks_as_many_as_are_wanted() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("UTF-8");
    let args = [
        "eval", "-m", dir, "--task", "default", "--limit", "12", "--seed", "3",
    ];
    let output = output_of(
        ponder(&[&args[..], &["--max-tokens", "3", "--json"]].concat()),
        "",
    );
    let report = json_of(&output);
    assert_eq!(
        (&report["task"], &report["questions"], &report["seed"]),
        (&json!("default"), &json!(12), &json!(3))
    );
    let groups = report["rows"][0]["groups"].as_array().expect("groups");
    assert!(groups.len() > 2, "{groups:?}");
}

#[test]
fn a_real_model_is_evaluated() {
    let Some(model) = smollm2() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let task = dir.path().join("task.jsonl");
    let question =
        "{\"question\": \"What is the capital of France? One word.\", \"answer\": \"Paris\"}\n";
    fs::write(&task, question).expect("written");
    let paths =
        [model.as_path(), Path::new("--task"), &task].map(|path| path.to_str().expect("UTF-8"));
    let fixed = ["--temperature", "0", "--max-tokens", "24", "--json"];
    let output = output_of(ponder(&[&["eval", "-m"], &paths[..], &fixed].concat()), "");
    let report = json_of(&output);
    assert_eq!(report["rows"][0]["n"], 1, "{}", stderr(&output));
}
