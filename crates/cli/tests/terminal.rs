//! The program on a pseudo-terminal: what a person sees and types.

#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::Stdio;

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use support::ponder;
use support::tiny::{Style, tiny_model};

/// Starts the program on a terminal; everything is expected within this time.
fn start(args: &[&str], state: &Path) -> PtySession {
    let mut command = ponder(args);
    command
        .stdin(Stdio::inherit())
        .env("XDG_STATE_HOME", state)
        .env("HOME", state);
    spawn_command(command, Some(60_000)).expect("a pseudo-terminal")
}

fn exit_code(session: &mut PtySession) -> i32 {
    match session.process().wait().expect("it ends") {
        WaitStatus::Exited(_, code) => code,
        other => panic!("ended by {other:?}"),
    }
}

/// Arguments that make the tiny model write one token again and again.
fn only<'a>(command: &'a str, model: &'a str, bias: &'a str, tokens: &'a str) -> Vec<&'a str> {
    vec![
        command,
        "-m",
        model,
        "--logit-bias",
        bias,
        "--max-tokens",
        tokens,
    ]
}

#[test]
fn answers_and_statistics_are_shown() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("run", dir, "65=100", "3");
    args.push("hi");
    let mut session = start(&args, model.path());
    session.exp_string("AAA").expect("the answer");
    session.exp_string("3 tokens").expect("the statistics");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&mut session), 0);
}

#[test]
fn reasoning_is_dim() {
    let model = tiny_model(Style::Thinking);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("run", dir, "65=100", "20");
    args.push("hi");
    let mut session = start(&args, model.path());
    session.exp_string("\u{1b}[2mA").expect("dimmed reasoning");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&mut session), 0);
    args.extend(["--color", "never"]);
    let mut session = start(&args, model.path());
    let shown = session.exp_string("AAA").expect("reasoning");
    assert!(shown.contains("[thinking]"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2m"), "{shown:?}");
}

#[test]
fn a_model_cannot_write_escape_sequences() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("run", dir, "27=100", "2");
    args.push("hi");
    let mut session = start(&args, model.path());
    // rexpect takes every byte for a character.
    let pictures: String = "␛␛".bytes().map(char::from).collect();
    session
        .exp_string(&pictures)
        .expect("pictures of the escapes");
}

#[test]
fn ctrl_c_ends_an_answer_and_prints_what_there_is() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("run", dir, "65=100", "400");
    args.push("hi");
    let mut session = start(&args, model.path());
    session.exp_string("AAAA").expect("the answer has begun");
    session.send_control('c').expect("Ctrl-C");
    session.exp_eof().expect("the end");
    // The answer may have been complete before the key arrived.
    let code = exit_code(&mut session);
    assert!(code == 130 || code == 0, "{code}");
}

#[test]
fn ctrl_c_ends_a_thought_and_the_answer_goes_on() {
    let model = tiny_model(Style::Thinking);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("run", dir, "65=100", "400");
    args.extend(["hi", "--no-loop-guard"]);
    let mut session = start(&args, model.path());
    session.exp_string("A").expect("the thought has begun");
    session.send_control('c').expect("Ctrl-C");
    // The thought may have used all its tokens before the key arrived.
    session
        .exp_regex("thinking [0-9]+ %, ended by (you|its budget)")
        .expect("the statistics");
    session.exp_eof().expect("the end");
    let code = exit_code(&mut session);
    assert!(code == 0 || code == 130, "{code}");
}

#[test]
fn chat_has_a_prompt_history_completion_and_commands() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let args = only("chat", dir, "65=100", "3");
    let mut session = start(&args, model.path());
    session.exp_string(">>> ").expect("a prompt");
    session.send_line("hello").expect("typed");
    session.exp_string("AAA").expect("an answer");
    session.exp_string(">>> ").expect("a prompt");
    // Ctrl-C clears the line and does not leave.
    session.send("half a line").expect("typed");
    session.flush().expect("sent");
    session.exp_string("half a line").expect("the echo");
    session.send_control('c').expect("Ctrl-C");
    session.exp_string(">>> ").expect("a prompt");
    session.send_line("/st\t").expect("typed");
    session
        .exp_string("1 answers")
        .expect("/stats, completed with Tab");
    session.exp_string(">>> ").expect("a prompt");
    session.send_line("two \\").expect("typed");
    session
        .exp_string("... ")
        .expect("the prompt of a further line");
    session.send_line("lines").expect("typed");
    session.exp_string("AAA").expect("an answer");
    session.exp_string(">>> ").expect("a prompt");
    session.send_control('d').expect("Ctrl-D");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&mut session), 0);
    let history = model.path().join("ponder/history");
    if cfg!(target_os = "linux") {
        let history = std::fs::read_to_string(history).expect("a history");
        assert!(history.contains("hello"), "{history}");
    }
}

#[test]
fn chat_leaves_no_history_where_that_is_not_wanted() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let mut args = only("chat", dir, "65=100", "3");
    args.push("--no-history");
    let mut session = start(&args, model.path());
    session.exp_string(">>> ").expect("a prompt");
    session.send_line("/exit").expect("typed");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&mut session), 0);
    assert!(!model.path().join("ponder/history").exists());
}
