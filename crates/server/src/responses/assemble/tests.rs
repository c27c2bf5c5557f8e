use ponder_engine::{FunctionCall, Usage};
use serde_json::json;

use super::*;
use crate::responses::object::Asked;

fn assembler(wanted: Wanted) -> Assembler {
    let asked = Asked {
        model: "default".to_owned(),
        ..Asked::default()
    };
    let response = Response::new("resp_1".to_owned(), 1, Status::InProgress, asked);
    Assembler::new(response, wanted)
}

fn done(finish_reason: FinishReason) -> Event {
    Event::Done(Summary {
        finish_reason,
        reasoning_ended_by: Some(ReasoningEnd::Budget),
        usage: Usage {
            prompt_tokens: 10,
            cached_tokens: 4,
            completion_tokens: 7,
            reasoning_tokens: 5,
            probe_tokens: 0,
        },
        timings: Default::default(),
        confidence: 0.0,
    })
}

fn call(name: &str, arguments: Value) -> Event {
    Event::ToolCall(ToolCall {
        id: Some(format!("call_{name}")),
        kind: "function".to_owned(),
        function: FunctionCall {
            name: name.to_owned(),
            arguments,
        },
    })
}

/// What is streamed of these events, start included.
fn stream(wanted: Wanted, events: Vec<Event>) -> Vec<Value> {
    let mut assembler = assembler(wanted);
    assembler.start();
    for event in events {
        assert!(!assembler.is_over(), "nothing follows the end");
        assembler.push(event, 9);
    }
    let events = assembler.take_events();
    events
        .iter()
        .map(|event| serde_json::to_value(event).expect("events are JSON"))
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .map(|kind| kind.strip_prefix("response.").expect("of a response"))
        .collect()
}

fn reasoning(text: &str) -> Event {
    Event::Reasoning(text.to_owned())
}

fn content(text: &str) -> Event {
    Event::Content(text.to_owned())
}

#[test]
fn a_thought_and_an_answer_come_in_the_specified_order() {
    let events = stream(
        Wanted::default(),
        vec![
            Event::PromptProgress {
                done: 1,
                total: 1,
                cached: 0,
            },
            reasoning("2+"),
            reasoning("2"),
            content("Fo"),
            content("ur"),
            done(FinishReason::Stop),
        ],
    );
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], i);
    }
    // All events of an item name it, and its place.
    for (range, index) in [(2..9, 0), (9..16, 1)] {
        let id = &events[range.start]["item"]["id"];
        for event in &events[range] {
            assert_eq!(event["output_index"], index);
            let named = event.get("item_id").unwrap_or(&event["item"]["id"]);
            assert_eq!(named, id);
        }
    }
    assert_eq!(events[2]["item"]["status"], "in_progress");
    assert_eq!(
        events[3]["part"],
        json!({"type": "reasoning_text", "text": ""})
    );
    assert_eq!(events[6]["text"], "2+2");
    assert_eq!(events[11]["logprobs"], json!([]));
    let part = json!({"type": "output_text", "text": "Four", "annotations": [], "logprobs": []});
    assert_eq!(events[14]["part"], part);
    let response = &events[16]["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["completed_at"], 9);
    assert_eq!(
        response["output"],
        json!([events[8]["item"], events[15]["item"]])
    );
    assert_eq!(response["reasoning_ended_by"], "budget");
    let usage = json!({
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 17,
    });
    assert_eq!(response["usage"], usage);
}

#[test]
fn calls_are_items_of_their_own() {
    let events = stream(
        Wanted::default(),
        vec![
            reasoning("Look."),
            call("a", json!({"x": 1})),
            call("b", json!("{\"y\": 2}")),
            done(FinishReason::ToolCalls),
        ],
    );
    let expected = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ];
    assert_eq!(kinds(&events)[8..12], expected);
    assert_eq!(kinds(&events)[12..16], expected);
    assert_eq!(events[8]["item"]["arguments"], "");
    assert_eq!(events[10]["arguments"], "{\"x\":1}");
    assert_eq!(events[10]["name"], "a");
    assert_eq!(events[15]["item"]["arguments"], "{\"y\": 2}");
    let response = &events[16]["response"];
    assert_eq!(response["status"], "completed");
    let kinds: Vec<_> = response["output"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["type"])
        .collect();
    assert_eq!(kinds, ["reasoning", "function_call", "function_call"]);
    assert_eq!(response["output"][2]["call_id"], "call_b");
}

#[test]
fn what_is_cut_is_incomplete_and_says_why() {
    for (finish, reason) in [
        (FinishReason::Length, "max_output_tokens"),
        (FinishReason::Deadline, "deadline"),
        (FinishReason::Loop, "loop"),
    ] {
        let events = stream(Wanted::default(), vec![content("Fo"), done(finish)]);
        let last = events.last().expect("events");
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["status"], "incomplete");
        assert_eq!(
            last["response"]["incomplete_details"],
            json!({"reason": reason})
        );
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
        assert_eq!(last["response"]["completed_at"], Value::Null);
    }
    let events = stream(
        Wanted::default(),
        vec![reasoning("Hm"), done(FinishReason::Cancelled)],
    );
    let response = &events.last().expect("events")["response"];
    assert_eq!(response["status"], "cancelled");
    assert_eq!(response["incomplete_details"], Value::Null);
}

