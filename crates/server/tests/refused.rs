//! What is not supported or makes no sense is refused by name, in OpenAI's shape, and never ignored.

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Running, says_with, start};

const CHAT: &str = "/v1/chat/completions";

async fn refused(server: &Running, path: &str, body: &Value) -> Value {
    let (status, answer) = server.post(path, body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
    let error = answer["error"].clone();
    assert_eq!(error["type"], "invalid_request_error", "{error}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    error
}

#[tokio::test]
async fn fields_that_are_wrong_are_named() {
    let server = start().await;
    let function = json!({"type": "function", "function": {"name": "f"}});
    for (field, value, code) in [
        ("temperature", json!("hot"), "invalid_type"),
        ("temperature", json!(2.5), "invalid_value"),
        ("temperature", json!(-0.1), "invalid_value"),
        ("top_p", json!(1.1), "invalid_value"),
        ("top_k", json!(-1), "invalid_value"),
        ("min_p", json!(2), "invalid_value"),
        ("repetition_penalty", json!(0), "invalid_value"),
        ("presence_penalty", json!(3), "invalid_value"),
        ("frequency_penalty", json!(-3), "invalid_value"),
        ("seed", json!(1.5), "invalid_type"),
        ("n", json!(0), "invalid_value"),
        ("n", json!(129), "invalid_value"),
        ("max_tokens", json!(0), "invalid_value"),
        ("max_completion_tokens", json!(-5), "invalid_value"),
        ("stop", json!(["a", "b", "c", "d", "e"]), "invalid_value"),
        ("stop", json!([""]), "invalid_value"),
        ("stop", json!(5), "invalid_type"),
        ("logit_bias", json!({"x": 1}), "invalid_value"),
        ("logit_bias", json!({"1": 101}), "invalid_value"),
        ("logit_bias", json!({"100000": 1}), "invalid_value"),
        ("logit_bias", json!([1]), "invalid_type"),
        ("logprobs", json!(3), "invalid_type"),
        ("top_logprobs", json!(3), "invalid_value"),
        ("stream", json!("yes"), "invalid_type"),
        (
            "stream_options",
            json!({"include_usage": true}),
            "invalid_value",
        ),
        ("prompt_progress", json!(true), "invalid_value"),
        ("reasoning_effort", json!("huge"), "invalid_value"),
        ("thinking", json!("on"), "invalid_type"),
        ("deadline_seconds", json!(-1), "invalid_value"),
        ("tool_choice", json!("required"), "invalid_value"),
        ("tools", json!({}), "invalid_type"),
        ("chat_template_kwargs", json!([]), "invalid_type"),
        ("metadata", json!({"a": 1}), "invalid_value"),
        ("functions", json!([function]), "unsupported_parameter"),
        ("function_call", json!("auto"), "unsupported_parameter"),
        ("audio", json!({"voice": "x"}), "unsupported_parameter"),
        (
            "modalities",
            json!(["text", "audio"]),
            "unsupported_parameter",
        ),
        (
            "prediction",
            json!({"type": "content"}),
            "unsupported_parameter",
        ),
        ("web_search_options", json!({}), "unsupported_parameter"),
        ("store", json!(true), "unsupported_parameter"),
        ("service_tier", json!("flex"), "unsupported_parameter"),
        ("verbosity", json!("low"), "unsupported_parameter"),
        ("structured_outputs", json!({}), "unsupported_parameter"),
        ("guided_json", json!({}), "unsupported_parameter"),
        ("foo", json!(1), "unknown_parameter"),
        ("best_of", json!(1), "unknown_parameter"),
    ] {
        let error = refused(&server, CHAT, &says_with("hi", json!({field: value}))).await;
        assert_eq!(error["param"], field, "{error}");
        assert_eq!(error["code"], code, "{error}");
    }
}

#[tokio::test]
async fn places_inside_are_named() {
    let server = start().await;
    for (more, param) in [
        (json!({"thinking": {"budget": 1}}), "thinking.budget"),
        (
            json!({"thinking": {"early_exit": "soon"}}),
            "thinking.early_exit",
        ),
        (
            json!({"stream": true, "stream_options": {"x": 1}}),
            "stream_options.x",
        ),
        (
            json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
            "stream_options.include_obfuscation",
        ),
        (
            json!({"response_format": {"type": "xml"}}),
            "response_format.type",
        ),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "messages[0].content[0].type",
        ),
        (json!({"n": 2, "thinking": {"votes": 3}}), "n"),
        (
            json!({"logprobs": true, "thinking": {"votes": 3}}),
            "logprobs",
        ),
        (
            json!({"max_tokens": 5, "max_completion_tokens": 5}),
            "max_tokens",
        ),
    ] {
        let error = refused(&server, CHAT, &says_with("hi", more)).await;
        assert_eq!(error["param"], param, "{error}");
    }
    let error = refused(&server, CHAT, &json!({"model": "default"})).await;
    assert_eq!(error["param"], "messages");
}

#[tokio::test]
async fn what_means_nothing_here_is_taken() {
    let server = start().await;
    let more = json!({
        "model": "default", "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
        "service_tier": "auto", "store": false, "verbosity": "medium", "modalities": ["text"],
        "metadata": {"a": "b"}, "n": null, "stop": null, "tools": null, "stream": false,
        "max_tokens": 1, "parallel_tool_calls": true, "logit_bias": {}, "response_format": null,
        "temperature": null, "tool_choice": null, "stream_options": null,
    });
    server.chat(&says_with("hi", more)).await;
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused() {
    let server = start().await;
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    for (body, code) in [
        ("{", Some("invalid_json")),
        ("", Some("invalid_json")),
        (deep.as_str(), Some("invalid_json")),
        ("[]", None),
        ("\"hi\"", None),
    ] {
        let request = server.client.post(format!("{}{CHAT}", server.url));
        let request = request.header("content-type", "application/json");
        let response = request.body(body.to_owned()).send().await;
        let (status, answer) = support::read(response.expect("a response")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"]["code"].as_str(), code, "{answer}");
    }
    let form = server.client.post(format!("{}{CHAT}", server.url));
    let form = form.header("content-type", "text/plain").body("{}").send();
    let (status, _) = support::read(form.await.expect("a response")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn unknown_models_paths_and_methods() {
    let server = start().await;
    let body = says_with("hi", json!({"model": "gpt-7"}));
    let (status, answer) = server.post(CHAT, &body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["error"]["code"], "model_not_found");
    let (status, answer) = server.post("/v1/nothing", &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["error"]["code"], "unknown_url");
    let response = server.get(CHAT).send().await.expect("a response");
    let (status, answer) = support::read(response).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer["error"]["code"], "method_not_supported");
}

#[tokio::test]
async fn calls_are_refused_where_the_model_knows_none() {
    let server = start().await;
    let more = json!({
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "required",
    });
    let error = refused(&server, CHAT, &says_with("hi", more)).await;
    assert_eq!(error["param"], "tools", "{error}");
}

#[tokio::test]
async fn strict_schemas_follow_the_rules() {
    let server = start().await;
    let format = |schema: Value| {
        json!({"response_format": {"type": "json_schema", "json_schema": {
            "name": "sum", "strict": true, "schema": schema}}})
    };
    let loose = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let error = refused(&server, CHAT, &says_with("hi", format(loose))).await;
    assert_eq!(error["param"], "response_format.json_schema.schema");
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("additionalProperties")
    );
}
