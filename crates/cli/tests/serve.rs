//! `ponder serve` as a process: what it prints, what it asks for, and how signals end it.

#![cfg(unix)]

mod support;

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::serve::{Serve, read};
use support::{output_of, stderr};

fn signal(server: &Serve, name: &str) {
    let id = server.process.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status();
    assert!(sent.expect("kill").success());
}

/// The exit code, which must come soon.
fn code(server: &mut Serve) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        if let Some(status) = server.process.try_wait().expect("a process") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it does not end");
}

const CHAT: &str = "POST /v1/chat/completions";

/// An answer that takes seconds.
const LONG: &str = r#"{"messages": [{"role": "user", "content": "1 + 1?"}], "stream": true,
    "ignore_eos": true, "n": 128, "temperature": 1}"#;

#[test]
fn it_says_where_it_is_and_a_signal_ends_it() {
    for (name, json) in [("-TERM", false), ("-INT", true)] {
        let args: &[&str] = if json { &["--json"] } else { &[] };
        let mut server = Serve::start(args);
        if json {
            let ready: Value = serde_json::from_str(&server.ready).expect("JSON");
            assert_eq!(ready["models"][0], "default");
        } else {
            assert!(server.ready.starts_with("listening on http://127.0.0.1:"));
            assert!(server.ready.ends_with(" with default\n"));
        }
        assert!(server.get("/health").starts_with("HTTP/1.1 200"));
        signal(&server, name);
        assert_eq!(code(&mut server), Some(0));
    }
}

#[test]
fn the_second_signal_does_not_wait() {
    let mut server = Serve::start(&["--grace", "1h"]);
    let mut answer = server.send(CHAT, &[], LONG);
    let mut first = [0; 100];
    answer.read_exact(&mut first).expect("it answers");
    signal(&server, "-INT");
    std::thread::sleep(Duration::from_millis(100));
    assert!(server.process.try_wait().expect("a process").is_none());
    signal(&server, "-INT");
    assert_eq!(code(&mut server), Some(0));
}

#[test]
fn a_short_grace_ends_answers_properly() {
    let mut server = Serve::start(&["--grace", "100ms"]);
    let answer = server.send(CHAT, &[], LONG);
    std::thread::sleep(Duration::from_millis(50));
    signal(&server, "-TERM");
    let answer = read(answer);
    assert!(answer.contains("data: [DONE]"), "{answer:.500}");
    assert_eq!(code(&mut server), Some(0));
}

#[test]
fn keys_come_from_the_environment() {
    let server = Serve::run(Serve::command().env("PONDER_API_KEY", "sesame"));
    assert!(server.get("/v1/models").starts_with("HTTP/1.1 401"));
    let key = ("Authorization", "Bearer sesame");
    let with_key = server.send("GET /v1/models", &[key], "");
    assert!(read(with_key).starts_with("HTTP/1.1 200"));
}

#[test]
fn what_cannot_be_served_is_said() {
    for (args, code, said) in [
        (&["--host", "0.0.0.0"][..], 2, "API key"),
        (&["--api-key", "two words"], 2, "API key"),
        (&["--cors-origin", "here"], 2, "origin"),
        (&["-m", "no/such.gguf"], 1, "no/such.gguf"),
        (&["-m", "default", "-m", "default"], 2, "named twice"),
    ] {
        let mut command = Serve::command();
        command.args(args);
        let output = output_of(command, "");
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
        assert!(error.contains("hint: "), "{args:?}: {error}");
        assert!(!error.contains("two words"), "{error}");
    }
}
