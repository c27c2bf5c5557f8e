//! A batch whose server is killed in the middle: the next server goes on, and every line is answered
//! once.

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::serve::{Serve, read};

/// Lines of the batch.
const LINES: usize = 300;

/// How long the batch may take to get on.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(data: &Path) -> Serve {
    let mut command = Serve::command();
    Serve::run(
        command
            .args(["--max-sequences", "4", "--data-dir"])
            .arg(data),
    )
}

/// The body of an answer with the status 200.
fn ask(server: &Serve, line: &str, kind: &str, body: &str) -> String {
    let answer = read(server.send(line, &[("Content-Type", kind)], body));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

fn ask_json(server: &Serve, line: &str, body: &Value) -> Value {
    let answer = ask(server, line, "application/json", &body.to_string());
    serde_json::from_str(&answer).expect("JSON")
}

/// Asks for a batch until it is so.
fn until(server: &Serve, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let batch = ask_json(server, &format!("GET {path}"), &Value::Null);
        if is_so(&batch) {
            return batch;
        }
        assert!(since.elapsed() < PATIENCE, "still {batch}");
        std::thread::sleep(Duration::from_millis(2));
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
    let kind = "multipart/form-data; boundary=here";
    let file = ask(server, "POST /v1/files", kind, &form);
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let body = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = ask_json(server, "POST /v1/batches", &body);
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
    let server = start(folder.path());
    let path = begin(&server);
    let mut before = 0;
    // Killed three times, each time after some progress.
    let mut server = Some(server);
    for _ in 0..3 {
        let running = server.take().expect("a server");
        let batch = until(&running, &path, |batch| done(batch) > before + 10);
        before = done(&batch);
        assert!(before < LINES as u64, "too fast to be killed in the middle");
        drop(running);
        let next = start(folder.path());
        let batch = until(&next, &path, |batch| done(batch) > 0);
        assert!(done(&batch) >= before, "results are lost: {batch}");
        before = done(&batch);
        server = Some(next);
    }
    let server = server.expect("a server");
    let batch = until(&server, &path, |batch| batch["status"] == "completed");
    assert_eq!(
        batch["request_counts"],
        json!({"total": LINES, "completed": LINES, "failed": 0})
    );
    let file = batch["output_file_id"].as_str().expect("a file");
    let line = format!("GET /v1/files/{file}/content");
    let output = ask(&server, &line, "text/plain", "");
    let mut names = HashSet::new();
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).expect("whole lines");
        let name = line["custom_id"].as_str().expect("a name").to_owned();
        assert!(names.insert(name), "a line is there twice: {line}");
    }
    assert_eq!(names.len(), LINES);
}
