//! The Responses API.
//!
//! 1. [`request`] reads a body, with [`input`] and [`tools`]; [`conversation`] makes the messages of it
//!    that a model reads.
//! 2. [`crate::generate`] has it answered.
//! 3. [`assemble`] makes the [`object`] of the events, [`item`] by item, and what is streamed of it;
//!    [`respond`] sends either.
//! 4. [`store`] keeps it, for whoever asks again or goes on from there.

mod assemble;
mod conversation;
mod input;
mod item;
mod object;
mod request;
mod respond;
mod sealed;
mod store;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{
    Json, Router,
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::generate::{Answers, Asker};
use crate::http::{ApiError, Caller, Client, JsonBody, sse};
use crate::ids;
use crate::paging::Page;
use crate::tokens::compute;
use assemble::Assembler;
use input::Item;
use item::Status;
use request::Create;
use respond::Making;
pub(crate) use store::ResponseStore;
use store::{Stored, Turn};

/// How long a response that is cancelled may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/responses", post(create))
        .route("/responses/input_tokens", post(input_tokens))
        .route("/responses/{id}", get(one).delete(delete))
        .route("/responses/{id}/input_items", get(input_items))
        .route("/responses/{id}/cancel", post(cancel))
        .route("/responses/{id}/answer_now", post(answer_now))
}

async fn create(
    State(app): State<SharedApp>,
    mut client: Client,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let create = Create::read(body, &|id| app.responses.item(id, client.caller))?;
    let (stream, background) = (create.stream, create.asked.background);
    if background {
        // Nobody waits on this connection.
        client.connection = None;
    }
    let (making, answers) = begin(&app, client, create).await?;
    if background {
        let response = json!(making.response());
        tokio::spawn(making.finish(answers));
        return Ok(Json(response).into_response());
    }
    match stream {
        true => Ok(sse::respond(making, answers)),
        false => Ok(Json(making.finish(answers).await?).into_response()),
    }
}

/// Puts the messages together that a model reads. What comes back are all turns so far, the new one
/// last.
fn converse(
    app: &SharedApp,
    caller: Caller,
    create: &mut Create,
) -> Result<Vec<Arc<Turn>>, ApiError> {
    let mut turns = history(app, caller, create.asked.previous_response_id.as_deref())?;
    let n_earlier = turns.iter().map(|turn| turn.items.len()).sum();
    turns.push(app.responses.turn(std::mem::take(&mut create.input)));
    let items: Vec<&Item> = turns.iter().flat_map(|turn| &turn.items).collect();
    let instructions = create.asked.instructions.as_deref();
    create.ask.request.messages = conversation::messages(instructions, &items, n_earlier)?;
    Ok(turns)
}

async fn begin(
    app: &SharedApp,
    client: Client,
    mut create: Create,
) -> Result<(Making, Answers), ApiError> {
    let caller = client.caller;
    let turns = converse(app, caller, &mut create)?;
    let Create {
        model,
        ask,
        wanted,
        mut asked,
        ..
    } = create;
    let lease = app.models.get(model.as_deref()).await?;
    asked.model = lease.id().to_owned();
    let id = ids::new_id("resp_");
    let status = match asked.background {
        true => Status::Queued,
        false => Status::InProgress,
    };
    let is_stored = asked.store;
    let response = object::Response::new(id.clone(), ids::now(), status, asked);
    let asker = Asker { id, client };
    let answers = Answers::start(app, lease, asker, ask)
        .await
        .map_err(renamed)?;
    let stored = is_stored.then(|| app.responses.begin(caller, response.clone(), turns));
    let assembler = Assembler::new(response, wanted);
    Ok((Making::new(Arc::clone(app), assembler, stored), answers))
}

/// How many tokens the prompt of a response would have.
async fn input_tokens(
    State(app): State<SharedApp>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut create = Create::read(body, &|id| app.responses.item(id, caller))?;
    converse(&app, caller, &mut create)?;
    let lease = app.models.get(create.model.as_deref()).await?;
    let request = create.ask.request;
    let rendered = compute(&lease, move |engine| engine.render(&request)).await;
    let n = rendered.map_err(renamed)?.ids.len();
    Ok(Json(
        json!({"object": "response.input_tokens", "input_tokens": n}),
    ))
}

/// The turns before this one.
fn history(
    app: &SharedApp,
    caller: Caller,
    previous: Option<&str>,
) -> Result<Vec<Arc<Turn>>, ApiError> {
    let Some(id) = previous else {
        return Ok(Vec::new());
    };
    let param = "previous_response_id";
    let stored = app.responses.get(id, caller).ok_or_else(|| {
        let message = format!("Previous response with id '{id:.100}' not found.");
        ApiError::invalid(param, message).with_code("previous_response_not_found")
    })?;
    stored.history().ok_or_else(|| {
        ApiError::invalid(
            param,
            format!("The response '{id:.100}' is not complete yet."),
        )
    })
}

/// The same error, by the names that this interface has for the fields.
fn renamed(error: ApiError) -> ApiError {
    match error.param.as_deref() {
        Some("messages") => error.at("input"),
        Some("response_format") => error.at("text.format"),
        _ => error,
    }
}

fn find(app: &SharedApp, id: &str, caller: Caller) -> Result<Arc<Stored>, ApiError> {
    app.responses.get(id, caller).ok_or_else(|| {
        let message = format!("Response with id '{id:.100}' not found.");
        ApiError::not_found(message)
            .at("id")
            .with_code("response_not_found")
    })
}

/// What a client may say about a response that it gets, which changes nothing.
fn check_query(query: Vec<(String, String)>) -> Result<(), ApiError> {
    for (name, value) in query {
        match (name.as_str(), value.as_str()) {
            ("include" | "include[]", _) | ("stream", "false") => {}
            ("stream" | "starting_after" | "include_obfuscation", _) => {
                let why = "a response is streamed once, when it is made";
                return Err(ApiError::unsupported(name, why));
            }
            _ => return Err(crate::paging::unknown(&name)),
        }
    }
    Ok(())
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    check_query(query)?;
    Ok(Json(json!(find(&app, &id, caller)?.response())))
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find(&app, &id, caller)?;
    app.running.cancel(&id, caller);
    app.responses.remove(&id, caller);
    Ok(Json(
        json!({"id": id, "object": "response", "deleted": true}),
    ))
}

async fn input_items(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let (page, rest) = Page::read(query)?;
    check_query(rest)?;
    let stored = find(&app, &id, caller)?;
    let items: Vec<&Item> = stored.input.iter().flat_map(|turn| &turn.items).collect();
    let name = |item: &&Item| item.id().to_owned();
    Ok(Json(
        page.cut(items, (20, 100), name, |item| item.to_json())?,
    ))
}

/// Ends a response, with what it has.
async fn cancel(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let stored = find(&app, &id, caller)?;
    app.running.cancel(&id, caller);
    // One that waits for a place ends within a step, too.
    let _ = tokio::time::timeout(LAST_WORDS, stored.over()).await;
    Ok(Json(json!(stored.response())))
}

/// Ends the thinking of a response that is being made, and the answer follows.
async fn answer_now(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    match app.running.answer_now(&id, caller) {
        true => Ok(Json(json!({"id": id, "object": "response.answer_now"}))),
        false => {
            let message = format!("No response called '{id:.100}' is being made.");
            Err(ApiError::not_found(message)
                .at("id")
                .with_code("response_not_found"))
        }
    }
}
