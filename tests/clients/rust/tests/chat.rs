//! Chat completions and models.

use async_openai::types::chat::{
    ChatCompletionMessageToolCalls, ChatCompletionRequestDeveloperMessage,
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
    FinishReason,
};
use futures_util::StreamExt;
use ponder_clients::{ANSWER, CALLER, SUM, client, client_at, refusal, typed, variable};
use serde_json::{Value, json};

/// A request about `text`, with more fields.
fn about(text: &str, more: Value) -> Value {
    let mut body = json!({"model": "default", "messages": [{"role": "user", "content": text}], "temperature": 0});
    let (to, from) = (body.as_object_mut(), more.as_object());
    to.expect("an object")
        .extend(from.expect("an object").clone());
    body
}

fn lamp() -> Value {
    json!({
        "type": "function",
        "function": {
            "name": "lamp_state",
            "strict": true,
            "parameters": {
                "type": "object",
                "properties": {"room": {"type": "string", "enum": ["kitchen", "hall"]}},
                "required": ["room"],
                "additionalProperties": false,
            },
        },
    })
}

#[tokio::test]
async fn an_answer_has_the_types_of_the_client() {
    let request = CreateChatCompletionRequestArgs::default()
        .model("default")
        .messages([
            ChatCompletionRequestDeveloperMessage::from("Be brief.").into(),
            ChatCompletionRequestUserMessage::from(SUM).into(),
        ])
        .max_completion_tokens(200_u32)
        .temperature(0.0)
        .logprobs(true)
        .top_logprobs(2)
        .n(2)
        .build()
        .expect("a request");
    let answer = client().chat().create(request).await.expect("an answer");
    assert_eq!(answer.choices.len(), 2);
    let choice = &answer.choices[0];
    assert!(
        choice
            .message
            .content
            .as_deref()
            .is_some_and(|text| text.contains("17"))
    );
    assert_eq!(choice.finish_reason, Some(FinishReason::Stop));
    let logprobs = choice.logprobs.as_ref().and_then(|of| of.content.as_ref());
    assert!(
        logprobs
            .expect("tokens")
            .iter()
            .all(|token| token.top_logprobs.len() == 2)
    );
    let usage = answer.usage.expect("usage");
    let details = usage.completion_tokens_details.expect("details");
    assert!(details.reasoning_tokens > Some(0));
}

#[tokio::test]
async fn reasoning_is_there_for_those_who_bring_a_type_for_it() {
    let body = about(SUM, json!({"thinking": {"budget_tokens": 100}}));
    let answer: Value = client().chat().create_byot(body).await.expect("an answer");
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], ANSWER);
    assert!(
        message["reasoning_content"]
            .as_str()
            .expect("thinking")
            .contains("12+5=17")
    );
}

#[tokio::test]
async fn a_stream_is_put_together() {
    let body = about(
        SUM,
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    );
    let request: CreateChatCompletionRequest = typed(body);
    let client = client();
    let mut stream = client
        .chat()
        .create_stream(request)
        .await
        .expect("a stream");
    let (mut text, mut end, mut usage) = (String::new(), None, None);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("a chunk");
        usage = chunk.usage.or(usage);
        for choice in chunk.choices {
            text += choice.delta.content.as_deref().unwrap_or_default();
            end = choice.finish_reason.or(end);
        }
    }
    assert_eq!(text, ANSWER);
    assert_eq!(end, Some(FinishReason::Stop));
    assert!(usage.expect("usage").completion_tokens > 0);
}

#[tokio::test]
async fn a_call_its_result_and_the_answer() {
    let by_name = json!({"type": "function", "function": {"name": "lamp_state"}});
    let more = json!({"model": CALLER, "reasoning_effort": "low", "tools": [lamp()], "tool_choice": by_name});
    let client = client();
    let request: CreateChatCompletionRequest = typed(about("Is the lamp on?", more));
    let answer = client.chat().create(request).await.expect("an answer");
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason, Some(FinishReason::ToolCalls));
    let calls = choice.message.tool_calls.clone().expect("calls");
    let [ChatCompletionMessageToolCalls::Function(call)] = calls.as_slice() else {
        panic!("one call of a function, not {calls:?}");
    };
    let arguments: Value = serde_json::from_str(&call.function.arguments).expect("JSON");
    assert!(arguments["room"] == "kitchen" || arguments["room"] == "hall");
    let request: CreateChatCompletionRequest = typed(json!({
        "model": CALLER,
        "messages": [
            {"role": "user", "content": "Is the lamp on?"},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": call.id, "content": "on"},
        ],
        "tools": [lamp()],
        "tool_choice": "none",
    }));
    let answer = client.chat().create(request).await.expect("an answer");
    assert!(answer.choices[0].message.content.is_some());
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    let schema = json!({
        "type": "object",
        "properties": {"result": {"type": "integer", "enum": [16, 17, 18]}},
        "required": ["result"],
        "additionalProperties": false,
    });
    let form = json!({"type": "json_schema", "json_schema": {"name": "sum", "strict": true, "schema": schema}});
    let request: CreateChatCompletionRequest = typed(about(SUM, json!({"response_format": form})));
    let answer = client().chat().create(request).await.expect("an answer");
    let text = answer.choices[0].message.content.as_deref();
    let sum: Value = serde_json::from_str(text.expect("text")).expect("JSON");
    assert!((16..=18).contains(&sum["result"].as_i64().expect("a number")));
}

#[tokio::test]
async fn errors_are_read() {
    let client = client();
    let request: CreateChatCompletionRequest = typed(about(SUM, json!({"temperature": 3})));
    let error = refusal(client.chat().create(request).await);
    assert_eq!(error.status_code.as_u16(), 400);
    assert_eq!(error.api_error.param.as_deref(), Some("temperature"));
    let mut body = about(SUM, json!({}));
    body["model"] = json!("gpt-4o");
    let request: CreateChatCompletionRequest = typed(body);
    let error = refusal(client.chat().create(request).await);
    assert_eq!(error.api_error.code.as_deref(), Some("model_not_found"));
    let stranger = client_at("PONDER_KEYED_URL", "wrong");
    let error = refusal(stranger.models().list().await);
    assert_eq!(error.status_code.as_u16(), 401);
    let known = client_at("PONDER_KEYED_URL", &variable("PONDER_KEY"));
    assert!(known.models().list().await.is_ok());
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let client = client();
    let models = client.models().list().await.expect("models");
    assert_eq!(models.data.len(), 2);
    let model = client.models().retrieve("default").await.expect("a model");
    assert_eq!(model, models.data[0]);
}

#[tokio::test]
async fn a_text_is_continued() {
    let request = typed(json!({"model": "default", "prompt": "1 + 1 =", "max_tokens": 4}));
    let answer = client().completions().create(request).await;
    let answer = answer.expect("an answer");
    assert!(answer.usage.expect("usage").completion_tokens <= 4);
    assert_eq!(answer.choices.len(), 1);
}

#[tokio::test]
async fn a_model_for_text_makes_no_embeddings() {
    let request = typed(json!({"model": "default", "input": "hello"}));
    let error = refusal(client().embeddings().create(request).await);
    assert_eq!(error.api_error.param.as_deref(), Some("model"));
}
