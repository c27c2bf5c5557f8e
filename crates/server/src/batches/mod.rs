//! `/batches`: many requests in a file, answered when nobody else asks.
//!
//! 1. [`record`] is what is known of a batch, [`store`] keeps all of them.
//! 2. [`run`] works: [`lines`] reads and checks the input, [`ask`] asks each line, [`results`] writes
//!    what comes of it.
//!
//! Every result is on the disk before it counts, so a server that is killed loses none, and the next
//! one asks the lines that are missing.

mod ask;
mod lines;
mod record;
mod results;
mod run;
mod store;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{
    Json, Router,
    routing::{get, post},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::SharedApp;
use crate::chat::request::metadata;
use crate::files;
use crate::http::{ApiError, Caller, Fields, JsonBody};
use crate::ids::now;
use crate::paging::{self, Page};
use record::Record;
use store::Batch;
pub(crate) use store::BatchStore;

/// What a batch can ask.
const ENDPOINTS: [&str; 4] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
];

/// Seconds that a batch has; OpenAI's one window.
const WINDOW: u64 = 24 * 60 * 60;

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/batches", get(list).post(create))
        .route("/batches/{id}", get(one))
        .route("/batches/{id}/cancel", post(cancel))
}

async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut body = Fields::new(body, "")?;
    let input = body.required_string("input_file_id")?;
    let missing = ApiError::missing("endpoint");
    let endpoint = body.one_of("endpoint", &ENDPOINTS.map(|name| (name, name)))?;
    let endpoint = endpoint.ok_or(missing)?.to_owned();
    let missing = ApiError::missing("completion_window");
    body.one_of("completion_window", &[("24h", ())])?
        .ok_or(missing)?;
    let metadata = metadata(&mut body)?;
    body.refuse("output_expires_after", "files stay until they are deleted")?;
    body.finish()?;
    let opened = app.disk.open(&app).await?;
    let input =
        files::find(&opened.files, &input, caller).map_err(|error| error.at("input_file_id"))?;
    if !opened.batches.has_room() {
        let message = "There are as many batches as the server works on; wait for the end of one.";
        return Err(ApiError::bad_request(message).with_code("too_many_batches"));
    }
    let record = Record::new(caller, endpoint, input.uuid, metadata, now(), WINDOW);
    let batches = Arc::clone(&opened.batches);
    let added = tokio::task::spawn_blocking(move || batches.add(record)).await;
    let batch = added.map_err(|_| ApiError::internal("The batch could not be kept."))??;
    let shown = batch.record().to_json();
    opened.batches.start(Arc::clone(&app), batch);
    Ok(Json(shown))
}

async fn find(app: &SharedApp, id: &str, caller: Caller) -> Result<Arc<Batch>, ApiError> {
    let hex = id.strip_prefix("batch_").filter(|hex| hex.len() == 32);
    let uuid = hex.and_then(|hex| Uuid::try_parse(hex).ok());
    let batches = &app.disk.open(app).await?.batches;
    let found = uuid.and_then(|uuid| batches.get(uuid, caller));
    found.ok_or_else(|| {
        let message = format!("No such Batch object: {id:.100}");
        ApiError::not_found(message).at("id")
    })
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(find(&app, &id, caller).await?.record().to_json()))
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let (page, rest) = Page::read(query)?;
    if let Some((name, _)) = rest.first() {
        return Err(paging::unknown(name));
    }
    let records = app.disk.open(&app).await?.batches.all(caller);
    Ok(Json(page.cut(
        records,
        (20, 100),
        Record::id,
        Record::to_json,
    )?))
}

async fn cancel(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let batch = find(&app, &id, caller).await?;
    let status = batch.record().status;
    if status.is_final() {
        let message = format!("The batch is {} already.", json!(status));
        return Err(ApiError::bad_request(message).with_code("batch_over"));
    }
    let opened = app.disk.open(&app).await?;
    Ok(Json(opened.batches.cancel(&batch)?.to_json()))
}
