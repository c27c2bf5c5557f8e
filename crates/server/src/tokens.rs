//! `POST /tokenize`, `/detokenize`, `/apply-template`: what a model sees of a text.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router, routing::post};
use ponder_engine::{Engine, EngineError, Rendered};
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::chat::request::ChatRequest;
use crate::http::{ApiError, Fields, JsonBody, wrong_type};
use crate::models::Lease;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/apply-template", post(apply_template))
}

/// Work that takes a processor and not a network.
pub(crate) async fn compute<T: Send + 'static>(
    lease: &Lease,
    work: impl FnOnce(&Engine) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, ApiError> {
    let engine = Arc::clone(&lease.engine);
    let done = tokio::task::spawn_blocking(move || work(&engine)).await;
    Ok(done.map_err(|_| ApiError::bug())??)
}

/// The tokens of a text (`content`, or `prompt`), or of a conversation (`messages`).
async fn tokenize(
    State(app): State<SharedApp>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut body = Fields::new(body, "")?;
    let with_pieces = body.boolean("with_pieces")?.unwrap_or_default();
    let (lease, ids) = match body.has("messages") {
        true => {
            let chat = ChatRequest::read_fields(body)?;
            let (lease, rendered) = render(&app, chat).await?;
            (lease, rendered.ids)
        }
        false => {
            let model = body.string("model")?;
            let content = body.string("content")?;
            let text = content.or(body.string("prompt")?);
            let text = text.ok_or_else(|| ApiError::missing("content"))?;
            let add = body.boolean("add_special")?;
            let add = add.or(body.boolean("add_special_tokens")?).unwrap_or(true);
            body.only(
                "parse_special",
                &[json!(true)],
                "the texts of control tokens are always read as such",
            )?;
            body.finish()?;
            let lease = app.models.get(model.as_deref()).await?;
            let ids = compute(&lease, move |engine| engine.encode(&text, add)).await?;
            (lease, ids)
        }
    };
    let piece = |id: &u32| {
        let bytes = lease.engine.token_bytes(*id);
        match String::from_utf8(bytes) {
            Ok(text) => json!({"id": id, "piece": text}),
            Err(error) => json!({"id": id, "piece": error.into_bytes()}),
        }
    };
    let tokens: Value = match with_pieces {
        true => ids.iter().map(piece).collect(),
        false => json!(ids),
    };
    Ok(Json(json!({
        "tokens": tokens,
        "count": ids.len(),
        "max_model_len": lease.engine.model().context,
    })))
}

/// The text of tokens.
async fn detokenize(
    State(app): State<SharedApp>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut body = Fields::new(body, "")?;
    let model = body.string("model")?;
    let tokens = body.array("tokens")?;
    let tokens = tokens.ok_or_else(|| ApiError::missing("tokens"))?;
    body.finish()?;
    let id = |(i, id): (usize, &Value)| {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        number.ok_or_else(|| wrong_type(&format!("tokens[{i}]"), "a token ID", id))
    };
    let ids = tokens
        .iter()
        .enumerate()
        .map(id)
        .collect::<Result<Vec<u32>, _>>()?;
    let lease = app.models.get(model.as_deref()).await?;
    let vocab_size = lease.engine.model().vocab_size;
    if let Some(i) = ids.iter().position(|&id| id as usize >= vocab_size) {
        return Err(ApiError::invalid(
            format!("tokens[{i}]"),
            format!(
                "Invalid token {}: the model has {vocab_size} tokens.",
                ids[i]
            ),
        ));
    }
    let text = compute(&lease, move |engine| Ok(engine.decode(&ids))).await?;
    Ok(Json(json!({"content": text, "prompt": text})))
}

/// The text that a conversation becomes.
async fn apply_template(
    State(app): State<SharedApp>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let (_, rendered) = render(&app, ChatRequest::read(body)?).await?;
    Ok(Json(json!({"prompt": rendered.prompt})))
}

async fn render(app: &SharedApp, chat: ChatRequest) -> Result<(Lease, Rendered), ApiError> {
    let lease = app.models.get(chat.model.as_deref()).await?;
    let request = chat.ask.request;
    let rendered = compute(&lease, move |engine| engine.render(&request)).await?;
    Ok((lease, rendered))
}
