//! Files and batches over HTTP, answered by the model in the program.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use ponder_server::ServerOptions;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Running, options, read, start_with};

const CHAT: &str = "/v1/chat/completions";

const BOUNDARY: &str = "----here";

/// A server that keeps files and batches in a folder.
async fn in_folder(folder: &Path) -> Running {
    start_with(ServerOptions {
        data_dir: Some(folder.to_owned()),
        ..options()
    })
    .await
}

/// A form with a purpose and a file, in the order that clients have them.
fn form(purpose: &str, filename: &str, text: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
    )
}

async fn send_form(server: &Running, form: &str) -> (StatusCode, Value) {
    let request = server.client.post(format!("{}/v1/files", server.url));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = request.header("content-type", kind).body(form.to_owned());
    read(request.send().await.expect("a response")).await
}

/// A file that is kept.
async fn upload(server: &Running, text: &str) -> Value {
    let (status, file) = send_form(server, &form("batch", "input.jsonl", text)).await;
    assert_eq!(status, StatusCode::OK, "{file}");
    file
}

async fn content(server: &Running, file: &str) -> String {
    let response = server
        .get(&format!("/v1/files/{file}/content"))
        .send()
        .await;
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.expect("a text")
}

fn line(custom_id: &str, endpoint: &str, body: &Value) -> String {
    json!({"custom_id": custom_id, "method": "POST", "url": endpoint, "body": body}).to_string()
        + "\n"
}

fn sums(n: usize) -> String {
    let ask = |i: usize| {
        let messages = json!([{"role": "user", "content": format!("What is {i} + 25?")}]);
        let body = json!({"messages": messages, "temperature": 0, "reasoning_effort": "low"});
        line(&format!("sum-{i}"), CHAT, &body)
    };
    (0..n).map(ask).collect()
}

async fn begin(server: &Running, text: &str, endpoint: &str) -> Value {
    let file = upload(server, text).await;
    let body = json!({"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h",
                      "metadata": {"run": "1"}});
    server.ask("/v1/batches", &body).await
}

fn path(batch: &Value) -> String {
    format!("/v1/batches/{}", batch["id"].as_str().expect("an id"))
}

async fn end(server: &Running, batch: &Value) -> Value {
    let is_over = |batch: &Value| {
        ["completed", "failed", "cancelled", "expired"]
            .map(Value::from)
            .contains(&batch["status"])
    };
    server.until(&path(batch), is_over).await
}

/// The lines of a file by name, each of which is there once.
async fn lines(server: &Running, file: &Value) -> BTreeMap<String, Value> {
    let Some(file) = file.as_str() else {
        return BTreeMap::new();
    };
    let text = content(server, file).await;
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let id = line["custom_id"].as_str().expect("a name").to_owned();
        assert!(
            lines.insert(id.clone(), line).is_none(),
            "{id} is there twice"
        );
    }
    lines
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("ASCII")
        })
        .collect()
}

