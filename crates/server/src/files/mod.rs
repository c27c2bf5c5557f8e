//! `/files`: what batches read and write.
//!
//! 1. [`FileStore`] keeps them; names are ours.
//! 2. [`upload`] takes one from a form, streaming it to the disk.
//! 3. The handlers here list, show, send and delete them.

mod store;
mod upload;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::SharedApp;
use crate::http::{ApiError, Caller};
use crate::paging::{self, Page};
pub(crate) use store::{FileMeta, FileStore, Purpose, file_id};

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/files", get(list).post(upload::create))
        // An upload has a limit of its own, which is counted as it arrives.
        .layer(DefaultBodyLimit::disable())
        .route("/files/{id}", get(one).delete(delete))
        .route("/files/{id}/content", get(content))
}

async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let (page, rest) = Page::read(query)?;
    let mut files = app.disk.open(&app).await?.files.all(caller);
    for (name, value) in rest {
        match name.as_str() {
            "purpose" => files.retain(|file| file.purpose.name() == value),
            _ => return Err(paging::unknown(&name)),
        }
    }
    let listed = page.cut(files, (10_000, 10_000), FileMeta::id, FileMeta::to_json)?;
    Ok(Json(listed))
}

/// The file that a path or a field names.
///
/// # Errors
/// When `caller` has none of this name.
pub(crate) fn find(files: &FileStore, id: &str, caller: Caller) -> Result<FileMeta, ApiError> {
    let found = parse_id(id).and_then(|uuid| files.get(uuid, caller));
    found.ok_or_else(|| {
        let id: String = id.chars().take(100).collect();
        ApiError::not_found(format!("No such File object: {id}")).at("id")
    })
}

fn parse_id(id: &str) -> Option<Uuid> {
    let hex = id.strip_prefix("file-").filter(|hex| hex.len() == 32)?;
    Uuid::try_parse(hex).ok()
}

async fn one(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let files = &app.disk.open(&app).await?.files;
    Ok(Json(find(files, &id, caller)?.to_json()))
}

async fn content(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let files = &app.disk.open(&app).await?.files;
    let meta = find(files, &id, caller)?;
    let body = Body::from_stream(files.read(meta.uuid).await?);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (header::CONTENT_LENGTH, meta.bytes.into()),
        // A browser shows none of it as a page of this server.
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, body).into_response())
}

async fn delete(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let opened = app.disk.open(&app).await?;
    let meta = find(&opened.files, &id, caller)?;
    if let Some(batch) = opened.batches.reader_of(meta.uuid) {
        let message = format!("{batch} reads this file. Cancel it first, or wait for its end.");
        return Err(ApiError::bad_request(message).with_code("file_in_use"));
    }
    opened.files.remove(meta.uuid).await?;
    Ok(Json(
        json!({"id": meta.id(), "object": "file", "deleted": true}),
    ))
}
