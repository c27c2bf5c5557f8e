//! Who may ask, and what a connection may take.

mod support;

use std::time::Duration;

use ponder_server::{ApiKey, ServeError, Server, ServerOptions};
use reqwest::StatusCode;
use serde_json::json;
use support::{options, read, says_with, start, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHAT: &str = "/v1/chat/completions";

fn with_keys(keys: &[&str]) -> ServerOptions {
    ServerOptions {
        api_keys: keys
            .iter()
            .map(|&key| ApiKey::from(key.to_owned()))
            .collect(),
        ..options()
    }
}

#[tokio::test]
async fn keys_open() {
    let server = start_with(with_keys(&["sesame", "second"])).await;
    let body = says_with("hi", json!({"max_tokens": 1}));
    for (key, wanted) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("wrong"), StatusCode::UNAUTHORIZED),
        (Some("sesam"), StatusCode::UNAUTHORIZED),
        (Some("sesame"), StatusCode::OK),
        (Some("second"), StatusCode::OK),
    ] {
        let mut request = server.request(CHAT, &body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let (status, answer) = read(request.send().await.expect("a response")).await;
        assert_eq!(status, wanted, "{key:?}: {answer}");
        if status == StatusCode::UNAUTHORIZED {
            assert_eq!(answer["error"]["code"], "invalid_api_key");
        }
    }
    for (path, wanted) in [
        ("/health", StatusCode::OK),
        ("/metrics", StatusCode::UNAUTHORIZED),
        ("/v1/models", StatusCode::UNAUTHORIZED),
        ("/nothing", StatusCode::NOT_FOUND),
    ] {
        let response = server.get(path).send().await.expect("a response");
        assert_eq!(response.status(), wanted, "{path}");
    }
}

#[tokio::test]
async fn a_server_for_others_needs_a_key() {
    let open = ServerOptions {
        host: "0.0.0.0".to_owned(),
        ..options()
    };
    let error = Server::bind(open).await.expect_err("nobody is asked");
    assert!(matches!(error, ServeError::Open { .. }));
    assert!(error.to_string().contains("hint: "));
    let closed = ServerOptions {
        host: "0.0.0.0".to_owned(),
        ..with_keys(&["sesame"])
    };
    assert!(Server::bind(closed).await.is_ok());
    for key in ["", "two words"] {
        let error = Server::bind(with_keys(&[key])).await;
        assert!(matches!(error, Err(ServeError::Key)));
    }
}

#[tokio::test]
async fn other_peoples_answers_cannot_be_ended() {
    let server = start_with(with_keys(&["mine", "yours"])).await;
    let long = json!({"stream": true, "temperature": 1,
                      "thinking": {"min_tokens": 100_000, "loop_guard": false}});
    let request = server.request(CHAT, &says_with("What is 1 + 1?", long));
    let response = request.bearer_auth("mine").send().await;
    let mut events = support::Events::of(response.expect("a response"));
    let id = events.chunk().await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("{CHAT}/{id}/answer_now");
    let post = |key: &str| server.request(&path, &json!({})).bearer_auth(key).send();
    let yours = post("yours").await.expect("a response");
    assert_eq!(yours.status(), StatusCode::NOT_FOUND);
    let mine = post("mine").await.expect("a response");
    assert_eq!(mine.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_of_others_are_kept_out() {
    let page = "https://page.example";
    let trusting = ServerOptions {
        cors_origins: vec![page.to_owned()],
        ..options()
    };
    let body = says_with("hi", json!({"max_tokens": 1}));
    for (options, allowed) in [(options(), false), (trusting, true)] {
        let server = start_with(options).await;
        let asked = server.request(CHAT, &body).header("origin", page).send();
        let asked = asked.await.expect("a response");
        assert_eq!(asked.status() == StatusCode::OK, allowed);
        let header = asked.headers().get("access-control-allow-origin");
        assert_eq!(header.is_some(), allowed);
        let other = server
            .request(CHAT, &body)
            .header("origin", "https://evil.example");
        assert_eq!(
            other.send().await.expect("a response").status(),
            StatusCode::FORBIDDEN
        );
        let own = server.request(CHAT, &body).header("origin", &server.url);
        assert_eq!(
            own.send().await.expect("a response").status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn names_that_only_pretend_to_be_local_are_refused() {
    let server = start().await;
    for (host, wanted) in [
        ("evil.example", StatusCode::FORBIDDEN),
        ("localhost", StatusCode::OK),
        ("127.0.0.1:1234", StatusCode::OK),
    ] {
        let response = server.get("/v1/models").header("host", host).send().await;
        assert_eq!(response.expect("a response").status(), wanted, "{host}");
    }
}

#[tokio::test]
async fn bodies_have_a_size() {
    let small = ServerOptions {
        max_body: 10_000,
        ..options()
    };
    let server = start_with(small).await;
    let (status, answer) = server
        .post(CHAT, &says_with(&"x".repeat(20_000), json!({})))
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer["error"]["code"], "request_too_large");
    server
        .chat(&says_with("hi", json!({"max_tokens": 1})))
        .await;
}

/// Sends bytes and reads until the server closes the connection.
async fn raw(server: &support::Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("a connection");
    stream.write_all(bytes).await.expect("bytes go out");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    // A connection that is reset is closed as well.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_have_a_size_and_a_time() {
    let patient = ServerOptions {
        client_timeout: Duration::from_millis(300),
        ..options()
    };
    let server = start_with(patient).await;
    let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    let many = format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert!(
        raw(&server, many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let long = format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert!(
        raw(&server, long.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    // Half a head, and then nothing.
    raw(&server, b"GET /health HTTP/1.1\r\nhost: loc").await;
    // A whole head, and half a body.
    let half =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    let answer = raw(&server, half.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let garbage = raw(&server, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await;
    assert!(
        garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"),
        "{garbage}"
    );
    assert_eq!(
        server
            .get("/health")
            .send()
            .await
            .expect("a response")
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn connections_are_counted() {
    let few = ServerOptions {
        max_connections: 2,
        ..options()
    };
    let server = start_with(few).await;
    let connect = || async {
        TcpStream::connect(server.address)
            .await
            .expect("a connection")
    };
    let (first, second) = (connect().await, connect().await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut third = connect().await;
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(5), third.read(&mut byte)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    drop((first, second));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        server
            .get("/health")
            .send()
            .await
            .expect("a response")
            .status(),
        StatusCode::OK
    );
}
