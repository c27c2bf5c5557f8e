//! Answers in a format: by the model in the program, and by chance, where logits say nothing.

use std::sync::Arc;
use std::time::Instant;

use ponder_effort::SamplingOverrides;
use ponder_tokenizer::{GgufVocab, Tokenizer, chat::Message, split::ChatFormat};
use serde_json::{Value, json};

use super::*;
use crate::{
    Effort, Event, FinishReason, answer::Answer, load, occupancy::Ticket, outlet,
    sampling::SamplingDefaults, worker::Worker,
};

/// What an answer came to.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) reasoning: String,
    pub(super) content: String,
    pub(super) calls: Vec<(String, Value)>,
    pub(super) end: FinishReason,
}

/// Numbers by chance, the same for the same seed.
#[derive(Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    }

    /// Between 0 and 1.
    pub(super) fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// The vocabulary of the model in the program.
pub(super) fn vocabulary() -> GgufVocab {
    let checkpoint = load::Place::Embedded.open().expect("the embedded model");
    crate::gguf_vocab(checkpoint.gguf().expect("metadata")).expect("a vocabulary")
}

pub(super) fn parts(vocabulary: GgufVocab) -> TextParts {
    let tokenizer = Tokenizer::from_gguf(vocabulary).expect("a tokenizer");
    // Logits may be wider than the vocabulary.
    let vocab_size = tokenizer.vocab_size() + 7;
    let text = TextParts::new(tokenizer, SamplingDefaults::default(), vocab_size);
    text.expect("its template")
}

/// The model in the program without its weights.
fn text() -> Arc<TextParts> {
    Arc::new(parts(vocabulary()))
}

/// The same vocabulary with tokens of another family, whose prompts end like this.
pub(super) fn family(name: &str, end: &str, tokens: &[&str]) -> Arc<TextParts> {
    let mut vocabulary = vocabulary();
    for token in tokens {
        if vocabulary.tokens.iter().any(|known| known == token) {
            continue;
        }
        vocabulary.tokens.push((*token).to_owned());
        vocabulary
            .types
            .push(if token.contains('|') { 3 } else { 4 });
        if !vocabulary.scores.is_empty() {
            vocabulary.scores.push(0.0);
        }
    }
    vocabulary.chat_template = Some(format!("{{{{ messages[0].content }}}}\n{end}"));
    let mut text = parts(vocabulary);
    text.format = ChatFormat::by_name(name).expect("a format");
    let ends = text.format.stop.iter();
    let ends: Vec<u32> = ends
        .filter_map(|piece| text.tokenizer.token_id(piece))
        .collect();
    text.stop_tokens.extend(ends);
    Arc::new(text)
}

/// How logits come about by chance. Texts end sooner or later: what closes something is likelier
/// the longer the answer is.
pub(super) fn logits(
    text: &TextParts,
    n_tokens: usize,
    with_markers: bool,
    chance: &mut Chance,
) -> Vec<f32> {
    let grammars = text.grammars().expect("grammars");
    let rate = n_tokens as f32 / 24.0;
    let marks_bonus = if with_markers { 4.5 } else { 0.0 };
    let logit = |(id, bytes): (u32, &[u8])| {
        let closes = bytes.iter().any(|byte| b"\"]})>".contains(byte)) && bytes.len() < 4;
        let marks = grammars
            .words
            .special(std::str::from_utf8(bytes).unwrap_or_default());
        let ends = text.stop_tokens.contains(&id);
        // Of Gumbel's distribution, so that the largest is drawn by chance.
        let noise = -(-(chance.share().max(1e-6)).ln()).ln();
        match bytes.is_empty() {
            // A thought may hold any token that is one.
            true => -100.0,
            false if closes || ends => noise + 3.0 + rate,
            // Markers come now and then.
            false => noise + if marks.is_some() { marks_bonus } else { 0.0 },
        }
    };
    grammars.words.iter().map(logit).collect()
}

pub(super) fn ask(request: &Request, seed: u64) -> Request {
    Request {
        messages: vec![Message::new("user", "Say something.")],
        sampling: SamplingOverrides {
            seed: Some(seed),
            temperature: Some(1.0),
            top_k: Some(0),
            top_p: Some(1.0),
            min_p: Some(0.0),
            ..SamplingOverrides::default()
        },
        ..request.clone()
    }
}

