//! Calls by chance: whatever a grammar lets through is read back as a call that fits its tool.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::tests::{Said, family, say};
use crate::{EngineError, FinishReason, Format, Request, ToolChoice, load::TextParts};

/// Each family with the end of its prompt and tokens that its vocabularies have.
const FAMILIES: [(&str, &str, &[&str]); 16] = [
    (
        "hermes",
        "",
        &["<tool_call>", "</tool_call>", "<think>", "</think>"],
    ),
    ("hermes", "<think>\n", &[]),
    ("smollm3", "", &[]),
    ("apriel", "", &[]),
    ("granite", "", &["<|tool_call|>"]),
    ("llama3", "", &["<|python_tag|>", "<|eot_id|>"]),
    (
        "mistral",
        "",
        &["[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"],
    ),
    ("mistral", "", &["[TOOL_CALLS]", "[THINK]", "[/THINK]"]),
    (
        "function_xml",
        "",
        &["<tool_call>", "</tool_call>", "<think>", "</think>"],
    ),
    (
        "seed",
        "<seed:think>",
        &[
            "<seed:tool_call>",
            "</seed:tool_call>",
            "<seed:think>",
            "</seed:think>",
        ],
    ),
    (
        "glm",
        "",
        &[
            "<tool_call>",
            "</tool_call>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
        ],
    ),
    (
        "kimi",
        "",
        &[
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
        ],
    ),
    ("lfm2", "", &["<|tool_call_start|>", "<|tool_call_end|>"]),
    (
        "gemma4",
        "",
        &[
            "<|channel>",
            "<channel|>",
            "<|tool_call>",
            "<tool_call|>",
            "<|\"|>",
        ],
    ),
    (
        "harmony",
        "<|start|>assistant",
        &[
            "<|start|>",
            "<|channel|>",
            "<|message|>",
            "<|end|>",
            "<|return|>",
            "<|call|>",
            "<|constrain|>",
        ],
    ),
    (
        "atem",
        "<|start|>assistant",
        &["<|start|>", "<|message|>", "<|eom|>", "<|eot|>"],
    ),
];

fn tools() -> Vec<Value> {
    vec![
        json!({"type": "function", "function": {
            "name": "get_weather",
            "strict": true,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "minLength": 1, "maxLength": 8},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                    "detail": {"type": "boolean"},
                },
                "required": ["city", "days"],
                "additionalProperties": false
            }
        }}),
        json!({"type": "function", "function": {
            "name": "find",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "where": {"$ref": "#/$defs/place"},
                    "more": {},
                },
                "required": ["query"],
                "additionalProperties": false,
                "$defs": {"place": {
                    "type": "object",
                    "properties": {
                        "x": {"type": "number"},
                        "name": {"type": "string"},
                        "inner": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/place"}]},
                    },
                    "required": ["x"],
                    "additionalProperties": false
                }}
            }
        }}),
        json!({"type": "function", "function": {"name": "stop"}}),
    ]
}

/// Sees that each call is one of a tool, with arguments that fit it.
#[track_caller]
fn check(said: &Said, tools: &[Value], what: &str) {
    for (name, arguments) in &said.calls {
        let tool = tools.iter().find(|tool| tool["function"]["name"] == **name);
        let tool = tool.unwrap_or_else(|| panic!("{what}: {said:?}"));
        let closed = json!({"type": "object", "additionalProperties": false});
        let schema = tool["function"].get("parameters").unwrap_or(&closed);
        let validator = jsonschema::validator_for(schema).expect("a schema");
        assert!(validator.is_valid(arguments), "{what}: {said:?}");
    }
}

fn with(name: &str, end: &str, tokens: &[&str]) -> Arc<TextParts> {
    family(name, end, tokens)
}

#[test]
fn calls_that_must_come_are_read_back() {
    let tools = tools();
    let mut n_calls = 0;
    for (name, end, tokens) in FAMILIES {
        let mut n_whole = 0;
        for tokens in [tokens, &[]] {
            let text = with(name, end, tokens);
            for one_tool_call in [true, false] {
                let request = Request {
                    tools: tools.clone(),
                    tool_choice: ToolChoice::Required,
                    one_tool_call,
                    max_tokens: Some(700),
                    ..Request::default()
                };
                for seed in 0..6 {
                    let said = say(&text, &request, seed);
                    let what = format!("{name} {tokens:?} {one_tool_call} {seed}");
                    if said.end == FinishReason::Length {
                        // The last call may be cut.
                        continue;
                    }
                    check(&said, &tools, &what);
                    assert_eq!(said.end, FinishReason::ToolCalls, "{what}: {said:?}");
                    assert_eq!(said.content, "", "{what}: {said:?}");
                    let n = said.calls.len();
                    assert!(n == 1 || !one_tool_call, "{what}: {said:?}");
                    n_calls += n;
                    n_whole += 1;
                }
            }
        }
        assert!(n_whole >= 6, "{name}: {n_whole}");
    }
    assert!(n_calls > 350, "{n_calls}");
}

