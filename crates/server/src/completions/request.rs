//! What a body of `/completions` asks for.

use ponder_engine::{Engine, RawPrompt, Request};
use serde_json::{Value, json};

use crate::chat::request::{StreamOptions, metadata, stream};
use crate::generate::Ask;
use crate::http::{ApiError, Fields, wrong_type};
use crate::sampling;

/// Answers that one request may ask for, to all of its prompts.
const MAX_ANSWERS: usize = 128;

/// Tokens that may be named beside each that was drawn.
const MAX_LOGPROBS: usize = 5;

/// Tokens of an answer where nothing is said, as OpenAI has it.
const DEFAULT_TOKENS: usize = 16;

/// A body that has been read.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    pub(super) model: Option<String>,
    pub(super) ask: Ask,
    pub(super) stream: Option<StreamOptions>,
    echo: bool,
}

impl CompletionRequest {
    pub(super) fn read(body: Value) -> Result<Self, ApiError> {
        let mut body = Fields::new(body, "")?;
        let model = body.string("model")?;
        let prompts = prompts(&mut body, "prompt")?;
        let n = body.count("n", 1..=MAX_ANSWERS)?.unwrap_or(1);
        if n * prompts.len() > MAX_ANSWERS {
            let message = format!("One request may ask for {MAX_ANSWERS} answers at most.");
            return Err(ApiError::invalid("n", message));
        }
        let top = body.count("logprobs", 0..=MAX_LOGPROBS)?;
        let echo = body.boolean("echo")?.unwrap_or_default();
        if echo && top.is_some() {
            return Err(ApiError::unsupported(
                "logprobs",
                "the tokens of a prompt have none; leave out 'echo' or 'logprobs'",
            ));
        }
        let mut request = Request {
            sampling: sampling::read(&mut body)?,
            stop: sampling::stop(&mut body)?,
            max_tokens: body
                .count("max_tokens", 1..=usize::MAX)?
                .or(Some(DEFAULT_TOKENS)),
            ignore_eos: body.boolean("ignore_eos")?.unwrap_or_default(),
            prefix_cache: body.boolean("cache_prompt")?,
            report_tokens: top.is_some(),
            ..Request::default()
        };
        request.sampling.logprobs = top;
        let stream = stream(&mut body)?;
        body.refuse("suffix", "texts are continued at their end only")?;
        body.only("best_of", &[json!(1), json!(n)], "ask for 'n' and choose")?;
        body.string("user")?;
        metadata(&mut body)?;
        body.finish()?;
        let ask = Ask {
            request,
            prompts,
            n,
            ..Ask::default()
        };
        Ok(Self {
            model,
            ask,
            stream,
            echo,
        })
    }

    /// The text that goes before the answers to each prompt.
    pub(super) fn echoes(&self, engine: &Engine) -> Vec<String> {
        let text = |prompt: &RawPrompt| match (self.echo, prompt) {
            (false, _) => String::new(),
            (true, RawPrompt::Text(text)) => text.clone(),
            (true, RawPrompt::Ids(ids)) => engine.decode(ids),
        };
        self.ask.prompts.iter().map(text).collect()
    }
}

/// A text, a list of token ids, or a list of either.
pub(crate) fn prompts(body: &mut Fields, name: &str) -> Result<Vec<RawPrompt>, ApiError> {
    let path = body.path_of(name);
    let Some(value) = body.take(name) else {
        return Err(ApiError::missing(path));
    };
    let prompts = match value {
        Value::Array(items) if !items.iter().all(Value::is_number) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(i, item)| prompt(item, &format!("{path}[{i}]")))
                .collect::<Result<Vec<_>, _>>()?
        }
        one => vec![prompt(one, &path)?],
    };
    let is_empty = |prompt: &RawPrompt| match prompt {
        RawPrompt::Text(text) => text.is_empty(),
        RawPrompt::Ids(ids) => ids.is_empty(),
    };
    match prompts.iter().any(is_empty) {
        true => Err(ApiError::invalid(
            path.as_str(),
            format!("'{path}' must not be empty, nor hold an empty text."),
        )),
        false => Ok(prompts),
    }
}

/// Refuses token ids that the model does not have.
pub(crate) fn check_ids(
    prompts: &[RawPrompt],
    vocab_size: usize,
    param: &str,
) -> Result<(), ApiError> {
    let ids = prompts.iter().flat_map(|prompt| match prompt {
        RawPrompt::Ids(ids) => ids.as_slice(),
        RawPrompt::Text(_) => &[],
    });
    match ids.into_iter().find(|&&id| id as usize >= vocab_size) {
        None => Ok(()),
        Some(id) => Err(ApiError::invalid(
            param,
            format!("Invalid token {id}: the model has {vocab_size} tokens."),
        )),
    }
}

fn prompt(value: Value, path: &str) -> Result<RawPrompt, ApiError> {
    match value {
        Value::String(text) => Ok(RawPrompt::Text(text)),
        Value::Array(ids) => {
            let id = |id: Value| {
                let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                number.ok_or_else(|| wrong_type(path, "a list of token IDs", &id))
            };
            Ok(RawPrompt::Ids(
                ids.into_iter().map(id).collect::<Result<_, _>>()?,
            ))
        }
        other => Err(wrong_type(
            path,
            "a string or an array of token IDs",
            &other,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<CompletionRequest, ApiError> {
        CompletionRequest::read(body)
    }

    #[test]
    fn prompts_have_four_shapes() {
        let of = |prompt: Value| read(json!({"prompt": prompt})).expect("a body").ask.prompts;
        let text = |text: &str| RawPrompt::Text(text.to_owned());
        assert_eq!(of(json!("a")), [text("a")]);
        assert_eq!(of(json!(["a", "b"])), [text("a"), text("b")]);
        assert_eq!(of(json!([1, 2])), [RawPrompt::Ids(vec![1, 2])]);
        assert_eq!(
            of(json!([[1], [2, 3]])),
            [RawPrompt::Ids(vec![1]), RawPrompt::Ids(vec![2, 3])]
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (body, param) in [
            (json!({}), "prompt"),
            (json!({"prompt": ""}), "prompt"),
            (json!({"prompt": []}), "prompt"),
            (json!({"prompt": [-1]}), "prompt"),
            (json!({"prompt": ["a", 1]}), "prompt[1]"),
            (json!({"prompt": {}}), "prompt"),
            (json!({"prompt": "a", "suffix": "b"}), "suffix"),
            (json!({"prompt": "a", "best_of": 3}), "best_of"),
            (json!({"prompt": "a", "logprobs": 6}), "logprobs"),
            (
                json!({"prompt": "a", "logprobs": 1, "echo": true}),
                "logprobs",
            ),
            (json!({"prompt": ["a", "b"], "n": 65}), "n"),
            (json!({"prompt": "a", "messages": []}), "messages"),
        ] {
            let error = read(body.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
        assert!(read(json!({"prompt": "a", "best_of": 2, "n": 2})).is_ok());
    }
}
