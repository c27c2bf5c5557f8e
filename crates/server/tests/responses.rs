//! The Responses API over HTTP, answered by the model in the program.

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Events, Running, start};

/// A thought that does not end by itself.
fn endless() -> Value {
    json!({"min_tokens": 100_000, "loop_guard": false})
}

fn question(text: &str) -> Value {
    json!({"input": text, "temperature": 0, "reasoning": {"effort": "low"}})
}

/// A response that is streamed.
async fn open(server: &Running, body: &Value) -> Events {
    let response = server.request("/v1/responses", body).send().await;
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    Events::of(response)
}

/// All of its events, which end with `[DONE]`.
async fn events(server: &Running, body: &Value) -> Vec<Value> {
    let mut events = open(server, body).await.rest().await;
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let parse = |data: &String| serde_json::from_str(data).expect("JSON");
    events.iter().map(parse).collect()
}

fn text_of(response: &Value) -> String {
    let items = response["output"].as_array().expect("items");
    let messages = items.iter().filter(|item| item["type"] == "message");
    messages
        .map(|item| item["content"][0]["text"].as_str().expect("a text"))
        .collect()
}

#[tokio::test]
async fn a_response_is_made_kept_shown_and_forgotten() {
    let server = start().await;
    let made = server
        .ask("/v1/responses", &question("What is 17 + 25?"))
        .await;
    assert_eq!(made["object"], "response");
    assert_eq!(made["status"], "completed", "{made}");
    assert!(text_of(&made).contains("42"), "{made}");
    assert_eq!(made["output"][0]["type"], "reasoning");
    let usage = &made["usage"];
    assert!(usage["output_tokens_details"]["reasoning_tokens"].as_u64() > Some(0));
    assert_eq!(made["reasoning_ended_by"], "model");
    let path = format!("/v1/responses/{}", made["id"].as_str().expect("an id"));
    assert_eq!(server.fetch(&path).await, (StatusCode::OK, made.clone()));
    let (status, items) = server.fetch(&format!("{path}/input_items")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(items["data"][0]["content"][0]["text"], "What is 17 + 25?");
    assert_eq!(items["has_more"], false);
    let (status, deleted) = server.delete(&path).await;
    assert_eq!(
        (status, &deleted["deleted"]),
        (StatusCode::OK, &json!(true))
    );
    let (status, gone) = server.fetch(&path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(gone["error"]["code"], "response_not_found");
}

#[tokio::test]
async fn a_stream_says_what_the_whole_says() {
    let server = start().await;
    let mut body = question("What is (48 - 19) × 4 - 37?");
    let whole = server.ask("/v1/responses", &body).await;
    body["stream"] = json!(true);
    body["prompt_progress"] = json!(true);
    let events = events(&server, &body).await;
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], i);
    }
    let joined = |kind: &str| -> String {
        let deltas = events.iter().filter(|event| event["type"] == kind);
        deltas
            .map(|event| event["delta"].as_str().expect("a text"))
            .collect()
    };
    let last = events.last().expect("events");
    assert_eq!(last["type"], "response.completed");
    let response = &last["response"];
    assert_eq!(joined("response.output_text.delta"), text_of(&whole));
    let thought = &whole["output"][0]["content"][0]["text"];
    assert_eq!(
        joined("response.reasoning_text.delta"),
        thought.as_str().expect("a text")
    );
    assert_eq!(text_of(response), text_of(&whole));
    assert!(
        events
            .iter()
            .any(|event| event["type"] == "response.prompt_progress")
    );
    let path = format!("/v1/responses/{}", response["id"].as_str().expect("an id"));
    assert_eq!(server.fetch(&path).await.1, *response);
}