#[test]
fn calls_that_may_come_are_read_back() {
    let tools = tools();
    for (name, end, tokens) in FAMILIES {
        let text = with(name, end, tokens);
        let format = text.format.tools.as_ref();
        let open = format.map_or("\0", |tools| tools.open.as_str()).to_owned();
        let mut n_calls = 0;
        for allowed in [&[][..], &["find".to_owned()]] {
            let request = Request {
                tools: tools.clone(),
                allowed_tools: allowed.to_vec(),
                max_tokens: Some(500),
                ..Request::default()
            };
            for seed in 0..12 {
                let said = say(&text, &request, 100 + seed);
                let what = format!("{name} {tokens:?} {allowed:?} {seed}");
                if said.end == FinishReason::Length {
                    continue;
                }
                check(&said, &tools, &what);
                let is_allowed = |(name, _): &(String, Value)| allowed.contains(name);
                assert!(
                    allowed.is_empty() || said.calls.iter().all(is_allowed),
                    "{what}"
                );
                n_calls += said.calls.len();
                assert!(!said.content.contains(&open), "{what}: {said:?}");
            }
        }
        assert!(n_calls > 0 || tokens.is_empty(), "{name} calls nothing");
    }
}

#[test]
fn none_is_called_where_none_may_be() {
    for (name, end, tokens) in FAMILIES {
        let text = with(name, end, tokens);
        let format = text.format.tools.as_ref();
        let open = format.map_or("\0", |tools| tools.open.as_str()).to_owned();
        let request = Request {
            tools: tools(),
            tool_choice: ToolChoice::None,
            max_tokens: Some(300),
            ..Request::default()
        };
        for seed in 0..6 {
            let said = say(&text, &request, seed);
            assert_eq!(said.calls, [], "{name}");
            assert!(!said.content.contains(&open), "{name}: {said:?}");
        }
    }
}

#[test]
fn an_answer_is_calls_or_the_document() {
    let tools = tools();
    let schema = json!({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": false});
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (name, end, tokens) in FAMILIES {
        let text = with(name, end, tokens);
        let request = Request {
            tools: tools.clone(),
            format: Format::JsonSchema(schema.clone()),
            max_tokens: Some(700),
            ..Request::default()
        };
        let (mut n_calls, mut n_documents) = (0, 0);
        for seed in 0..24 {
            let said = say(&text, &request, seed);
            match said.end {
                FinishReason::Length => {}
                FinishReason::ToolCalls => {
                    check(&said, &tools, name);
                    assert_eq!(said.content, "", "{name}: {said:?}");
                    n_calls += 1;
                }
                _ => {
                    let document: Value = serde_json::from_str(&said.content)
                        .unwrap_or_else(|_| panic!("{name}: {said:?}"));
                    assert!(validator.is_valid(&document), "{name}: {said:?}");
                    n_documents += 1;
                }
            }
        }
        assert!(
            n_calls > 0 && n_documents > 0,
            "{name}: {n_calls} {n_documents}"
        );
    }
}

#[test]
fn tools_that_cannot_be_kept_to_are_refused() {
    let text = with("hermes", "", &[]);
    let refusal = |text: &TextParts, request: Request| -> String {
        let request = super::super::tests::ask(&request, 1);
        let error = text.prepare(request, 4096).expect_err("a refusal");
        assert!(matches!(error, EngineError::Format(_)), "{error}");
        error.to_string()
    };
    let tool = |strict: bool, parameters: Value| json!({"type": "function", "function": {"name": "f", "strict": strict, "parameters": parameters}});
    let asking = |tools: Vec<Value>| Request {
        tools,
        ..Request::default()
    };
    let odd = json!({"type": "object", "properties": {"a": {"type": "string", "not": {}}}});
    let error = refusal(&text, asking(vec![tool(true, odd.clone())]));
    assert!(
        error.contains("tool `f`") && error.contains("`not` at `#/properties/a`"),
        "{error}"
    );
    let request = super::super::tests::ask(&asking(vec![tool(false, odd)]), 1);
    assert!(text.prepare(request, 4096).is_ok());
    let unknown = Request {
        allowed_tools: vec!["g".to_owned()],
        ..asking(tools())
    };
    assert!(refusal(&text, unknown).contains("`g` is allowed, but not declared"));
    let required = Request {
        tool_choice: ToolChoice::Required,
        ..Request::default()
    };
    assert!(refusal(&text, required.clone()).contains("no tool is declared"));
    let silent = with("think", "", &[]);
    let required = Request {
        tools: tools(),
        ..required
    };
    assert!(refusal(&silent, required).contains("no known way to call tools"));
    // Where values are plain text, not all that a schema says can be kept to.
    let pattern = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}, "additionalProperties": false});
    let tagged = with("function_xml", "", &[]);
    let error = refusal(&tagged, asking(vec![tool(true, pattern.clone())]));
    assert!(error.contains("`pattern` of `a`"), "{error}");
    let request = super::super::tests::ask(&asking(vec![tool(true, pattern)]), 1);
    assert!(text.prepare(request, 4096).is_ok());
}