/// An answer to a request, drawn from logits by chance.
pub(super) fn say(text: &Arc<TextParts>, request: &Request, seed: u64) -> Said {
    let prepared = text.prepare(ask(request, seed), 4096).expect("a request");
    let (outlet, inlet) = outlet::channel(&Worker::start(|_| ()));
    let ends = (outlet, Ticket::default());
    let mut answer = Answer::new(text, &prepared, ends, Instant::now(), 0.0);
    let mut chance = Chance(seed);
    let mut events = Vec::new();
    let mut end = None;
    for n_tokens in 0.. {
        let mut row = logits(text, n_tokens, !seed.is_multiple_of(3), &mut chance);
        let drawn = answer.draw(&mut row).expect("a token");
        if let Some(reason) = drawn.end {
            answer.finish(Ok(reason));
            break;
        }
        assert!(n_tokens < 5_000, "it ends");
    }
    while let Some(event) = inlet.recv() {
        events.push(event.expect("an event"));
    }
    let mut said = (String::new(), String::new(), Vec::new());
    for event in events {
        match event {
            Event::Reasoning(text) => said.0 += &text,
            Event::Content(text) => said.1 += &text,
            Event::ToolCall(call) => {
                let arguments = call.function.arguments.as_str().expect("a text").to_owned();
                let arguments = serde_json::from_str(&arguments).expect("JSON");
                said.2.push((call.function.name, arguments));
            }
            Event::Done(summary) => end = Some(summary.finish_reason),
            _ => {}
        }
    }
    Said {
        reasoning: said.0,
        content: said.1,
        calls: said.2,
        end: end.expect("an end"),
    }
}

pub(super) fn in_format(format: Format) -> Request {
    Request {
        format,
        max_tokens: Some(600),
        ..Request::default()
    }
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b", 3, null]}, "maxItems": 3},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
            "score": {"type": "number"},
            "when": {"type": "string", "format": "date"},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": false
    })
}

#[test]
fn documents_by_chance_are_valid() {
    let text = text();
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut n_whole = 0;
    for effort in [Effort::None, Effort::Low] {
        let request = Request {
            effort: Some(effort),
            ..in_format(Format::JsonSchema(schema.clone()))
        };
        for seed in 0..60 {
            let said = say(&text, &request, seed);
            if said.end == FinishReason::Length {
                continue;
            }
            assert_eq!(said.end, FinishReason::Stop, "{said:?}");
            let document: Value = serde_json::from_str(&said.content).expect(&said.content);
            assert!(validator.is_valid(&document), "{said:?}");
            // Texts in a document have no line ends, and between its parts there are no empty lines.
            let is_empty = |line: &str| line.trim().is_empty();
            assert!(!said.content.lines().any(is_empty), "{said:?}");
            assert!(
                said.content.starts_with('{') && said.calls.is_empty(),
                "{said:?}"
            );
            // A prompt that closes the thought does not keep the model from another.
            let may_think = effort != Effort::None;
            assert!(may_think || said.reasoning.is_empty(), "{said:?}");
            n_whole += 1;
        }
    }
    assert!(n_whole > 90, "{n_whole}");
}

#[test]
fn behind_a_raw_prompt_the_document_begins_at_once() {
    let text = family(
        "harmony",
        "<|start|>assistant",
        &["<|start|>", "<|message|>"],
    );
    for seed in 0..10 {
        let request = Request {
            raw_prompt: Some(crate::RawPrompt::Text("The numbers: ".to_owned())),
            ..in_format(Format::Regex("[0-9]{3}(,[0-9]{3}){0,9}".to_owned()))
        };
        let said = say(&text, &request, seed);
        let is_number = |part: &str| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        assert_eq!(said.end, FinishReason::Stop);
        assert!(said.content.split(',').all(is_number), "{said:?}");
    }
}

#[test]
fn objects_expressions_and_grammars_are_kept_to() {
    let text = text();
    for seed in 0..30 {
        let said = say(&text, &in_format(Format::JsonObject), seed);
        if said.end == FinishReason::Stop {
            let document: Value = serde_json::from_str(&said.content).expect(&said.content);
            assert!(document.is_object());
        }
        let said = say(
            &text,
            &in_format(Format::Regex("\n+[a-c]{2,4}\\d?".to_owned())),
            seed,
        );
        let letters = said.content.trim_start_matches('\n');
        assert!(letters.len() < said.content.len(), "{said:?}");
        let letters = letters.trim_end_matches(char::is_numeric);
        assert!((2..=4).contains(&letters.len()), "{said:?}");
        assert!(
            letters.bytes().all(|byte| b"abc".contains(&byte)),
            "{said:?}"
        );
        let grammar = "start: \"<think>\" WORD (\",\" WORD)* \"</think>\"\nWORD: /[xyz]+/";
        let said = say(&text, &in_format(Format::Grammar(grammar.to_owned())), seed);
        if said.end == FinishReason::Length {
            continue;
        }
        let inner = said.content.strip_prefix("<think>").expect(&said.content);
        let inner = inner.strip_suffix("</think>").expect(&said.content);
        assert!(
            inner.split(',').all(|word| {
                !word.is_empty() && word.bytes().all(|byte| b"xyz".contains(&byte))
            })
        );
    }
}

