//! A real model knows the capital of France: piped, with JSON, and on a terminal.

mod support;

use serde_json::Value;
use support::{output_of, ponder, smollm2, stderr, stdout};

const QUESTION: &str = "What is the capital of France?";
/// Greedy decoding, and no longer than a sentence needs.
const GREEDY: [&str; 4] = ["--temperature", "0", "--max-tokens", "24"];

#[test]
fn run_answers_into_a_pipe() {
    let Some(model) = smollm2() else { return };
    let model = model.to_str().expect("a UTF-8 path");
    let run = ["run", "-m", model, QUESTION];
    let output = output_of(ponder(&[&run[..], &GREEDY].concat()), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Paris"), "{}", stdout(&output));

    let piped = ["run", "-m", model, "--json"];
    let output = output_of(ponder(&[&piped[..], &GREEDY].concat()), QUESTION);
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let content = answer["content"].as_str().expect("text");
    assert!(content.contains("Paris"), "{content}");
    assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0));
}

#[test]
fn chat_answers_into_a_pipe() {
    let Some(model) = smollm2() else { return };
    let model = model.to_str().expect("a UTF-8 path");
    let chat = ["chat", "-m", model];
    let output = output_of(ponder(&[&chat[..], &GREEDY].concat()), QUESTION);
    assert!(stdout(&output).contains("Paris"), "{}", stdout(&output));
}

#[cfg(unix)]
#[test]
fn run_and_chat_answer_on_a_terminal() {
    use std::process::Stdio;

    use rexpect::session::spawn_command;
    let Some(model) = smollm2() else { return };
    let model = model.to_str().expect("a UTF-8 path");
    let run = ["run", "-m", model, QUESTION];
    let mut run = ponder(&[&run[..], &GREEDY].concat());
    run.stdin(Stdio::inherit());
    let mut session = spawn_command(run, Some(120_000)).expect("a pseudo-terminal");
    session.exp_string("Paris").expect("the answer");
    session.exp_eof().expect("the end");

    let chat = ["chat", "--no-history", "-m", model];
    let mut chat = ponder(&[&chat[..], &GREEDY].concat());
    chat.stdin(Stdio::inherit());
    let mut session = spawn_command(chat, Some(120_000)).expect("a pseudo-terminal");
    session.exp_string(">>> ").expect("a prompt");
    session.send_line(QUESTION).expect("typed");
    session.exp_string("Paris").expect("the answer");
    session.exp_string(">>> ").expect("a prompt");
    session.send_line("/exit").expect("typed");
    session.exp_eof().expect("the end");
}