#[tokio::test]
async fn a_conversation_goes_on_stored_or_sent_back() {
    let server = start().await;
    let first = server
        .ask("/v1/responses", &question("What is 17 + 25?"))
        .await;
    let mut next = question("What is 3 × 14?");
    next["previous_response_id"] = first["id"].clone();
    let stored = server.ask("/v1/responses", &next).await;
    let mut sent = first["output"].as_array().expect("items").clone();
    sent.insert(0, json!({"role": "user", "content": "What is 17 + 25?"}));
    sent.push(json!({"role": "user", "content": "What is 3 × 14?"}));
    let mut body = question("");
    (body["input"], body["store"]) = (json!(sent), json!(false));
    let stateless = server.ask("/v1/responses", &body).await;
    assert_eq!(text_of(&stored), text_of(&stateless));
    let tokens = |response: &Value| response["usage"]["input_tokens"].as_u64();
    assert_eq!(tokens(&stored), tokens(&stateless));
    assert!(tokens(&stored) > tokens(&first));
    let path = format!("/v1/responses/{}", stateless["id"].as_str().expect("an id"));
    assert_eq!(server.fetch(&path).await.0, StatusCode::NOT_FOUND);
    let path = format!(
        "/v1/responses/{}/input_items?order=asc&limit=2",
        stored["id"].as_str().expect("an id")
    );
    let (_, page) = server.fetch(&path).await;
    assert_eq!(page["data"][0]["role"], "user");
    assert_eq!(page["data"][1]["id"], first["output"][0]["id"]);
    assert_eq!(page["has_more"], true);
    // A reference stands for an item of a stored response.
    let reference = json!({"type": "item_reference", "id": first["output"][1]["id"]});
    body["input"] = json!([{"role": "user", "content": "What is 17 + 25?"}, reference, {"role": "user", "content": "Again?"}]);
    assert_eq!(
        server.ask("/v1/responses", &body).await["status"],
        "completed"
    );
}

#[tokio::test]
async fn a_response_in_the_background_is_asked_for_and_can_be_cancelled() {
    let server = start().await;
    let mut body = question("What is 17 + 25?");
    body["background"] = json!(true);
    let begun = server.ask("/v1/responses", &body).await;
    assert_eq!(begun["status"], "queued");
    let path = format!("/v1/responses/{}", begun["id"].as_str().expect("an id"));
    let done = server
        .until(&path, |response| response["status"] == "completed")
        .await;
    assert!(text_of(&done).contains("42"));
    body["thinking"] = endless();
    let begun = server.ask("/v1/responses", &body).await;
    let path = format!("/v1/responses/{}", begun["id"].as_str().expect("an id"));
    server
        .until(&path, |response| response["status"] == "in_progress")
        .await;
    let (status, cancelled) = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    assert_eq!(server.fetch(&path).await.1, cancelled);
    let mut next = question("And?");
    next["previous_response_id"] = cancelled["id"].clone();
    assert_eq!(
        server.ask("/v1/responses", &next).await["status"],
        "completed"
    );
}

