//! The model that is part of the program: there without a file, thinking, and better the more it thinks.

mod support;

use serde_json::Value;
use support::{output_of, ponder, stderr, stdout};

fn json_of(args: &[&str]) -> Value {
    let output = output_of(ponder(args), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

#[test]
fn it_answers_without_a_name() {
    let greedy = ["run", "--json", "--offline", "--temperature", "0"];
    let run = |more: &[&str]| json_of(&[&greedy[..], more].concat());
    let answer = run(&["What is 12 + 5?"]);
    assert_eq!(answer["content"], "The answer is 17.");
    assert_eq!(answer["reasoning_ended_by"], "model");
    assert!(
        answer["reasoning"]
            .as_str()
            .is_some_and(|text| text.contains("12+5=17"))
    );
    let none = run(&["--effort", "none", "What is 12 + 5?"]);
    assert_eq!(none["usage"]["reasoning_tokens"], 0);
    // A thought that is cut is followed by an answer all the same.
    let cut = run(&[
        "--effort",
        "high",
        "--think-tokens",
        "20",
        "(17 + 25) × 3 - 60",
    ]);
    assert_eq!(cut["reasoning_ended_by"], "budget");
    assert!(cut["usage"]["reasoning_tokens"].as_u64() <= Some(20));
    let content = cut["content"].as_str().expect("text");
    assert!(content.starts_with("The answer is "), "{content}");
    let hello = run(&["Hello!"]);
    assert!(
        hello["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("Hello!"))
    );
    let unknown = run(&["What is the capital of France?"]);
    assert!(
        unknown["content"]
            .as_str()
            .is_some_and(|text| text.contains("do not know"))
    );
}

#[test]
fn it_is_right_more_often_the_more_it_thinks() {
    let fixed = ["eval", "--task", "default", "--json", "--concurrency", "8"];
    let report = json_of(&[&fixed[..], &["--effort", "none,high", "--limit", "60"]].concat());
    let row = |i: usize| &report["rows"][i];
    let accuracy = |i| row(i)["accuracy"].as_f64().expect("a number");
    assert!(accuracy(1) > accuracy(0) + 0.2, "{report}");
    assert_eq!(row(0)["thinking_tokens_mean"], 0.0);
    assert!(
        row(1)["thinking_tokens_mean"].as_f64() > Some(40.0),
        "{report}"
    );
}

#[test]
fn it_needs_no_files_and_has_none() {
    let info = json_of(&["show", "default", "--json"]);
    assert_eq!(info["embedded"], true);
    assert_eq!(info["effort_profile"], "default");
    assert_eq!(info["licence"], "mit OR apache-2.0");
    let pulled = output_of(ponder(&["pull", "default"]), "");
    assert_eq!(pulled.status.code(), Some(1));
    assert!(
        stderr(&pulled).contains("part of the program"),
        "{}",
        stderr(&pulled)
    );
    let removed = output_of(ponder(&["rm", "default", "--yes"]), "");
    assert_eq!(removed.status.code(), Some(1));
}
