//! A batch whose server is killed in the middle: the next server goes on, and every line is answered
//! once.

mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::ponder;

/// Lines of the batch.
const LINES: usize = 300;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// `ponder serve` in a process of its own.
struct Serve {
    process: Child,
    address: String,
}

impl Serve {
    fn start(data: &Path) -> Self {
        let mut process = ponder(&[
            "serve",
            "--json",
            "--port",
            "0",
            "--max-sequences",
            "4",
            "--data-dir",
        ])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
        let mut ready = String::new();
        let stdout = process.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("a line");
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        let url = ready["url"].as_str().expect("a URL");
        let address = url.strip_prefix("http://").expect("HTTP").to_owned();
        Self { process, address }
    }

    /// The body of an answer with the status 200.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, "application/json", &body.to_string());
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Asks for a batch until it is so.
    fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let batch = self.json("GET", path, &Value::Null);
            if is_so(&batch) {
                return batch;
            }
            assert!(since.elapsed() < PATIENCE, "still {batch}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // SIGKILL: nothing is finished, nothing is tidied up.
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

fn begin(server: &Serve) -> String {
    let line = |i: usize| {
        let body = json!({"messages": [{"role": "user", "content": format!("What is {i} + 25?")}],
                          "temperature": 0, "reasoning_effort": "low"});
        json!({"custom_id": format!("sum-{i}"), "method": "POST", "url": "/v1/chat/completions", "body": body})
            .to_string()
    };
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let form = format!(
        "--here\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --here\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{}\r\n--here--\r\n",
        lines.join("\n")
    );
    let file = server.ask(
        "POST",
        "/v1/files",
        "multipart/form-data; boundary=here",
        &form,
    );
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let body = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = server.json("POST", "/v1/batches", &body);
    format!("/v1/batches/{}", batch["id"].as_str().expect("an id"))
}

fn done(batch: &Value) -> u64 {
    batch["request_counts"]["completed"]
        .as_u64()
        .expect("a number")
}

#[test]
fn a_killed_server_loses_no_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Serve::start(folder.path());
    let path = begin(&server);
    let mut before = 0;
    // Killed three times, each time after some progress.
    let mut server = Some(server);
    for _ in 0..3 {
        let running = server.take().expect("a server");
        let batch = running.until(&path, |batch| done(batch) > before + 10);
        before = done(&batch);
        assert!(before < LINES as u64, "too fast to be killed in the middle");
        drop(running);
        let next = Serve::start(folder.path());
        let batch = next.until(&path, |batch| done(batch) > 0);
        assert!(done(&batch) >= before, "results are lost: {batch}");
        before = done(&batch);
        server = Some(next);
    }
    let server = server.expect("a server");
    let batch = server.until(&path, |batch| batch["status"] == "completed");
    assert_eq!(
        batch["request_counts"],
        json!({"total": LINES, "completed": LINES, "failed": 0})
    );
    let file = batch["output_file_id"].as_str().expect("a file");
    let output = server.ask(
        "GET",
        &format!("/v1/files/{file}/content"),
        "text/plain",
        "",
    );
    let mut names = HashSet::new();
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).expect("whole lines");
        let name = line["custom_id"].as_str().expect("a name").to_owned();
        assert!(names.insert(name), "a line is there twice: {line}");
    }
    assert_eq!(names.len(), LINES);
}
