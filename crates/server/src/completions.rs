//! `POST /completions`: texts that are continued as they are, without a template.

mod request;
mod response;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};

use crate::app::SharedApp;
use crate::chat::response::Header;
use crate::generate::{Answers, Asker};
use crate::http::{ApiError, Client, JsonBody, sse};
use crate::ids;
use request::CompletionRequest;
pub(crate) use request::{check_ids, prompts};
use response::Texts;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route("/completions", post(complete))
}

async fn complete(
    State(app): State<SharedApp>,
    client: Client,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let completion = CompletionRequest::read(body)?;
    let lease = app.models.get(completion.model.as_deref()).await?;
    let vocab_size = lease.engine.model().vocab_size;
    check_ids(&completion.ask.prompts, vocab_size, "prompt")?;
    let header = Header::new(ids::new_id("cmpl-"), lease.id());
    let asker = Asker {
        id: header.id.clone(),
        client,
    };
    let echoes = completion.echoes(&lease.engine);
    let texts = Texts::new(header, echoes, completion.ask.n);
    let answers = Answers::start(&app, lease, asker, completion.ask)
        .await
        .map_err(|error| match error.param.as_deref() {
            // The engine speaks of a conversation.
            Some("messages") => error.at("prompt"),
            _ => error,
        })?;
    match completion.stream {
        Some(options) => Ok(sse::respond(texts.streamed(options), answers)),
        None => Ok(Json(texts.whole(answers).await?).into_response()),
    }
}
