//! [`Create`]: what a body asks for, in the engine's words.

use ponder_engine::{Format, Request, Weighing};
use serde_json::{Map, Value, json};

use super::assemble::Wanted;
use super::input::{self, Find, Item};
use super::object::Asked;
use super::tools;
use crate::chat::{format, request::metadata, thinking};
use crate::generate::Ask;
use crate::http::{ApiError, Fields, unknown_word, wrong_type};
use crate::sampling;

/// Tokens that may be named beside each that was drawn.
const MAX_TOP_LOGPROBS: usize = 20;

/// A body that has been read.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) model: Option<String>,
    /// All but the messages.
    pub(super) ask: Ask,
    pub(super) input: Vec<Item>,
    /// Whether the answer is sent as it comes.
    pub(super) stream: bool,
    pub(super) wanted: Wanted,
    pub(super) asked: Asked,
}

impl Create {
    /// Reads a body; `find` knows the items that it may refer to.
    ///
    /// # Errors
    /// The first thing that is wrong with it, by its place.
    pub(super) fn read(body: Value, find: Find<'_>) -> Result<Self, ApiError> {
        let mut body = Fields::new(body, "")?;
        let model = body.string("model")?;
        let input = body
            .take("input")
            .ok_or_else(|| ApiError::missing("input"))?;
        let input = input::read(input, find)?;
        let mut asked = Asked::default();
        let mut request = Request {
            max_tokens: body.count("max_output_tokens", 1..=usize::MAX)?,
            template_vars: body.map("chat_template_kwargs")?.unwrap_or_default(),
            prefix_cache: body.boolean("cache_prompt")?,
            ..Request::default()
        };
        let weighing = read_thinking(&mut body, &mut request, &mut asked)?;
        read_sampling(&mut body, &mut request, &mut asked)?;
        let tools = tools::read(&mut body, &mut request)?;
        (asked.tools, asked.tool_choice) = (tools.tools, tools.tool_choice);
        asked.parallel_tool_calls = tools.parallel_tool_calls;
        (request.format, asked.text) = read_text(&mut body)?;
        let mut wanted = read_include(&mut body, &mut request, &mut asked)?;
        let stream = read_keeping(&mut body, &mut asked, &mut wanted)?;
        read_notes(&mut body, &mut asked)?;
        refuse_the_rest(&mut body)?;
        body.finish()?;
        asked.max_output_tokens = request.max_tokens;
        let ask = Ask {
            request,
            n: 1,
            prompts: Vec::new(),
            weighing,
        };
        Ok(Self {
            model,
            ask,
            input,
            stream,
            wanted,
            asked,
        })
    }
}

/// `reasoning`, `thinking` and `deadline_seconds`.
fn read_thinking(
    body: &mut Fields,
    request: &mut Request,
    asked: &mut Asked,
) -> Result<Weighing, ApiError> {
    let mut effort = None;
    if let Some(mut reasoning) = body.object("reasoning")? {
        effort = thinking::effort(&mut reasoning, "effort")?;
        // No summary is as good as the thought, which is there.
        for name in ["summary", "generate_summary"] {
            let why = "thoughts are not summarized; they are in 'content'";
            reasoning.only(name, &[json!("auto")], why)?;
        }
        reasoning.only("context", &[json!("auto")], "the model's template decides")?;
        reasoning.finish()?;
    }
    // The same three fields as in chat completions, where the level has another name.
    let level = effort.map(|effort| json!(effort.name()));
    let mut fields = Map::new();
    fields.insert(
        "reasoning_effort".to_owned(),
        level.clone().unwrap_or_default(),
    );
    for name in ["thinking", "deadline_seconds"] {
        fields.insert(name.to_owned(), body.take(name).unwrap_or_default());
    }
    let thinking = thinking::read(&mut Fields::new(Value::Object(fields), "")?)?;
    request.effort = thinking.effort;
    request.effort_overrides = thinking.overrides;
    asked.reasoning = json!({"effort": level, "summary": null});
    Ok(thinking.weighing.unwrap_or(Weighing::Majority))
}

