//! How tokens are drawn: the fields that chat and plain completions have in common.

use ponder_engine::SamplingOverrides;
use serde_json::Value;

use crate::http::{ApiError, Fields};

/// Texts that may end an answer.
const MAX_STOPS: usize = 4;

/// Bytes of such a text.
const MAX_STOP_BYTES: usize = 4096;

/// Tokens that may be favoured or not.
const MAX_BIASES: usize = 1024;

/// Reads everything that changes how tokens are drawn.
pub(crate) fn read(body: &mut Fields) -> Result<SamplingOverrides, ApiError> {
    let mut number = |name: &str, least: f64, most: f64| {
        let number = body.number(name, least..=most)?;
        Ok::<_, ApiError>(number.map(|number| number as f32))
    };
    let sampling = SamplingOverrides {
        temperature: number("temperature", 0.0, 2.0)?,
        top_p: number("top_p", 0.0, 1.0)?,
        min_p: number("min_p", 0.0, 1.0)?,
        presence_penalty: number("presence_penalty", -2.0, 2.0)?,
        frequency_penalty: number("frequency_penalty", -2.0, 2.0)?,
        repetition_penalty: number("repetition_penalty", 0.01, 10.0)?,
        ..SamplingOverrides::default()
    };
    Ok(SamplingOverrides {
        top_k: body.count("top_k", 0..=usize::MAX)?,
        // A seed is a name for a stream of draws; negative ones are as good as any.
        seed: body
            .integer("seed", i64::MIN..=i64::MAX)?
            .map(|seed| seed as u64),
        logit_bias: logit_bias(body)?,
        ..sampling
    })
}

/// `{"TOKEN ID": bias}`.
fn logit_bias(body: &mut Fields) -> Result<Option<Vec<(u32, f32)>>, ApiError> {
    let Some(map) = body.map("logit_bias")? else {
        return Ok(None);
    };
    let path = body.path_of("logit_bias");
    if map.len() > MAX_BIASES {
        let message = format!("'{path}' may name {MAX_BIASES} tokens at most.");
        return Err(ApiError::invalid(path, message));
    }
    let entry = |(token, bias): (&String, &Value)| {
        let id = token.parse::<u32>().map_err(|_| {
            let message = format!("Invalid key in '{path}': {token:.50} is not a token ID.");
            ApiError::invalid(path.as_str(), message)
        })?;
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        let bias = bias.ok_or_else(|| {
            let message =
                format!("Invalid '{path}': the bias of {id} is not a number between -100 and 100.");
            ApiError::invalid(path.as_str(), message)
        })?;
        Ok((id, bias as f32))
    };
    let biases = map.iter().map(entry).collect::<Result<Vec<_>, ApiError>>();
    biases.map(|biases| (!biases.is_empty()).then_some(biases))
}

/// `stop`: a text, or up to four.
pub(crate) fn stop(body: &mut Fields) -> Result<Vec<String>, ApiError> {
    let path = body.path_of("stop");
    let texts = match body.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(one) => vec![one],
    };
    if texts.len() > MAX_STOPS {
        let message = format!("'{path}' may hold {MAX_STOPS} texts at most.");
        return Err(ApiError::invalid(path, message));
    }
    let read = |text: Value| match text {
        Value::String(text) if text.is_empty() => {
            let message = format!("'{path}' must not hold an empty text.");
            Err(ApiError::invalid(path.as_str(), message))
        }
        Value::String(text) if text.len() > MAX_STOP_BYTES => {
            let message = format!("A text of '{path}' has more than {MAX_STOP_BYTES} bytes.");
            Err(ApiError::invalid(path.as_str(), message))
        }
        Value::String(text) => Ok(text),
        other => Err(crate::http::wrong_type(
            &path,
            "a string or an array of strings",
            &other,
        )),
    };
    texts.into_iter().map(read).collect()
}

/// Refuses token ids that the model does not have.
pub(crate) fn check_ids(sampling: &SamplingOverrides, vocab_size: usize) -> Result<(), ApiError> {
    let mut ids = sampling.logit_bias.iter().flatten().map(|(id, _)| *id);
    match ids.find(|&id| id as usize >= vocab_size) {
        None => Ok(()),
        Some(id) => Err(ApiError::invalid(
            "logit_bias",
            format!(
                "Invalid key in 'logit_bias': the model has {vocab_size} tokens, so none is called {id}."
            ),
        )),
    }
}
