//! How answers end before their time: clients that go or take nothing, and a server that is shut down.

mod support;

use std::time::Duration;

use ponder_server::{Server, ServerOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Events, options, read, says_with, start, start_with};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

const CHAT: &str = "/v1/chat/completions";

const RUNNING: &str = "ponder_answers_running{";

/// An answer that goes on until the context is full.
fn endless(n: usize) -> Value {
    let more = json!({"stream": true, "ignore_eos": true, "temperature": 1, "n": n});
    says_with("What is 1 + 1?", more)
}

/// The same, by so many answers that it takes seconds.
fn long() -> Value {
    endless(128)
}

#[tokio::test]
async fn who_goes_away_is_not_answered_any_more() {
    let server = start().await;
    let response = server
        .request(CHAT, &long())
        .send()
        .await
        .expect("a response");
    let events = Events::of(response);
    server.until_metric(RUNNING, |running| running > 0.0).await;
    drop(events);
    server.until_metric(RUNNING, |running| running == 0.0).await;
    // Also where nothing has been sent yet.
    let mut whole = long();
    whole["stream"] = json!(false);
    let request = server.request(CHAT, &whole);
    let gone = tokio::time::timeout(Duration::from_millis(300), request.send()).await;
    assert!(gone.is_err(), "it was answered");
    server.until_metric(RUNNING, |running| running == 0.0).await;
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off() {
    let impatient = ServerOptions {
        client_timeout: Duration::from_millis(500),
        ..options()
    };
    let server = start_with(impatient).await;
    // Much is said about every token, so that what lies between the two is full soon.
    let mut body = long();
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(20);
    let body = body.to_string();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket.connect(server.address).await;
    let mut stream = stream.expect("a connection");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("bytes go out");
    server.until_metric(RUNNING, |running| running > 0.0).await;
    server.until_metric(RUNNING, |running| running == 0.0).await;
    drop(stream);
}

#[tokio::test]
async fn more_than_may_wait_are_told_to_come_back() {
    let mut narrow = options();
    narrow.load.max_sequences = 1;
    narrow.load.max_waiting = Some(0);
    let server = start_with(narrow).await;
    let response = server.request(CHAT, &endless(1)).send().await;
    let mut events = Events::of(response.expect("a response"));
    events.chunk().await;
    let response = server
        .request(CHAT, &endless(1))
        .send()
        .await
        .expect("a response");
    assert!(response.headers().contains_key("retry-after"));
    let (status, error) = read(response).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error["error"]["code"], "queue_full");
}

#[tokio::test]
async fn a_shutdown_finishes_what_runs() {
    let server = start().await;
    let body = says_with("What is 12 + 5?", json!({"stream": true}));
    let response = server
        .request(CHAT, &body)
        .send()
        .await
        .expect("a response");
    let handle = server.handle.clone();
    let ended = tokio::spawn(async move { handle.shut_down().await });
    let events = Events::of(response).rest().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let end: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
    ended.await.expect("the server is down");
    assert!(server.get("/health").send().await.is_err());
}

#[tokio::test]
async fn a_shutdown_ends_what_takes_too_long() {
    let short = ServerOptions {
        grace: Duration::from_millis(200),
        ..options()
    };
    let server = start_with(short).await;
    let response = server
        .request(CHAT, &long())
        .send()
        .await
        .expect("a response");
    let mut events = Events::of(response);
    events.chunk().await;
    let handle = server.handle.clone();
    let ended = tokio::spawn(async move { handle.shut_down().await });
    let events = events.rest().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let end: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    let choice = &end["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    assert!(["cancelled", "length"].contains(&choice["ended_by"].as_str().expect("a reason")));
    ended.await.expect("the server is down");
}

#[tokio::test]
async fn nothing_is_begun_while_the_server_goes_down() {
    let server = start().await;
    let response = server
        .request(CHAT, &long())
        .send()
        .await
        .expect("a response");
    let mut running = Events::of(response);
    running.chunk().await;
    // A connection that is open already is still heard.
    let handle = server.handle.clone();
    let serving = tokio::spawn(async move { handle.shut_down().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = server.request(CHAT, &endless(1)).send().await;
    match refused {
        Ok(response) => assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE),
        // The port is closed.
        Err(error) => assert!(error.is_connect() || error.is_request(), "{error:?}"),
    }
    server.handle.abort();
    serving.await.expect("the server is down");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let server = start().await;
    let same = ServerOptions {
        port: server.address.port(),
        ..options()
    };
    let error = Server::bind(same).await.expect_err("the port is taken");
    assert!(error.to_string().contains("hint: --port 0"), "{error}");
    let missing = ServerOptions {
        models: vec!["no/such/model.gguf".to_owned()],
        ..options()
    };
    let error = Server::bind(missing).await.expect_err("no model");
    assert!(error.to_string().contains("model.gguf"), "{error}");
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_not_loaded() {
    let mut huge = options();
    huge.load.cache_tokens = Some(1 << 40);
    let error = Server::bind(huge).await.expect_err("no such memory");
    assert!(error.to_string().contains("MB of memory"), "{error}");
}