fn read_sampling(
    body: &mut Fields,
    request: &mut Request,
    asked: &mut Asked,
) -> Result<(), ApiError> {
    request.sampling = sampling::read(body)?;
    // As it was written: 0.7 and not the nearest number of 32 bits.
    let shown = |number: Option<f32>, usual: f64| {
        let text = number.map(|number| number.to_string());
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    asked.temperature = shown(request.sampling.temperature, 1.0);
    asked.top_p = shown(request.sampling.top_p, 1.0);
    asked.presence_penalty = shown(request.sampling.presence_penalty, 0.0);
    asked.frequency_penalty = shown(request.sampling.frequency_penalty, 0.0);
    Ok(())
}

/// `text`: the format, and how a response shows it.
fn read_text(body: &mut Fields) -> Result<(Format, Value), ApiError> {
    let shown = |format: Value| json!({"format": format, "verbosity": "medium"});
    let plain = || shown(json!({"type": "text"}));
    let Some(mut text) = body.object("text")? else {
        return Ok((Format::Text, plain()));
    };
    let why = "say in the input how long the answer is to be";
    text.only("verbosity", &[json!("medium")], why)?;
    let path = text.path_of("format");
    let Some(format) = text.take("format") else {
        text.finish()?;
        return Ok((Format::Text, plain()));
    };
    text.finish()?;
    let mut echo = format.clone();
    if echo["type"] == "json_schema" {
        for name in ["description", "strict"] {
            echo[name] = echo.get(name).cloned().unwrap_or_default();
        }
        echo["strict"] = json!(echo["strict"] == true);
    }
    let read = format::of(Fields::new(format, &path)?, true)?;
    Ok((read, shown(echo)))
}

/// `include` and `top_logprobs`.
fn read_include(
    body: &mut Fields,
    request: &mut Request,
    asked: &mut Asked,
) -> Result<Wanted, ApiError> {
    let mut wanted = Wanted::default();
    let known = [
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
    ];
    for (i, name) in body
        .array("include")?
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let path = format!("include[{i}]");
        match name.as_str() {
            Some("message.output_text.logprobs") => wanted.logprobs = true,
            Some("reasoning.encrypted_content") => wanted.sealed = true,
            Some(other) => return Err(unknown_word(&path, other, known.into_iter())),
            None => return Err(wrong_type(&path, "a string", name)),
        }
    }
    let top = body.count("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    if !wanted.logprobs && top.is_some_and(|top| top > 0) {
        let message =
            "'top_logprobs' is only allowed when 'include' holds 'message.output_text.logprobs'.";
        return Err(ApiError::invalid("top_logprobs", message));
    }
    asked.top_logprobs = top.unwrap_or(0);
    request.report_tokens = wanted.logprobs;
    request.sampling.logprobs = wanted.logprobs.then_some(asked.top_logprobs);
    if wanted.logprobs
        && request
            .effort_overrides
            .votes
            .is_some_and(|votes| votes > 1)
    {
        let why = "answers that vote become one; leave it out, or thinking.votes";
        return Err(ApiError::unsupported("include", why));
    }
    Ok(wanted)
}

/// `store`, `background`, `stream` and what goes with them; whether the answer is streamed.
fn read_keeping(
    body: &mut Fields,
    asked: &mut Asked,
    wanted: &mut Wanted,
) -> Result<bool, ApiError> {
    asked.store = body.boolean("store")?.unwrap_or(true);
    asked.background = body.boolean("background")?.unwrap_or_default();
    asked.previous_response_id = body.string("previous_response_id")?;
    let stream = body.boolean("stream")?.unwrap_or_default();
    if asked.background && !asked.store {
        let why = "what is not stored cannot be asked for later";
        return Err(ApiError::unsupported("background", why));
    }
    if asked.background && stream {
        let why = "a response in the background is asked for with GET";
        return Err(ApiError::unsupported("stream", why));
    }
    wanted.progress = body.boolean("prompt_progress")?.unwrap_or_default();
    let options = body.object("stream_options")?;
    if !stream && (options.is_some() || wanted.progress) {
        let param = match options.is_some() {
            true => "stream_options",
            false => "prompt_progress",
        };
        let message = format!("'{param}' is only allowed when 'stream' is true.");
        return Err(ApiError::invalid(param, message));
    }
    if let Some(mut options) = options {
        options.only(
            "include_obfuscation",
            &[json!(false)],
            "events are not padded",
        )?;
        options.finish()?;
    }
    Ok(stream)
}

/// What is repeated and changes nothing.
fn read_notes(body: &mut Fields, asked: &mut Asked) -> Result<(), ApiError> {
    asked.instructions = body.string("instructions")?;
    asked.metadata = metadata(body)?.unwrap_or_default();
    asked.user = body.string("user")?;
    asked.safety_identifier = body.string("safety_identifier")?;
    asked.prompt_cache_key = body.string("prompt_cache_key")?;
    // It counts calls of tools that a server runs by itself, of which there are none.
    asked.max_tool_calls = body.count("max_tool_calls", 1..=usize::MAX)?;
    let tiers = [json!("auto"), json!("default")];
    body.only("service_tier", &tiers, "there is one tier")?;
    asked.service_tier = "default";
    let why = "a prompt that is too long is refused, never cut";
    body.only("truncation", &[json!("disabled")], why)?;
    asked.truncation = "disabled";
    Ok(())
}