#[tokio::test]
async fn a_thought_ends_when_it_is_told_to() {
    let server = start().await;
    let mut body = question("What is 17 + 25?");
    (body["stream"], body["thinking"]) = (json!(true), endless());
    let mut stream = open(&server, &body).await;
    let created = stream.chunk().await;
    let id = created["response"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let thinks = |event: &Value| event["type"] == "response.reasoning_text.delta";
    stream.chunk_that(thinks).await;
    let path = format!("/v1/responses/{id}/answer_now");
    let (status, _) = server.post(&path, &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let last = stream
        .chunk_that(|event| event["type"] == "response.completed")
        .await;
    assert_eq!(last["response"]["reasoning_ended_by"], "user");
    assert!(!text_of(&last["response"]).is_empty());
    assert_eq!(
        server.post(&path, &json!({})).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn who_goes_away_cancels() {
    let server = start().await;
    let mut body = question("What is 17 + 25?");
    (body["stream"], body["thinking"]) = (json!(true), endless());
    let mut stream = open(&server, &body).await;
    let created = stream.chunk().await;
    let path = format!(
        "/v1/responses/{}",
        created["response"]["id"].as_str().expect("an id")
    );
    stream
        .chunk_that(|event| event["type"] == "response.reasoning_text.delta")
        .await;
    drop(stream);
    server
        .until(&path, |response| response["status"] == "cancelled")
        .await;
}

#[tokio::test]
async fn limits_make_it_incomplete() {
    let server = start().await;
    let mut body = question("What is 17 + 25?");
    (body["max_output_tokens"], body["reasoning"]) = (json!(2), json!({"effort": "none"}));
    let made = server.ask("/v1/responses", &body).await;
    assert_eq!(made["status"], "incomplete");
    assert_eq!(made["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(made["usage"]["output_tokens"], 2);
}

#[tokio::test]
async fn the_tokens_of_a_prompt_are_counted_without_asking() {
    let server = start().await;
    let first = server
        .ask("/v1/responses", &question("What is 17 + 25?"))
        .await;
    let mut body = question("What is 3 × 14?");
    body["previous_response_id"] = first["id"].clone();
    let counted = server.ask("/v1/responses/input_tokens", &body).await;
    let made = server.ask("/v1/responses", &body).await;
    assert_eq!(counted["object"], "response.input_tokens");
    assert_eq!(counted["input_tokens"], made["usage"]["input_tokens"]);
}

#[tokio::test]
async fn an_answer_holds_to_a_schema() {
    let server = start().await;
    let schema = json!({"type": "object", "properties": {"sum": {"type": "integer"}},
                        "required": ["sum"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "sum", "strict": true, "schema": schema});
    let mut body = question("What is 17 + 25?");
    body["text"] = json!({ "format": format });
    let made = server.ask("/v1/responses", &body).await;
    let sum: Value = serde_json::from_str(&text_of(&made)).expect("JSON");
    assert!(sum["sum"].is_i64(), "{sum}");
    assert_eq!(made["text"]["format"]["schema"], schema);
}

#[tokio::test]
async fn calls_and_their_results_are_part_of_a_conversation() {
    let server = start().await;
    let mut body = question("");
    body["tools"] = json!([{"type": "function", "name": "add", "parameters": {"type": "object"}}]);
    body["input"] = json!([
        {"role": "user", "content": "What is 17 + 25?"},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    ]);
    let made = server.ask("/v1/responses", &body).await;
    assert_eq!(made["status"], "completed");
    assert_eq!(made["tools"][0]["strict"], Value::Null);
    body["input"] = json!([{"type": "function_call_output", "call_id": "call_2", "output": "42"}]);
    body["previous_response_id"] = made["id"].clone();
    let (status, answer) = server.post("/v1/responses", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["error"]["param"], "input[0].call_id");
}

#[tokio::test]
async fn log_probabilities_come_on_request() {
    let server = start().await;
    let mut body = question("What is 17 + 25?");
    (body["include"], body["top_logprobs"]) = (json!(["message.output_text.logprobs"]), json!(2));
    let made = server.ask("/v1/responses", &body).await;
    let part = &made["output"][1]["content"][0];
    let tokens = part["logprobs"].as_array().expect("a list");
    let text: String = tokens
        .iter()
        .map(|token| token["token"].as_str().expect("a text"))
        .collect();
    assert_eq!(text.trim(), part["text"].as_str().expect("a text").trim());
    assert!(
        tokens
            .iter()
            .all(|token| token["top_logprobs"].as_array().map(Vec::len) == Some(2))
    );
}

#[tokio::test]
async fn refusals_have_openais_shape_and_name_the_field() {
    let server = start().await;
    let with = |field: &str, value: Value| {
        let mut body = question("Hi");
        body[field] = value;
        body
    };
    let image = json!([{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]);
    for (body, param) in [
        (json!({}), "input"),
        (with("truncation", json!("auto")), "truncation"),
        (with("input", image), "input[0].content[0].type"),
        (
            with("previous_response_id", json!("resp_gone")),
            "previous_response_id",
        ),
        (with("model", json!("gpt-4o")), "model"),
        (with("input", json!("x ".repeat(40_000))), "input"),
    ] {
        let (status, answer) = server.post("/v1/responses", &body).await;
        assert!(status.is_client_error(), "{status} {answer}");
        assert_eq!(answer["error"]["param"], param, "{answer}");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
    }
    for path in ["/v1/responses/resp_x", "/v1/responses/../x/cancel"] {
        assert_eq!(server.fetch(path).await.0, StatusCode::NOT_FOUND);
    }
    let (status, answer) = server.fetch("/v1/responses/resp_x?stream=true").await;
    assert_eq!(
        (status, &answer["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("stream"))
    );
}