#[test]
fn the_model_in_the_program_answers_in_a_format() {
    let engine = crate::Engine::load("default", &crate::LoadOptions::default(), &mut |_| {});
    let engine = engine.expect("the model");
    let schema = json!({
        "type": "object",
        "properties": {"answer": {"type": "integer"}, "sure": {"type": "boolean"}},
        "required": ["answer", "sure"],
        "additionalProperties": false
    });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (seed, think_tokens) in [(1, None), (2, Some(12)), (3, Some(0)), (4, Some(40))] {
        let request = Request {
            messages: vec![Message::new("user", "What is 17 + 25?")],
            format: Format::JsonSchema(schema.clone()),
            effort_overrides: crate::EffortOverrides {
                think_tokens,
                ..Default::default()
            },
            sampling: SamplingOverrides {
                seed: Some(seed),
                ..SamplingOverrides::default()
            },
            ..Request::default()
        };
        for n in [1, 3] {
            for answer in engine.generate_many(request.clone(), n).expect("a request") {
                let (mut content, mut end) = (String::new(), None);
                for event in answer {
                    match event.expect("an event") {
                        Event::Content(text) => content += &text,
                        Event::Done(summary) => end = Some(summary),
                        _ => {}
                    }
                }
                let end = end.expect("an end");
                assert_eq!(
                    end.finish_reason,
                    FinishReason::Stop,
                    "{think_tokens:?} {n} {content:?} {end:?}"
                );
                let document: Value = serde_json::from_str(&content).expect(&content);
                assert!(validator.is_valid(&document), "{content}");
                let is_free = think_tokens != Some(0);
                assert_eq!(end.usage.reasoning_tokens > 0, is_free, "{end:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_promised_is_refused() {
    let text = text();
    for (format, words) in [
        (Format::Regex("a(".to_owned()), "regular expression"),
        (Format::Regex("(?=a)b".to_owned()), "regular expression"),
        (Format::Grammar("start: WORD".to_owned()), "WORD"),
        (Format::Grammar(String::new()), "grammar"),
        (
            Format::JsonSchema(json!({"type": "object", "properties": {"a": {"not": {}}}})),
            "`not` at `#/properties/a`",
        ),
        (
            Format::JsonSchema(
                json!({"$defs": {"x": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, "$ref": "#/$defs/x"}),
            ),
            "`oneOf` at `#/$defs/x`",
        ),
        (Format::JsonSchema(json!(false)), "JSON schema"),
        (Format::JsonSchema(json!("text")), "a schema is an object"),
        (
            Format::JsonSchema(json!({"type": "integer", "minimum": 5, "maximum": 4})),
            "minimum",
        ),
        (
            Format::JsonSchema(
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            ),
            "JSON schema",
        ),
    ] {
        let request = ask(&in_format(format.clone()), 1);
        let prepared = text.prepare(request, 4096);
        let error = prepared.err().unwrap_or_else(|| panic!("{format:?}"));
        assert!(matches!(error, EngineError::Format(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(words), "{format:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn hostile_formats_cost_a_bounded_time() {
    let text = text();
    let strings = |n: usize| -> Vec<String> { (0..n).map(|i| format!("value {i:x}")).collect() };
    let object = |n: usize| -> Value {
        let names = strings(n);
        let pairs = names
            .iter()
            .map(|name| (name.clone(), json!({"type": "string"})));
        json!({"type": "object", "properties": pairs.collect::<serde_json::Map<_, _>>()})
    };
    let choice = |i: usize| json!({"anyOf": [{"properties": {format!("a{i}"): {"type": "string"}}}, {"properties": {format!("b{i}"): {"type": "integer"}}}]});
    let choices: Vec<Value> = (0..24).map(choice).collect();
    let mut doubled = json!({"type": "string"});
    for i in 0..40 {
        doubled = json!({"type": "object", "properties": {format!("p{i}"): {"$ref": "#/$defs/x"}, "q": doubled}});
    }
    let formats = [
        Format::JsonSchema(json!({"enum": strings(15_000)})),
        Format::JsonSchema(object(1_000)),
        Format::JsonSchema(json!({"allOf": choices})),
        Format::JsonSchema(
            json!({"$defs": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, "properties": {"r": doubled}}),
        ),
        Format::JsonSchema(json!({"type": "string", "pattern": "^(a{1,1000}){1,1000}b$"})),
        Format::JsonSchema(
            json!({"type": "string", "pattern": format!("^{}$", "(a|b|ab)*c".repeat(150))}),
        ),
        Format::JsonSchema(json!({"type": "array", "minItems": 9_000, "items": object(40)})),
        Format::JsonSchema(json!({"type": "string", "minLength": 9_999, "maxLength": 10_000})),
        Format::Regex("(.{1,999}x){1,999}".to_owned()),
        Format::Regex(format!("{}a{}", "(".repeat(2_000), ")".repeat(2_000))),
        Format::Grammar("start: start start | \"a\"".to_owned()),
        Format::Grammar(format!(
            "start: {} \"a\" {}",
            "(".repeat(10_000),
            ")".repeat(10_000)
        )),
        Format::Grammar("start: a~1000\na: b~1000\nb: c~1000\nc: \"x\"".to_owned()),
    ];
    for format in formats {
        let what: String = format!("{format:?}").chars().take(80).collect();
        let began = Instant::now();
        let prepared = text.prepare(ask(&in_format(format), 1), 4096);
        let taken = began.elapsed();
        let outcome = prepared.map_or_else(|error| error.to_string(), |_| "compiled".to_owned());
        println!(
            "{taken:9.3?} {what}: {}",
            outcome.chars().take(160).collect::<String>()
        );
        assert!(taken.as_secs() < 20, "{taken:?}: {what}");
    }
}