#[tokio::test]
async fn files_are_kept_listed_sent_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let (status, file) =
        send_form(&server, &form("batch", "../../../tmp/evil.jsonl", "one\n")).await;
    assert_eq!(status, StatusCode::OK, "{file}");
    assert_eq!(file["object"], "file");
    assert_eq!(file["bytes"], 4);
    assert_eq!(file["purpose"], "batch");
    assert_eq!(names(&folder.path().join("files")).len(), 2);
    let id = file["id"].as_str().expect("an id");
    assert_eq!(
        server.fetch(&format!("/v1/files/{id}")).await,
        (StatusCode::OK, file.clone())
    );
    assert_eq!(content(&server, id).await, "one\n");
    let other = upload(&server, "two\n").await;
    let (_, list) = server
        .fetch("/v1/files?purpose=batch&limit=1&order=asc")
        .await;
    assert_eq!(list["data"], json!([file]));
    assert_eq!(list["has_more"], true);
    let (_, list) = server
        .fetch(&format!("/v1/files?order=asc&after={id}"))
        .await;
    assert_eq!(list["data"], json!([other]));
    let (status, gone) = server.delete(&format!("/v1/files/{id}")).await;
    assert_eq!(
        (status, gone),
        (
            StatusCode::OK,
            json!({"id": id, "object": "file", "deleted": true})
        )
    );
    assert_eq!(
        server.fetch(&format!("/v1/files/{id}")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(names(&folder.path().join("files")).len(), 2);
    for id in ["..%2f..%2fetc%2fpasswd", "file-", "file-../../lock", "lock"] {
        let (status, _) = server.fetch(&format!("/v1/files/{id}/content")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
    }
}

#[tokio::test]
async fn forms_that_are_wrong_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let without_file = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{BOUNDARY}--\r\n"
    );
    let more = form("batch", "x", "y").replace("name=\"purpose\"", "name=\"mood\"");
    let expires =
        form("batch", "x", "y").replace("name=\"purpose\"", "name=\"expires_after[seconds]\"");
    for (form, param) in [
        (expires, json!("expires_after[seconds]")),
        (form("fine-tune", "x", "y"), json!("purpose")),
        (without_file, json!("file")),
        (more, json!("mood")),
        (
            form("batch", "x", "y").replace("here--", "her"),
            Value::Null,
        ),
        ("nothing".to_owned(), Value::Null),
    ] {
        let (status, answer) = send_form(&server, &form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["error"]["param"], param, "{answer}");
    }
    let (status, _) = server.post("/v1/files", &json!({})).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(names(&folder.path().join("files")), [""; 0]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let address = server.url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let whole = form("batch", "x", &"x".repeat(1 << 20));
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nHost: {address}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
        whole.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
        .write_all(&whole.as_bytes()[..1 << 19])
        .expect("sent");
    let files = folder.path().join("files");
    let until = async |n: usize| {
        for _ in 0..2000 {
            if files.is_dir() && names(&files).len() == n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("there are not {n} files");
    };
    until(1).await;
    drop(stream);
    until(0).await;
}

#[tokio::test]
async fn a_batch_answers_every_line_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let text = sums(5) + &line("wrong", CHAT, &json!({"messages": []}));
    let batch = begin(&server, &text, CHAT).await;
    assert_eq!(batch["object"], "batch");
    assert_eq!(batch["metadata"], json!({"run": "1"}));
    let batch = end(&server, &batch).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(
        batch["request_counts"],
        json!({"total": 6, "completed": 5, "failed": 1})
    );
    assert!(batch["usage"]["output_tokens"].as_u64() > Some(10));
    let output = lines(&server, &batch["output_file_id"]).await;
    assert_eq!(output.len(), 5);
    for i in 0..5 {
        let response = &output[&format!("sum-{i}")]["response"];
        assert_eq!(response["status_code"], 200);
        let content = response["body"]["choices"][0]["message"]["content"].as_str();
        assert!(
            content.expect("a text").contains(&(i + 25).to_string()),
            "{response}"
        );
    }
    let errors = lines(&server, &batch["error_file_id"]).await;
    assert_eq!(errors["wrong"]["response"]["status_code"], 400);
    assert_eq!(
        errors["wrong"]["response"]["body"]["error"]["param"],
        "messages"
    );
    let (_, list) = server.fetch("/v1/batches").await;
    assert_eq!(list["data"], json!([batch]));
    let (status, _) = server.post(&(path(&batch) + "/cancel"), &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_endpoint_can_be_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    for (endpoint, body) in [
        (
            "/v1/responses",
            json!({"input": "What is 1 + 2?", "store": false}),
        ),
        (
            "/v1/completions",
            json!({"prompt": "1 + 2 =", "max_tokens": 4}),
        ),
    ] {
        let batch = begin(&server, &line("a", endpoint, &body), endpoint).await;
        let batch = end(&server, &batch).await;
        let output = lines(&server, &batch["output_file_id"]).await;
        assert_eq!(
            output["a"]["response"]["status_code"], 200,
            "{batch} {output:?}"
        );
    }
}

#[tokio::test]
async fn lines_that_cannot_be_asked_fail_the_batch_by_their_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let text = sums(1) + "{\"torn\n" + &sums(1) + &line("x", "/v1/responses", &json!({}));
    let batch = begin(&server, &text, CHAT).await;
    let batch = end(&server, &batch).await;
    assert_eq!(batch["status"], "failed");
    let errors = batch["errors"]["data"].as_array().expect("a list");
    let found: Vec<_> = errors
        .iter()
        .map(|error| (&error["line"], &error["code"]))
        .collect();
    assert_eq!(
        json!(found),
        json!([
            [2, "invalid_json_line"],
            [3, "duplicate_custom_id"],
            [4, "mismatched_endpoint"]
        ])
    );
    for (body, param) in [
        (
            json!({"endpoint": CHAT, "completion_window": "24h"}),
            "input_file_id",
        ),
        (
            json!({"input_file_id": "file-x", "endpoint": CHAT, "completion_window": "24h"}),
            "input_file_id",
        ),
        (
            json!({"input_file_id": "x", "endpoint": "/v1/files", "completion_window": "24h"}),
            "endpoint",
        ),
        (
            json!({"input_file_id": "x", "endpoint": CHAT, "completion_window": "1h"}),
            "completion_window",
        ),
        (
            json!({"input_file_id": "x", "endpoint": CHAT, "completion_window": "24h", "y": 1}),
            "y",
        ),
    ] {
        let (status, answer) = server.post("/v1/batches", &body).await;
        assert!(status.is_client_error(), "{answer}");
        assert_eq!(answer["error"]["param"], param, "{answer}");
    }
}

#[tokio::test]
async fn what_is_cancelled_keeps_what_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_folder(folder.path()).await;
    let endless = json!({"messages": [{"role": "user", "content": "What is 1 + 2?"}],
                         "thinking": {"min_tokens": 100_000, "loop_guard": false}});
    let batch = begin(&server, &(sums(3) + &line("endless", CHAT, &endless)), CHAT).await;
    server
        .until(&path(&batch), |batch| {
            batch["request_counts"]["completed"] == 3
        })
        .await;
    let (status, answer) = server
        .delete(&format!(
            "/v1/files/{}",
            batch["input_file_id"].as_str().expect("an id")
        ))
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("file_in_use"))
    );
    let (status, _) = server.post(&(path(&batch) + "/cancel"), &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let batch = end(&server, &batch).await;
    assert_eq!(batch["status"], "cancelled", "{batch}");
    assert_eq!(lines(&server, &batch["output_file_id"]).await.len(), 3);
    let errors = lines(&server, &batch["error_file_id"]).await;
    assert_eq!(errors["endless"]["error"]["code"], "batch_cancelled");
    assert_eq!(errors["endless"]["response"], Value::Null);
}

#[tokio::test]
async fn two_servers_do_not_work_in_one_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = in_folder(folder.path()).await;
    upload(&first, "x").await;
    let second = in_folder(folder.path()).await;
    let (status, answer) = second.fetch("/v1/files").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["error"]["code"], "no_data_folder");
    let (status, _) = second.fetch("/v1/models").await;
    assert_eq!(status, StatusCode::OK);
}