fn refuse_the_rest(body: &mut Fields) -> Result<(), ApiError> {
    for (name, why) in [
        ("conversation", "use 'previous_response_id'"),
        ("prompt", "there are no stored prompts; send 'input'"),
        ("context_management", "nothing is compacted here"),
        ("moderation", "nothing is moderated here"),
        (
            "prompt_cache_options",
            "the cache keeps what there is memory for",
        ),
        (
            "prompt_cache_retention",
            "the cache keeps what there is memory for",
        ),
        ("messages", "this is the Responses API; send 'input'"),
        ("response_format", "use 'text.format'"),
        ("max_tokens", "use 'max_output_tokens'"),
        ("max_completion_tokens", "use 'max_output_tokens'"),
        ("reasoning_effort", "use 'reasoning.effort'"),
        ("stop", "the Responses API has none"),
        ("n", "a response is one answer"),
    ] {
        body.refuse(name, why)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ponder_engine::Effort;

    fn read(body: Value) -> Result<Create, ApiError> {
        let mut whole = json!({"input": "Hello"});
        for (name, value) in body.as_object().expect("an object") {
            whole[name.as_str()] = value.clone();
        }
        Create::read(whole, &|_| None)
    }

    #[test]
    fn what_is_left_out_has_the_value_that_it_usually_has() {
        let create = read(json!({})).expect("a request");
        let asked = json!(create.asked);
        for (name, value) in [
            ("store", json!(true)),
            ("background", json!(false)),
            ("temperature", json!(1.0)),
            ("truncation", json!("disabled")),
            ("tool_choice", json!("auto")),
            ("parallel_tool_calls", json!(true)),
            (
                "text",
                json!({"format": {"type": "text"}, "verbosity": "medium"}),
            ),
            ("reasoning", json!({"effort": null, "summary": null})),
            ("metadata", json!({})),
            ("service_tier", json!("default")),
        ] {
            assert_eq!(asked[name], value, "{name}");
        }
        assert!(!create.stream && !create.ask.request.report_tokens);
    }

    #[test]
    fn all_of_it_reaches_the_engine() {
        let schema = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
        let create = read(json!({
            "model": "m", "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.7,
            "top_p": 0.9, "seed": 4, "reasoning": {"effort": "low", "summary": "auto"},
            "thinking": {"budget_tokens": 30}, "deadline_seconds": 2,
            "text": {"format": {"type": "json_schema", "name": "x", "strict": true, "schema": schema}},
            "include": ["message.output_text.logprobs"], "top_logprobs": 3, "stream": true,
            "stream_options": {"include_obfuscation": false}, "prompt_progress": true,
            "store": false, "metadata": {"a": "b"}, "user": "u",
        }))
        .expect("a request");
        let request = &create.ask.request;
        assert_eq!(create.model.as_deref(), Some("m"));
        assert_eq!(request.max_tokens, Some(50));
        assert_eq!(request.effort, Some(Effort::Low));
        assert_eq!(request.effort_overrides.think_tokens, Some(30));
        assert_eq!(
            request.effort_overrides.deadline.map(|time| time.as_secs()),
            Some(2)
        );
        assert_eq!(request.format, Format::JsonSchema(schema));
        assert_eq!(
            (request.report_tokens, request.sampling.logprobs),
            (true, Some(3))
        );
        assert_eq!(request.sampling.seed, Some(4));
        assert!(create.stream && create.wanted.progress && create.wanted.logprobs);
        let asked = json!(create.asked);
        assert_eq!(asked["temperature"], 0.7);
        assert_eq!(
            asked["reasoning"],
            json!({"effort": "low", "summary": null})
        );
        assert_eq!(asked["text"]["format"]["description"], Value::Null);
        assert_eq!(asked["instructions"], "Be brief.");
        assert_eq!(asked["metadata"], json!({"a": "b"}));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (body, param) in [
            (json!({"input": null}), "input"),
            (json!({"truncation": "auto"}), "truncation"),
            (json!({"conversation": "c"}), "conversation"),
            (json!({"prompt": {"id": "p"}}), "prompt"),
            (json!({"messages": []}), "messages"),
            (json!({"foo": 1}), "foo"),
            (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
            (
                json!({"reasoning": {"summary": "detailed"}}),
                "reasoning.summary",
            ),
            (json!({"reasoning": {"x": 1}}), "reasoning.x"),
            (json!({"thinking": {"x": 1}}), "thinking.x"),
            (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
            (
                json!({"text": {"format": {"type": "xml"}}}),
                "text.format.type",
            ),
            (
                json!({"text": {"format": {"type": "json_schema", "schema": {}}}}),
                "text.format.name",
            ),
            (json!({"text": {"x": 1}}), "text.x"),
            (
                json!({"include": ["file_search_call.results"]}),
                "include[0]",
            ),
            (json!({"top_logprobs": 2}), "top_logprobs"),
            (json!({"background": true, "store": false}), "background"),
            (json!({"background": true, "stream": true}), "stream"),
            (json!({"stream_options": {}}), "stream_options"),
            (
                json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
                "stream_options.include_obfuscation",
            ),
            (json!({"metadata": {"a": 1}}), "metadata"),
            (json!({"service_tier": "flex"}), "service_tier"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"temperature": 3}), "temperature"),
        ] {
            let error = read(body.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{body}: {error:?}");
        }
    }
}
