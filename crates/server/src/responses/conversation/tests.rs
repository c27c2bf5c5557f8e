use ponder_engine::Message;
use serde_json::{Value, json};

use super::messages;
use crate::http::ApiError;
use crate::responses::input::{self, Item};

fn items(input: Value) -> Vec<Item> {
    input::read(input, &|_| None).expect("an input that can be read")
}

fn refused(input: Value) -> ApiError {
    input::read(input, &|_| None).expect_err("an input that cannot be read")
}

fn talk(instructions: Option<&str>, input: Value) -> Vec<Message> {
    messages(instructions, &items(input).iter().collect::<Vec<_>>(), 0).expect("a conversation")
}

fn roles(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.role.as_str())
        .collect()
}

#[test]
fn a_text_is_what_the_user_says() {
    let messages = talk(Some("Be brief."), json!("1 + 1?"));
    assert_eq!(
        messages,
        [
            Message::new("system", "Be brief."),
            Message::new("user", "1 + 1?")
        ]
    );
}

#[test]
fn thought_text_and_calls_of_a_turn_are_one_message() {
    let messages = talk(
        None,
        json!([
            {"role": "user", "content": [{"type": "input_text", "text": "Weather in Rome "}, {"type": "input_text", "text": "and Oslo?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Two calls."}], "encrypted_content": null},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary",
             "content": [{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{\"in\":\"Rome\"}"},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": "{\"in\":\"Oslo\"}"},
            {"type": "function_call_output", "call_id": "b", "output": "4 °C"},
            {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "21 °C"}]},
        ]),
    );
    assert_eq!(roles(&messages), ["user", "assistant", "tool", "tool"]);
    assert_eq!(messages[0].text(), "Weather in Rome and Oslo?");
    let turn = &messages[1];
    assert_eq!(turn.reasoning.as_deref(), Some("Two calls."));
    assert_eq!(turn.text(), "Let me look.");
    let ids: Vec<_> = turn
        .tool_calls
        .iter()
        .filter_map(|call| call.id.as_deref())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        turn.tool_calls[1].function.parsed_arguments(),
        json!({"in": "Oslo"})
    );
    assert_eq!(messages[2].tool_call_id.as_deref(), Some("b"));
    assert_eq!(messages[2].name.as_deref(), Some("weather"));
    assert_eq!(messages[3].text(), "21 °C");
}

#[test]
fn what_comes_after_an_answer_is_another_turn() {
    let messages = talk(
        None,
        json!([
            {"role": "assistant", "content": "One."},
            {"role": "assistant", "content": "Two."},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"role": "assistant", "content": "Three."},
            {"role": "user", "content": "Go on"},
        ]),
    );
    assert_eq!(
        roles(&messages),
        ["assistant", "assistant", "assistant", "user"]
    );
    assert_eq!(messages[2].reasoning.as_deref(), Some("Hm."));
    assert_eq!(messages[2].text(), "Three.");
}

#[test]
fn there_is_one_system_message_at_the_beginning() {
    let input = json!([
        {"role": "developer", "content": "Speak French."},
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "Now German."},
    ]);
    let messages = talk(Some("Be brief."), input);
    assert_eq!(roles(&messages), ["system", "user", "system"]);
    assert_eq!(messages[0].text(), "Be brief.\n\nSpeak French.");
}

#[test]
fn results_belong_to_calls() {
    let lost = items(json!([{"type": "function_call_output", "call_id": "x", "output": "1"}]));
    let error = messages(None, &lost.iter().collect::<Vec<_>>(), 0).expect_err("there is no call");
    assert_eq!(error.param.as_deref(), Some("input[0].call_id"));
    let mut known =
        items(json!([{"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}]));
    known.extend(lost);
    assert_eq!(
        roles(&messages(None, &known.iter().collect::<Vec<_>>(), 1).expect("a call")),
        ["assistant", "tool"]
    );
}

#[test]
fn refusals_name_the_field() {
    let cases = [
        (json!(7), "input"),
        (json!([]), "input"),
        (json!(["a"]), "input[0]"),
        (json!([{"role": "user"}]), "input[0].content"),
        (json!([{"role": "judge", "content": ""}]), "input[0].role"),
        (
            json!([{"role": "user", "content": "", "mood": 1}]),
            "input[0].mood",
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_image", "image_url": ""}]}]),
            "input[0].content[0].type",
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_text", "text": "", "x": 1}]}]),
            "input[0].content[0].x",
        ),
        (
            json!([{"type": "web_search_call", "id": "ws"}]),
            "input[0].type",
        ),
        (
            json!([{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]),
            "input[0].encrypted_content",
        ),
        (
            json!([{"type": "item_reference", "id": "msg_gone"}]),
            "input[0].id",
        ),
        (
            json!([{"type": "function_call", "call_id": "a", "name": "f"}]),
            "input[0].arguments",
        ),
        (
            json!([{"type": "function_call_output", "output": "1"}]),
            "input[0].call_id",
        ),
    ];
    for (input, param) in cases {
        let error = refused(input.clone());
        assert_eq!(error.param.as_deref(), Some(param), "{input}: {error:?}");
    }
}

#[test]
fn a_packed_thought_is_read() {
    let sealed = crate::responses::sealed::seal("Hm.");
    let input = json!([{"type": "reasoning", "summary": [], "encrypted_content": sealed}, {"role": "assistant", "content": "Yes."}]);
    assert_eq!(talk(None, input)[0].reasoning.as_deref(), Some("Hm."));
}

#[test]
fn a_reference_is_what_it_names() {
    let kept = Item::Message {
        id: "msg_1".to_owned(),
        role: "assistant".to_owned(),
        texts: vec!["Four.".to_owned()],
    };
    let find = |id: &str| (id == "msg_1").then(|| kept.clone());
    let read = input::read(json!([{"type": "item_reference", "id": "msg_1"}]), &find);
    assert_eq!(read, Ok(vec![kept.clone()]));
}

#[test]
fn what_is_listed_can_be_sent_again() {
    let sent = items(json!([
        {"role": "user", "content": "a"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "c", "annotations": []}]},
        {"type": "function_call", "call_id": "d", "name": "e", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "d", "output": "f"},
    ]));
    let listed: Vec<Value> = sent.iter().map(Item::to_json).collect();
    assert_eq!(items(Value::Array(listed)), sent);
}
