//! [`ChatRequest`]: what a body asks for, in the engine's words.

use ponder_engine::Request;
use serde_json::{Map, Value, json};

use super::{format, messages, thinking, tools};
use crate::generate::Ask;
use crate::http::{ApiError, Fields};
use crate::sampling;

/// Answers that one request may ask for.
const MAX_CHOICES: usize = 128;

/// Tokens that may be named beside each that was drawn.
const MAX_TOP_LOGPROBS: usize = 20;

/// A body that has been read.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) model: Option<String>,
    pub(crate) ask: Ask,
    /// Where the answer is sent as it comes.
    pub(crate) stream: Option<StreamOptions>,
}

/// What a stream tells beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
    pub(crate) prompt_progress: bool,
}

impl ChatRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// The first thing that is wrong with it, by its place.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        Self::read_fields(Fields::new(body, "")?)
    }

    /// The same of a body from which something else has been read.
    pub(crate) fn read_fields(mut body: Fields) -> Result<Self, ApiError> {
        let model = body.string("model")?;
        let ask = ask(&mut body)?;
        let stream = stream(&mut body)?;
        refuse_the_rest(&mut body)?;
        body.finish()?;
        Ok(Self { model, ask, stream })
    }
}

/// The fields that decide on prompt and answer.
fn ask(body: &mut Fields) -> Result<Ask, ApiError> {
    let n = body.count("n", 1..=MAX_CHOICES)?.unwrap_or(1);
    let thinking = thinking::read(body)?;
    let votes = thinking.overrides.votes;
    let mut request = Request {
        messages: messages::read(body)?,
        sampling: sampling::read(body)?,
        stop: sampling::stop(body)?,
        max_tokens: max_tokens(body)?,
        effort: thinking.effort,
        effort_overrides: thinking.overrides,
        format: format::read(body)?,
        template_vars: body.map("chat_template_kwargs")?.unwrap_or_default(),
        ignore_eos: body.boolean("ignore_eos")?.unwrap_or_default(),
        prefix_cache: body.boolean("cache_prompt")?,
        ..Request::default()
    };
    tools::read(body, &mut request)?;
    let top = logprobs(body)?;
    request.report_tokens = top.is_some();
    request.sampling.logprobs = top;
    if votes.is_some_and(|votes| votes > 1) {
        let clash = match (n > 1, top.is_some()) {
            (true, _) => Some("n"),
            (_, true) => Some("logprobs"),
            _ => None,
        };
        if let Some(param) = clash {
            return Err(ApiError::unsupported(
                param,
                "answers that vote become one; leave it out, or thinking.votes",
            ));
        }
    }
    Ok(Ask {
        request,
        n,
        weighing: thinking.weighing.unwrap_or_default(),
        ..Ask::default()
    })
}

/// `max_tokens`, or what it is called today.
fn max_tokens(body: &mut Fields) -> Result<Option<usize>, ApiError> {
    let old = body.count("max_tokens", 1..=usize::MAX)?;
    let new = body.count("max_completion_tokens", 1..=usize::MAX)?;
    if old.is_some() && new.is_some() {
        return Err(ApiError::invalid(
            "max_tokens",
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        ));
    }
    Ok(new.or(old))
}

/// `Some(n)`: tokens are reported, with `n` alternatives each.
fn logprobs(body: &mut Fields) -> Result<Option<usize>, ApiError> {
    let is_on = body.boolean("logprobs")?.unwrap_or_default();
    let top = body.count("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    match (is_on, top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid(
            "top_logprobs",
            "'top_logprobs' is only allowed when 'logprobs' is true.",
        )),
    }
}

/// Whether the answer is sent as it comes, and with what.
pub(crate) fn stream(body: &mut Fields) -> Result<Option<StreamOptions>, ApiError> {
    let is_on = body.boolean("stream")?.unwrap_or_default();
    let options = body.object("stream_options")?;
    let progress = body.boolean("prompt_progress")?.unwrap_or_default();
    if !is_on {
        let only = |param| {
            let message = format!("'{param}' is only allowed when 'stream' is true.");
            Err(ApiError::invalid(param, message))
        };
        return match (options.is_some(), progress) {
            (true, _) => only("stream_options"),
            (_, true) => only("prompt_progress"),
            _ => Ok(None),
        };
    }
    let mut stream = StreamOptions {
        include_usage: false,
        prompt_progress: progress,
    };
    if let Some(mut options) = options {
        stream.include_usage = options.boolean("include_usage")?.unwrap_or_default();
        let why = "chunks are not padded";
        options.only("include_obfuscation", &[json!(false)], why)?;
        options.finish()?;
    }
    Ok(Some(stream))
}

/// Fields of OpenAI's that mean nothing here, or cannot be done.
fn refuse_the_rest(body: &mut Fields) -> Result<(), ApiError> {
    for hint in ["user", "safety_identifier", "prompt_cache_key"] {
        // They tell apart whom a service serves; here keys do, and the cache finds what is common.
        body.string(hint)?;
    }
    metadata(body)?;
    body.only(
        "service_tier",
        &[json!("auto"), json!("default")],
        "there is one tier",
    )?;
    body.only(
        "store",
        &[json!(false)],
        "chat completions are not kept; /v1/responses can be",
    )?;
    body.only(
        "verbosity",
        &[json!("medium")],
        "say in the messages how long the answer is to be",
    )?;
    body.only(
        "modalities",
        &[json!(["text"])],
        "models here write text only",
    )?;
    for (name, why) in [
        ("functions", "use 'tools'"),
        ("function_call", "use 'tool_choice'"),
        ("audio", "models here write text only"),
        (
            "prediction",
            "repeated text is predicted without being told",
        ),
        ("web_search_options", "there is no network here"),
        (
            "prompt_cache_retention",
            "the cache keeps what there is memory for",
        ),
        ("structured_outputs", "use 'response_format'"),
        ("guided_json", "use 'response_format' of type json_schema"),
        ("guided_regex", "use 'response_format' of type regex"),
        ("guided_grammar", "use 'response_format' of type grammar"),
        ("grammar", "use 'response_format' of type grammar"),
        ("json_schema", "use 'response_format' of type json_schema"),
    ] {
        body.refuse(name, why)?;
    }
    Ok(())
}

/// Notes of whoever asks, checked as OpenAI does.
pub(crate) fn metadata(body: &mut Fields) -> Result<Option<Map<String, Value>>, ApiError> {
    let path = body.path_of("metadata");
    let Some(map) = body.map("metadata")? else {
        return Ok(None);
    };
    let is_note = |(key, value): (&String, &Value)| {
        let text = value.as_str();
        key.chars().count() <= 64 && text.is_some_and(|text| text.chars().count() <= 512)
    };
    match map.len() <= 16 && map.iter().all(is_note) {
        true => Ok(Some(map)),
        false => Err(ApiError::invalid(
            path,
            "'metadata' holds 16 texts at most, with keys of 64 and values of 512 characters at most.",
        )),
    }
}
