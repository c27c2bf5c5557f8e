//! Chat Completions.
//!
//! 1. [`request`] reads a body, with [`messages`], [`tools`], [`format`] and [`thinking`].
//! 2. [`crate::generate`] has it answered.
//! 3. [`whole`] puts one answer together, [`stream`] sends it as it comes; [`response`] is the JSON that
//!    both have in common.

mod choice;
pub(crate) mod format;
pub(crate) mod logprobs;
mod messages;
pub(crate) mod request;
pub(crate) mod response;
mod stream;
mod strict;
pub(crate) mod thinking;
pub(crate) mod tools;
mod whole;

pub(crate) use choice::finish_reason;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::generate::{Answers, Asker};
use crate::http::{ApiError, Caller, Client, JsonBody, PathText, sse};
use crate::ids;
use request::ChatRequest;
use response::Header;
use stream::Chunks;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/chat/completions", post(complete))
        .route("/chat/completions/{id}/answer_now", post(answer_now))
}

async fn complete(
    State(app): State<SharedApp>,
    client: Client,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let chat = ChatRequest::read(body)?;
    let lease = app.models.get(chat.model.as_deref()).await?;
    let header = Header::new(ids::new_id("chatcmpl-"), lease.id());
    let asker = Asker {
        id: header.id.clone(),
        client,
    };
    let answers = Answers::start(&app, lease, asker, chat.ask).await?;
    match chat.stream {
        Some(options) => {
            let chunks = Chunks::new(header, answers.n(), options);
            Ok(sse::respond(chunks, answers))
        }
        None => Ok(Json(whole::respond(&header, answers).await?).into_response()),
    }
}

/// Ends the thinking of an answer that is being made, and the answer follows.
async fn answer_now(
    State(app): State<SharedApp>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Json<Value>, ApiError> {
    match app.running.answer_now(&id, caller) {
        true => Ok(Json(
            json!({"id": id, "object": "chat.completion.answer_now"}),
        )),
        false => Err(
            ApiError::not_found(format!("No answer called '{id:.100}' is being made."))
                .at("id")
                .with_code("answer_not_found"),
        ),
    }
}
