//! `ponder serve` as a process: what it prints, what it asks for, and how signals end it.

#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{output_of, ponder, stderr};

struct Serve {
    process: Child,
    /// What it printed when it was ready.
    ready: String,
    address: String,
}

impl Serve {
    fn start(args: &[&str], keys: Option<&str>) -> Self {
        let mut command = ponder(&["serve", "--port", "0"]);
        command.args(args).stdout(Stdio::piped());
        match keys {
            Some(key) => command.env("PONDER_API_KEY", key),
            None => command.env_remove("PONDER_API_KEY"),
        };
        let mut process = command.spawn().expect("ponder starts");
        let out = process.stdout.take().expect("standard output is a pipe");
        let mut ready = String::new();
        BufReader::new(out).read_line(&mut ready).expect("a line");
        let (_, rest) = ready.split_once("http://").expect("a URL");
        let end = rest.find([' ', '"']).expect("an end");
        let address = rest[..end].to_owned();
        Self {
            process,
            ready,
            address,
        }
    }

    /// Sends a request and leaves the answer to be read.
    fn send(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let patience = stream.set_read_timeout(Some(Duration::from_secs(60)));
        patience.expect("a timeout");
        let request = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("bytes go out");
        stream
    }

    fn get(&self, path: &str) -> String {
        read(self.send(&format!("GET {path}"), ""))
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.expect("kill").success());
    }

    /// The exit code, which must come soon.
    fn code(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.process.try_wait().expect("a process") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

const CHAT: &str = "POST /v1/chat/completions";

/// An answer that takes seconds.
const LONG: &str = r#"{"messages": [{"role": "user", "content": "1 + 1?"}], "stream": true,
    "ignore_eos": true, "n": 128, "temperature": 1}"#;

#[test]
fn it_says_where_it_is_and_a_signal_ends_it() {
    for (name, json) in [("-TERM", false), ("-INT", true)] {
        let args: &[&str] = if json { &["--json"] } else { &[] };
        let mut server = Serve::start(args, None);
        if json {
            let ready: Value = serde_json::from_str(&server.ready).expect("JSON");
            assert_eq!(ready["models"][0], "default");
        } else {
            assert!(server.ready.starts_with("listening on http://127.0.0.1:"));
            assert!(server.ready.ends_with(" with default\n"));
        }
        assert!(server.get("/health").starts_with("HTTP/1.1 200"));
        server.signal(name);
        assert_eq!(server.code(), Some(0));
    }
}

#[test]
fn the_second_signal_does_not_wait() {
    let mut server = Serve::start(&["--grace", "1h"], None);
    let mut answer = server.send(CHAT, LONG);
    let mut first = [0; 100];
    answer.read_exact(&mut first).expect("it answers");
    server.signal("-INT");
    std::thread::sleep(Duration::from_millis(100));
    assert!(server.process.try_wait().expect("a process").is_none());
    server.signal("-INT");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn a_short_grace_ends_answers_properly() {
    let mut server = Serve::start(&["--grace", "100ms"], None);
    let answer = server.send(CHAT, LONG);
    std::thread::sleep(Duration::from_millis(50));
    server.signal("-TERM");
    let answer = read(answer);
    assert!(answer.contains("data: [DONE]"), "{answer:.500}");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn keys_come_from_the_environment() {
    let server = Serve::start(&[], Some("sesame"));
    assert!(server.get("/v1/models").starts_with("HTTP/1.1 401"));
    let with_key = server.send(
        "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer sesame\r\nX:",
        "",
    );
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
        let mut command = ponder(&["serve", "--port", "0"]);
        command.args(args).env_remove("PONDER_API_KEY");
        let output = output_of(command, "");
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
        assert!(error.contains("hint: "), "{args:?}: {error}");
        assert!(!error.contains("two words"), "{error}");
    }
}
