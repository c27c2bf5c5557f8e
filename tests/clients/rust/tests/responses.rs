//! Responses, files and batches.

use std::time::Duration;

use async_openai::types::InputSource;
use async_openai::types::batches::{BatchRequestOutput, BatchStatus};
use async_openai::types::files::{CreateFileRequestArgs, FileInput, FilePurpose};
use async_openai::types::responses::{
    CreateResponse, CreateResponseArgs, OutputItem, ResponseStreamEvent, Status,
};
use futures_util::StreamExt;
use ponder_clients::{ANSWER, CALLER, SUM, client, refusal, typed};
use serde_json::{Value, json};

#[tokio::test]
async fn a_response_holds_its_thought_and_goes_on() {
    let client = client();
    let request = CreateResponseArgs::default()
        .model("default")
        .temperature(0.0)
        .input(SUM)
        .build()
        .expect("a request");
    let first = client
        .responses()
        .create(request)
        .await
        .expect("a response");
    assert_eq!(first.status, Status::Completed);
    assert_eq!(first.output_text().as_deref(), Some(ANSWER));
    assert!(matches!(first.output[0], OutputItem::Reasoning(_)));
    let usage = first.usage.as_ref().expect("usage");
    assert!(usage.output_tokens_details.reasoning_tokens > 0);
    let request = CreateResponseArgs::default()
        .model("default")
        .temperature(0.0)
        .input("What is 20 + 3?")
        .previous_response_id(first.id.clone())
        .build()
        .expect("a request");
    let second = client
        .responses()
        .create(request)
        .await
        .expect("a response");
    assert!(second.output_text().expect("text").contains("23"));
    let kept = client
        .responses()
        .retrieve(&first.id)
        .await
        .expect("a response");
    assert_eq!(kept.output_text().as_deref(), Some(ANSWER));
    let items = client.responses().list_input_items(&first.id).await;
    assert_eq!(items.expect("items").data.len(), 1);
    let gone = client.responses().delete(&first.id).await.expect("deleted");
    assert!(gone.deleted);
    let error = refusal(client.responses().retrieve(&first.id).await);
    assert_eq!(error.status_code.as_u16(), 404);
}

#[tokio::test]
async fn events_have_the_types_of_the_client() {
    let request: CreateResponse =
        typed(json!({"model": "default", "input": SUM, "stream": true, "temperature": 0}));
    let client = client();
    let mut stream = client
        .responses()
        .create_stream(request)
        .await
        .expect("a stream");
    let (mut text, mut thought, mut last) = (String::new(), String::new(), None);
    while let Some(event) = stream.next().await {
        match event.expect("an event") {
            ResponseStreamEvent::ResponseOutputTextDelta(event) => text += &event.delta,
            ResponseStreamEvent::ResponseReasoningTextDelta(event) => thought += &event.delta,
            ResponseStreamEvent::ResponseCompleted(event) => last = Some(event.response),
            _ => {}
        }
    }
    assert_eq!(text, ANSWER);
    assert!(thought.contains("12+5=17"));
    assert_eq!(last.expect("an end").output_text().as_deref(), Some(ANSWER));
}

#[tokio::test]
async fn a_call_its_result_and_the_answer() {
    let lamp = json!({
        "type": "function",
        "name": "lamp_state",
        "strict": true,
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string", "enum": ["kitchen", "hall"]}},
            "required": ["room"],
            "additionalProperties": false,
        },
    });
    let client = client();
    let request: CreateResponse = typed(json!({
        "model": CALLER,
        "reasoning": {"effort": "low"},
        "input": "Is the lamp on?",
        "tools": [lamp],
        "tool_choice": {"type": "function", "name": "lamp_state"},
    }));
    let first = client
        .responses()
        .create(request)
        .await
        .expect("a response");
    let call = first.output.iter().find_map(|item| match item {
        OutputItem::FunctionCall(call) => Some(call),
        _ => None,
    });
    let call = call.expect("a call");
    let arguments: Value = serde_json::from_str(&call.arguments).expect("JSON");
    assert!(arguments["room"].is_string());
    let request: CreateResponse = typed(json!({
        "model": CALLER,
        "previous_response_id": first.id,
        "input": [{"type": "function_call_output", "call_id": call.call_id, "output": "on"}],
        "tools": [lamp],
        "tool_choice": "none",
    }));
    let second = client
        .responses()
        .create(request)
        .await
        .expect("a response");
    assert!(second.output_text().is_some());
}

#[tokio::test]
async fn a_response_in_the_background_is_cancelled() {
    let client = client();
    let endless = json!({
        "model": "default", "input": SUM, "background": true, "temperature": 1,
        "thinking": {"min_tokens": 100_000, "loop_guard": false},
    });
    let response: Value = client
        .responses()
        .create_byot(endless)
        .await
        .expect("a response");
    let id = response["id"].as_str().expect("an id");
    let over = client.responses().cancel(id).await.expect("a response");
    assert_eq!(over.status, Status::Cancelled);
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line() {
    let line = |number: usize| {
        let message = json!({"role": "user", "content": format!("What is 10 + {number}?")});
        let body = json!({"model": "default", "messages": [message], "temperature": 0});
        json!({"custom_id": number.to_string(), "method": "POST", "url": "/v1/chat/completions", "body": body})
            .to_string()
    };
    let lines: Vec<String> = (1..=3).map(line).collect();
    let source = InputSource::Bytes {
        filename: "sums.jsonl".to_owned(),
        bytes: lines.join("\n").into(),
    };
    let client = client();
    let upload = CreateFileRequestArgs::default()
        .file(FileInput { source })
        .purpose(FilePurpose::Batch)
        .build()
        .expect("a request");
    let file = client.files().create(upload).await.expect("a file");
    let request = typed(json!({
        "input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }));
    let mut batch = client.batches().create(request).await.expect("a batch");
    for _ in 0..400 {
        if batch.status == BatchStatus::Completed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        batch = client.batches().retrieve(&batch.id).await.expect("a batch");
    }
    let output = batch.output_file_id.expect("an output");
    let content = client.files().content(&output).await.expect("content");
    let text = String::from_utf8(content.to_vec()).expect("UTF-8");
    let read = |line| serde_json::from_str::<BatchRequestOutput>(line).expect("a line");
    let answers: Vec<BatchRequestOutput> = text.lines().map(read).collect();
    assert_eq!(answers.len(), 3);
    let second = answers.iter().find(|answer| answer.custom_id == "2");
    let body = &second
        .and_then(|answer| answer.response.as_ref())
        .expect("a response")
        .body;
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "The answer is 12."
    );
    let listed = client.files().list().await.expect("files");
    assert!(listed.data.iter().any(|listed| listed.id == file.id));
    assert!(
        client
            .files()
            .delete(&file.id)
            .await
            .expect("deleted")
            .deleted
    );
}