#[test]
fn there_is_always_a_message() {
    let events = stream(
        Wanted::default(),
        vec![reasoning("Hm"), done(FinishReason::Stop)],
    );
    let output = events.last().expect("events")["response"]["output"].clone();
    assert_eq!(output[1]["type"], "message");
    assert_eq!(output[1]["content"][0]["text"], "");
}

#[test]
fn an_error_ends_it() {
    let mut assembler = assembler(Wanted::default());
    assembler.start();
    assembler.push(content("Fo"), 9);
    assembler.fail(Failure {
        code: "server_error",
        message: "the model failed".to_owned(),
    });
    assert!(assembler.is_over());
    let events: Vec<Value> = assembler
        .take_events()
        .iter()
        .map(|event| json!(event))
        .collect();
    let last = events.last().expect("events");
    assert_eq!(last["type"], "response.failed");
    assert_eq!(
        last["response"]["error"],
        json!({"code": "server_error", "message": "the model failed"})
    );
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Fo");
}

#[test]
fn log_probabilities_come_with_the_text_of_their_tokens() {
    let token = |bytes: &[u8], is_reasoning| {
        let token = TokenChance {
            id: 1,
            bytes: bytes.to_vec(),
            logprob: -0.5,
        };
        Event::Token(TokenReport {
            top: vec![token.clone()],
            token,
            is_reasoning,
        })
    };
    let wanted = Wanted {
        logprobs: true,
        ..Wanted::default()
    };
    let events = vec![
        token(b"thought", true),
        reasoning("thought"),
        token(b"\xc3", false),
        token(b"\xa9", false),
        content("é"),
        token(b"!", false),
        content("!"),
        token(b"<end>", false),
        done(FinishReason::Stop),
    ];
    let events = stream(wanted, events);
    let deltas: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .collect();
    let bytes = |event: &Value| -> Vec<Value> {
        let logprobs = event["logprobs"].as_array().expect("a list");
        logprobs
            .iter()
            .map(|token| token["bytes"].clone())
            .collect()
    };
    assert_eq!(bytes(deltas[0]), [json!([0xc3]), json!([0xa9])]);
    assert_eq!(bytes(deltas[1]), [json!(b"!")]);
    let last = events.last().expect("events");
    let part = &last["response"]["output"][1]["content"][0];
    assert_eq!(part["logprobs"].as_array().expect("a list").len(), 3);
    assert_eq!(part["logprobs"][2]["top_logprobs"][0]["token"], "!");
}

#[test]
fn what_waits_is_queued_until_it_begins() {
    let asked = Asked::default();
    let response = Response::new("resp_1".to_owned(), 1, Status::Queued, asked);
    let mut assembler = Assembler::new(response, Wanted::default());
    assembler.start();
    assert_eq!(assembler.response().status, Status::Queued);
    assembler.push(content("a"), 9);
    assert_eq!(assembler.response().status, Status::InProgress);
    let events: Vec<Value> = assembler
        .take_events()
        .iter()
        .map(|event| json!(event))
        .collect();
    assert_eq!(
        kinds(&events)[..4],
        ["created", "queued", "in_progress", "output_item.added"]
    );
}

#[test]
fn progress_comes_on_request() {
    let progress = || Event::PromptProgress {
        done: 3,
        total: 4,
        cached: 1,
    };
    let wanted = Wanted {
        progress: true,
        ..Wanted::default()
    };
    let events = stream(wanted, vec![progress()]);
    assert_eq!(events[2]["type"], "response.prompt_progress");
    assert_eq!(events[2]["done"], 3);
    assert_eq!(stream(Wanted::default(), vec![progress()]).len(), 2);
}

#[test]
fn thoughts_are_packed_on_request() {
    let wanted = Wanted {
        sealed: true,
        ..Wanted::default()
    };
    let events = stream(
        wanted,
        vec![reasoning("Hm"), content("4"), done(FinishReason::Stop)],
    );
    let output = &events.last().expect("events")["response"]["output"];
    assert_eq!(output[0]["encrypted_content"], sealed::seal("Hm"));
    assert_eq!(output[1].get("encrypted_content"), None);
    let open = stream(
        Wanted::default(),
        vec![reasoning("Hm"), done(FinishReason::Stop)],
    );
    assert_eq!(
        open.last().expect("events")["response"]["output"][0].get("encrypted_content"),
        None
    );
}

#[test]
fn every_field_of_a_response_is_there() {
    let required = [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ];
    let response = json!(assembler(Wanted::default()).response());
    for name in required {
        assert!(response.get(name).is_some(), "{name}");
    }
}
