//! Chat Completions, whole and streamed, over HTTP.

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Events, joined, says, says_with, start};

const SUM: &str = "What is 12 + 5?";

#[tokio::test]
async fn an_answer_has_openais_shape_and_ours() {
    let server = start().await;
    let answer = server.chat(&says(SUM)).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "default");
    assert!(
        answer["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("chatcmpl-"))
    );
    assert!(answer["created"].as_u64() > Some(1_700_000_000));
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["ended_by"], "stop");
    assert_eq!(choice["reasoning_ended_by"], "model");
    assert_eq!(choice["logprobs"], Value::Null);
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant");
    assert_eq!(message["content"], "The answer is 17.");
    assert_eq!(message["reasoning"], message["reasoning_content"]);
    let reasoning = message["reasoning"].as_str().expect("thinking");
    assert!(reasoning.contains("12+5=17"), "{reasoning}");
    assert!(message.get("tool_calls").is_none());
    let usage = &answer["usage"];
    let count = |name: &str| usage[name].as_u64().expect("a count");
    assert_eq!(
        count("total_tokens"),
        count("prompt_tokens") + count("completion_tokens")
    );
    let thought = &usage["completion_tokens_details"]["reasoning_tokens"];
    assert!(thought.as_u64() > Some(0));
    assert!(answer["timings"]["ttft_s"].as_f64() > Some(0.0));
    assert!(answer["timings"]["predicted_per_token_ms"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn a_stream_says_the_same_in_order() {
    let server = start().await;
    let whole = server.chat(&says(SUM)).await;
    let usage = json!({"stream": true, "stream_options": {"include_usage": true}});
    let chunks = server.chunks(&says_with(SUM, usage)).await;
    let first = &chunks[0]["choices"][0]["delta"];
    assert_eq!(
        (&first["role"], &first["content"]),
        (&json!("assistant"), &json!(""))
    );
    let id = &chunks[0]["id"];
    assert!(chunks.iter().all(|chunk| &chunk["id"] == id));
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    let message = &whole["choices"][0]["message"];
    assert_eq!(joined(&chunks, "content"), message["content"]);
    assert_eq!(joined(&chunks, "reasoning"), message["reasoning"]);
    assert_eq!(joined(&chunks, "reasoning_content"), message["reasoning"]);
    // Thinking, then the answer, then the end, then the usage.
    let place = |field: &str| {
        let mut deltas = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"][field]);
        let place = deltas.position(|delta| delta.as_str().is_some_and(|text| !text.is_empty()));
        place.expect("is said")
    };
    assert!(place("reasoning") < place("content"));
    let [.., end, last] = chunks.as_slice() else {
        panic!("too short");
    };
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
    assert_eq!(end["choices"][0]["delta"], json!({}));
    assert_eq!(end["usage"], Value::Null);
    assert_eq!(last["choices"], json!([]));
    let tokens = |usage: &Value| usage["completion_tokens"].clone();
    assert_eq!(tokens(&last["usage"]), tokens(&whole["usage"]));
    let plain = server
        .chunks(&says_with(SUM, json!({"stream": true})))
        .await;
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn thinking_is_turned_down_and_off() {
    let server = start().await;
    let thought =
        |answer: &Value| answer["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64();
    for more in [
        json!({"reasoning_effort": "none"}),
        json!({"thinking": {"type": "disabled"}}),
        json!({"thinking": {"budget_tokens": 0}}),
    ] {
        let answer = server.chat(&says_with(SUM, more)).await;
        assert_eq!(thought(&answer), Some(0));
        assert!(answer["choices"][0]["message"].get("reasoning").is_none());
        assert_eq!(answer["choices"][0]["reasoning_ended_by"], Value::Null);
    }
    let hard = "(17 + 25) × 3 - 60";
    let budget = json!({"reasoning_effort": "high", "thinking": {"budget_tokens": 20}});
    let answer = server.chat(&says_with(hard, budget)).await;
    assert!(thought(&answer) <= Some(20));
    assert_eq!(answer["choices"][0]["reasoning_ended_by"], "budget");
}

#[tokio::test]
async fn several_choices_and_a_seed() {
    let server = start().await;
    let body = json!({
        "messages": [{"role": "user", "content": "What is (48 - 19) × 4 - 37?"}],
        "temperature": 1.5, "seed": 7, "n": 3, "max_tokens": 60,
    });
    let texts = |answer: &Value| -> Vec<Value> {
        let choices = answer["choices"].as_array().expect("choices");
        let indices: Vec<u64> = choices.iter().filter_map(|c| c["index"].as_u64()).collect();
        assert_eq!(indices, [0, 1, 2]);
        choices
            .iter()
            .map(|choice| choice["message"].clone())
            .collect()
    };
    let (first, second) = (server.chat(&body).await, server.chat(&body).await);
    assert_eq!(texts(&first), texts(&second));
    assert_ne!(texts(&first)[0], texts(&first)[1]);
    let mut other = body.clone();
    other["seed"] = json!(8);
    assert_ne!(texts(&first), texts(&server.chat(&other).await));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let chunks = server.chunks(&streamed).await;
    for index in 0..3 {
        let of = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        let own: Vec<Value> = chunks.iter().filter(of).cloned().collect();
        assert_eq!(own[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(
            joined(&own, "reasoning"),
            texts(&first)[index]["reasoning"]
                .as_str()
                .unwrap_or_default()
        );
        assert!(own.last().expect("chunks")["choices"][0]["finish_reason"].is_string());
    }
}

#[tokio::test]
async fn stop_texts_and_limits_end_an_answer() {
    let server = start().await;
    let none = |more: Value| {
        let mut body = says_with(SUM, json!({"reasoning_effort": "none"}));
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let answer = server.chat(&none(json!({"stop": " is"}))).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "The answer");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    for field in ["max_tokens", "max_completion_tokens"] {
        let answer = server.chat(&none(json!({field: 3}))).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 3);
    }
}

#[tokio::test]
async fn logprobs_spell_the_answer() {
    let server = start().await;
    let more = json!({"logprobs": true, "top_logprobs": 2, "seed": 1});
    let answer = server.chat(&says_with(SUM, more.clone())).await;
    let choice = &answer["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().expect("tokens");
    let text: String = tokens
        .iter()
        .filter_map(|token| token["token"].as_str())
        .collect();
    assert_eq!(
        text.trim(),
        choice["message"]["content"].as_str().expect("text").trim()
    );
    for token in tokens {
        assert!(token["logprob"].as_f64() <= Some(0.0));
        let top = token["top_logprobs"].as_array().expect("alternatives");
        assert_eq!(top.len(), 2);
        // Greedy takes the likeliest.
        assert_eq!(top[0]["token"], token["token"]);
    }
    let mut body = says_with(SUM, more);
    body["stream"] = json!(true);
    let chunks = server.chunks(&body).await;
    let streamed: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .collect();
    assert_eq!(streamed.len(), tokens.len());
}

#[tokio::test]
async fn a_bias_bans_a_token() {
    let server = start().await;
    let none = json!({"reasoning_effort": "none", "max_tokens": 1});
    let first = server.chat(&says_with(SUM, none.clone())).await;
    let text = first["choices"][0]["message"]["content"]
        .as_str()
        .expect("text")
        .to_owned();
    let ids = server
        .ask("/tokenize", &json!({"content": text, "add_special": false}))
        .await;
    let id = ids["tokens"][0].as_u64().expect("an id").to_string();
    let mut banned = says_with(SUM, none);
    banned["logit_bias"] = json!({id: -100});
    let second = server.chat(&banned).await;
    assert_ne!(second["choices"][0]["message"]["content"], json!(text));
}

#[tokio::test]
async fn answer_now_ends_the_thinking() {
    let server = start().await;
    // A thought that would fill the context.
    let long = json!({"stream": true, "n": 2, "temperature": 1,
                      "thinking": {"min_tokens": 100_000, "loop_guard": false}});
    let body = says_with("What is (48 - 19) × 4 - 37?", long);
    let response = server.request("/v1/chat/completions", &body).send().await;
    let mut events = Events::of(response.expect("a response"));
    let first = events.chunk().await;
    let id = first["id"].as_str().expect("an id");
    let path = format!("/v1/chat/completions/{id}/answer_now");
    assert_eq!(server.ask(&path, &json!({})).await["id"], id);
    let mut ends = Vec::new();
    for data in events.rest().await {
        if let Ok(chunk) = serde_json::from_str::<Value>(&data) {
            let choice = chunk["choices"][0].clone();
            if choice["finish_reason"].is_string() {
                ends.push(choice["reasoning_ended_by"].clone());
            }
        }
    }
    assert_eq!(ends, ["user", "user"]);
    let (status, error) = server.post(&path, &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(error["error"]["code"], "answer_not_found");
}

#[tokio::test]
async fn a_second_turn_is_read_from_the_cache() {
    let server = start().await;
    let first = server.chat(&says(SUM)).await;
    let mut messages = says(SUM)["messages"].as_array().expect("messages").clone();
    // Clients send back the whole message, its thinking included.
    messages.push(first["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "What is 20 + 22?"}));
    let body = json!({"messages": messages, "temperature": 0});
    let second = server.chat(&body).await;
    let cached = second["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
    assert!(cached > Some(0), "{second}");
    assert!(cached < second["usage"]["prompt_tokens"].as_u64());
    let mut without = body.clone();
    without["cache_prompt"] = json!(false);
    let without = server.chat(&without).await;
    assert_eq!(
        without["usage"]["prompt_tokens_details"]["cached_tokens"],
        0
    );
    assert_eq!(
        without["choices"][0]["message"],
        second["choices"][0]["message"]
    );
}

#[tokio::test]
async fn progress_of_the_prompt_is_told_on_request() {
    let server = start().await;
    let more = json!({"stream": true, "prompt_progress": true});
    let chunks = server.chunks(&says_with(SUM, more)).await;
    let progress: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk.get("prompt_progress"))
        .collect();
    let last = progress.last().expect("progress");
    assert_eq!(last["processed"], last["total"]);
    let silent = server
        .chunks(&says_with(SUM, json!({"stream": true})))
        .await;
    assert!(
        silent
            .iter()
            .all(|chunk| chunk.get("prompt_progress").is_none())
    );
}

#[tokio::test]
async fn answers_vote() {
    let server = start().await;
    let body = json!({
        "messages": [{"role": "user", "content": SUM}],
        "thinking": {"votes": 3}, "seed": 3,
    });
    let answer = server.chat(&body).await;
    let votes = &answer["choices"][0]["votes"];
    assert_eq!(votes["asked"], 3);
    assert_eq!(votes["tally"][0]["answer"], "17");
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(1));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let chunks = server.chunks(&streamed).await;
    assert_eq!(
        joined(&chunks, "content"),
        answer["choices"][0]["message"]["content"]
    );
    let end = chunks.last().expect("chunks");
    assert_eq!(end["choices"][0]["votes"]["asked"], 3);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_with_both_numbers() {
    let server = start().await;
    let (status, error) = server
        .post("/v1/chat/completions", &says(&"1 + ".repeat(2000)))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["code"], "context_length_exceeded");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("1024"), "{message}");
}
