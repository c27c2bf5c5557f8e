//! Plain completions, tokens, templates, models and metrics.

mod support;

use std::time::Duration;

use ponder_server::ServerOptions;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{options, read, says, start, start_with};

const COMPLETE: &str = "/v1/completions";

#[tokio::test]
async fn texts_are_continued_as_they_are() {
    let server = start().await;
    let body = json!({"prompt": "12+5=", "max_tokens": 4, "temperature": 0});
    let answer = server.ask(COMPLETE, &body).await;
    assert_eq!(answer["object"], "text_completion");
    assert!(
        answer["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("cmpl-"))
    );
    let text = answer["choices"][0]["text"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(!text.is_empty());
    assert_eq!(answer["usage"]["completion_tokens"], 4);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    // The same from token ids, in a list, with the prompt before it, and in pieces.
    let ids = server.ask("/tokenize", &json!({"content": "12+5="})).await;
    let mut same = body.clone();
    same["prompt"] = json!([ids["tokens"], "12+5="]);
    same["echo"] = json!(true);
    let both = server.ask(COMPLETE, &same).await;
    for i in 0..2 {
        assert_eq!(both["choices"][i]["index"], i);
        assert_eq!(both["choices"][i]["text"], format!("12+5={text}"));
    }
    assert_eq!(both["usage"]["completion_tokens"], 8);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let mut events = server.stream(COMPLETE, &streamed).await;
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<Value> = events
        .iter()
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    let [.., end, usage] = chunks.as_slice() else {
        panic!("too short");
    };
    assert_eq!(end["choices"][0]["finish_reason"], "length");
    assert_eq!(usage["usage"]["completion_tokens"], 4);
}

#[tokio::test]
async fn logprobs_come_in_columns() {
    let server = start().await;
    let body = json!({"prompt": "12+5=", "max_tokens": 4, "temperature": 0, "logprobs": 2});
    let answer = server.ask(COMPLETE, &body).await;
    let logprobs = &answer["choices"][0]["logprobs"];
    let column = |name: &str| logprobs[name].as_array().expect("a column").clone();
    let tokens = column("tokens");
    for name in ["token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(column(name).len(), tokens.len(), "{name}");
    }
    let text: String = tokens.iter().filter_map(Value::as_str).collect();
    assert_eq!(text, answer["choices"][0]["text"].as_str().expect("text"));
    assert_eq!(column("text_offset")[0], 0);
    let error = server.post(COMPLETE, &json!({"prompt": [100_000]})).await;
    assert_eq!(error.0, StatusCode::BAD_REQUEST);
    assert_eq!(error.1["error"]["param"], "prompt");
    let long = "1 + ".repeat(2000);
    let error = server.post(COMPLETE, &json!({"prompt": long})).await;
    assert_eq!(error.1["error"]["code"], "context_length_exceeded");
    assert_eq!(error.1["error"]["param"], "prompt");
}

#[tokio::test]
async fn tokens_go_both_ways() {
    let server = start().await;
    let text = "What is 12 × 5?";
    let made = server.ask("/tokenize", &json!({"content": text})).await;
    let count = made["tokens"].as_array().expect("ids").len();
    assert_eq!(made["count"], count);
    assert_eq!(made["max_model_len"], 1024);
    let back = server
        .ask("/v1/detokenize", &json!({"tokens": made["tokens"]}))
        .await;
    assert_eq!(back["content"], text);
    let pieces = json!({"content": text, "with_pieces": true});
    let pieces = server.ask("/tokenize", &pieces).await;
    assert_eq!(pieces["tokens"].as_array().map(Vec::len), Some(count));
    assert!(pieces["tokens"][0]["piece"].is_string());
    let prompt = server.ask("/apply-template", &says(text)).await;
    assert!(
        prompt["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.contains(text))
    );
    let of_chat = server.ask("/tokenize", &says(text)).await;
    assert!(of_chat["count"].as_u64() > made["count"].as_u64());
    let answer = server.chat(&says(text)).await;
    assert_eq!(answer["usage"]["prompt_tokens"], of_chat["count"]);
    for (path, body, param) in [
        ("/tokenize", json!({}), "content"),
        ("/tokenize", json!({"content": "a", "x": 1}), "x"),
        ("/detokenize", json!({"tokens": [1, "a"]}), "tokens[1]"),
        ("/detokenize", json!({"tokens": [100_000]}), "tokens[0]"),
        ("/apply-template", json!({"messages": []}), "messages"),
    ] {
        let (status, error) = server.post(path, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
        assert_eq!(error["error"]["param"], param, "{error}");
    }
}

#[tokio::test]
async fn vectors_are_for_models_that_make_them() {
    let server = start().await;
    let body = json!({"model": "default", "input": ["a", [1, 2]]});
    let (status, error) = server.post("/v1/embeddings", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["code"], "model_not_supported");
    for (body, param) in [
        (json!({"model": "default"}), "input"),
        (json!({"input": ""}), "input"),
        (
            json!({"input": "a", "encoding_format": "int8"}),
            "encoding_format",
        ),
        (json!({"input": "a", "dimensions": 0}), "dimensions"),
        (json!({"input": "a", "dimensions": 100_000}), "dimensions"),
    ] {
        let (status, error) = server.post("/v1/embeddings", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
        assert_eq!(error["error"]["param"], param, "{error}");
    }
}

#[tokio::test]
async fn models_are_listed_and_called_by_name() {
    let server = start().await;
    let response = server.get("/v1/models").send().await.expect("a response");
    let (_, list) = read(response).await;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "default");
    assert_eq!(list["data"][0]["object"], "model");
    assert_eq!(list["data"][0]["loaded"], true);
    let levels = &list["data"][0]["effort_levels"];
    assert_eq!(levels["none"]["think_tokens"], 0);
    assert_eq!(levels["max"]["think_tokens"], Value::Null);
    let one = server
        .get("/models/default")
        .send()
        .await
        .expect("a response");
    assert_eq!(read(one).await.1, list["data"][0]);
    let none = server
        .get("/v1/models/a/b")
        .send()
        .await
        .expect("a response");
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn models_come_when_asked_for_and_go_when_idle() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("second.gguf");
    std::fs::write(&path, ponder_engine::store::embedded()).expect("a file");
    let two = ServerOptions {
        models: vec!["default".to_owned(), path.display().to_string()],
        idle: Some(Duration::from_millis(500)),
        ..options()
    };
    let server = start_with(two).await;
    let loaded = || async {
        let response = server.get("/v1/models").send().await.expect("a response");
        let list = read(response).await.1;
        let second = &list["data"][1];
        assert_eq!(second["id"], "second");
        second["loaded"].as_bool().expect("a truth value")
    };
    assert!(!loaded().await);
    let mut body = says("What is 12 + 5?");
    body["model"] = json!("second");
    // All that ask at once wait for the same load.
    let (first, second) = tokio::join!(server.chat(&body), server.chat(&body));
    assert_eq!(first["model"], "second");
    assert_eq!(first["choices"], second["choices"]);
    assert!(loaded().await);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!loaded().await);
    server.chat(&body).await;
    // What is gone cannot be loaded again, and where it was is not told.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    std::fs::remove_file(&path).expect("is removed");
    let (status, error) = server.post("/v1/chat/completions", &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error["error"]["code"], "model_load_failed");
    assert!(
        !error
            .to_string()
            .contains(folder.path().to_str().expect("a name"))
    );
}

#[tokio::test]
async fn metrics_count() {
    let server = start().await;
    server.chat(&says("What is 12 + 5?")).await;
    server.post("/v1/chat/completions", &json!({})).await;
    let response = server.get("/metrics").send().await.expect("a response");
    let text = response.text().await.expect("text");
    for line in [
        r#"ponder_http_requests_total{endpoint="/chat/completions",status="200"} 1"#,
        r#"ponder_http_requests_total{endpoint="/chat/completions",status="400"} 1"#,
        r#"ponder_answers_total{model="default",finish_reason="stop"} 1"#,
        r#"ponder_reasoning_ended_total{model="default",by="model"} 1"#,
        r#"ponder_answers_running{model="default"} 0"#,
        "ponder_time_to_first_token_seconds_count 1",
        "ponder_time_to_first_output_seconds_count 1",
    ] {
        assert!(
            text.contains(&format!("\n{line}")),
            "{line} is missing in {text}"
        );
    }
    let value = |start: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start} is missing"));
        line.rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number")
    };
    for kind in ["prompt", "completion", "reasoning"] {
        let name = format!(r#"ponder_tokens_total{{model="default",kind="{kind}"}}"#);
        assert!(value(&name) > 0.0);
    }
    assert!(value("ponder_inter_token_seconds_count") > 0.0);
    assert!(value("ponder_cache_tokens{") > 0.0);
    assert!(text.ends_with("# EOF\n"));
}
