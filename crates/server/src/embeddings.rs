//! `POST /embeddings`: read as OpenAI does, and refused by models that make none.

use axum::extract::State;
use axum::{Json, Router, routing::post};
use serde_json::Value;

use crate::app::SharedApp;
use crate::http::{ApiError, Fields, JsonBody, wrong_type};

/// Texts of a request.
const MAX_INPUTS: usize = 2048;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route("/embeddings", post(embed))
}

async fn embed(
    State(app): State<SharedApp>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut body = Fields::new(body, "")?;
    let model = body.required_string("model")?;
    check_input(body.take("input"))?;
    body.one_of("encoding_format", &[("float", ()), ("base64", ())])?;
    body.count("dimensions", 1..=usize::MAX)?;
    body.string("user")?;
    body.finish()?;
    let id = app.models.id_of(&model)?;
    // Every family that is known is a decoder for text.
    Err(ApiError::invalid(
        "model",
        format!("The model `{id}` does not make embeddings: it writes text."),
    )
    .with_code("model_not_supported"))
}

/// A text, a list of token ids, or a list of either.
fn check_input(input: Option<Value>) -> Result<(), ApiError> {
    let is_input = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(ids) => !ids.is_empty() && ids.iter().all(Value::is_u64),
        _ => false,
    };
    match input {
        None => Err(ApiError::missing("input")),
        Some(Value::Array(items)) if items.len() > MAX_INPUTS => Err(ApiError::invalid(
            "input",
            format!("'input' may hold {MAX_INPUTS} texts at most."),
        )),
        Some(value) if is_input(&value) => Ok(()),
        Some(Value::Array(items)) if !items.is_empty() && items.iter().all(is_input) => Ok(()),
        Some(other) => Err(wrong_type(
            "input",
            "a string, a list of token IDs, or a list of either, none of them empty",
            &other,
        )),
    }
}
