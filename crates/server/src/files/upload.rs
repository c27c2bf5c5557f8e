//! `POST /files`: a form whose file goes to the disk as it arrives.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{FileMeta, FileStore, Purpose};
use crate::app::SharedApp;
use crate::disk::DiskError;
use crate::http::{ApiError, Caller};
use crate::ids::now;

/// Bytes of a file.
const MAX_FILE: u64 = 200 << 20;

/// Bytes that a form may run ahead of what is taken from it.
const MAX_AHEAD: usize = 4 << 20;

/// Bytes of a field that is not the file.
const MAX_TEXT: usize = 1 << 10;

pub(super) async fn create(
    State(app): State<SharedApp>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let files = Arc::clone(&app.disk.open(&app).await?.files);
    if files.is_full() {
        let message = "There are as many files as the server keeps; delete some.";
        return Err(ApiError::bad_request(message).with_code("too_many_files"));
    }
    let pace = Pace {
        ahead: Arc::default(),
        patience: app.options.client_timeout,
    };
    let mut form = open(request, &pace).await?;
    let (mut upload, mut purpose) = (None, None);
    while let Some(mut field) = pace.wait(form.next_field()).await? {
        match field.name().unwrap_or_default() {
            "file" if upload.is_none() => {
                let filename = field.file_name().unwrap_or("upload").chars().take(255);
                let mut part = Upload::new(&files, filename.collect()).await?;
                while let Some(chunk) = pace.wait(field.chunk()).await? {
                    part.write(&chunk).await?;
                }
                upload = Some(part);
            }
            "purpose" if purpose.is_none() => purpose = Some(text(&mut field, &pace).await?),
            name @ ("expires_after" | "expires_after[anchor]" | "expires_after[seconds]") => {
                let why = "files stay until they are deleted";
                return Err(ApiError::unsupported(name, why));
            }
            name => {
                let name: String = name.chars().take(100).collect();
                let message = format!("Unrecognized form field, or one sent twice: {name}");
                let error = ApiError::bad_request(message).at(name);
                return Err(error.with_code("unknown_parameter"));
            }
        }
    }
    let purpose = purpose.ok_or_else(|| ApiError::missing("purpose"))?;
    if purpose != Purpose::Batch.name() {
        let message = "Files are kept for batches only: `purpose` is 'batch'.";
        return Err(ApiError::invalid("purpose", message));
    }
    let upload = upload.ok_or_else(|| ApiError::missing("file"))?;
    Ok(Json(upload.keep(files, caller).await?.to_json()))
}

async fn open(request: Request, pace: &Pace) -> Result<Multipart, ApiError> {
    let ahead = Arc::clone(&pace.ahead);
    let request = request.map(|body| gentle(body, ahead));
    Multipart::from_request(request, &())
        .await
        .map_err(|error| {
            ApiError::bad_request(error.body_text())
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .with_code("unsupported_content_type")
        })
}

/// A body that does not run ahead: the parser of forms reads whatever is ready before it gives
/// anything out. It waits after each piece and not before, so that the end never comes together with
/// the beginning, which the parser would take for a form without a beginning.
fn gentle(body: Body, ahead: Arc<AtomicUsize>) -> Body {
    let begin = (body.into_data_stream(), ahead, false);
    Body::from_stream(stream::unfold(
        begin,
        |(mut body, ahead, is_given)| async move {
            if is_given {
                tokio::task::yield_now().await;
            }
            let piece = body.next().await?.map_err(io::Error::other);
            let piece = piece.and_then(|piece| {
                let before = ahead.fetch_add(piece.len(), Ordering::Relaxed);
                match before + piece.len() > MAX_AHEAD {
                    true => Err(io::Error::other("the form has a header without an end")),
                    false => Ok(piece),
                }
            });
            Some((piece, (body, ahead, true)))
        },
    ))
}

/// How a form arrives.
struct Pace {
    /// Bytes since something was last taken.
    ahead: Arc<AtomicUsize>,
    patience: Duration,
}

impl Pace {
    async fn wait<T>(
        &self,
        next: impl Future<Output = Result<Option<T>, MultipartError>>,
    ) -> Result<Option<T>, ApiError> {
        let late = |_| {
            ApiError::bad_request("The form did not arrive in time.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        };
        let next = tokio::time::timeout(self.patience, next).await;
        let taken = next.map_err(late)?;
        self.ahead.store(0, Ordering::Relaxed);
        taken.map_err(|error| ApiError::bad_request(error.body_text()).with_code("invalid_form"))
    }
}

async fn text(field: &mut Field<'_>, pace: &Pace) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = pace.wait(field.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_TEXT {
            return Err(ApiError::bad_request("A form field is too long."));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::bad_request("A form field is not UTF-8."))
}

/// A file that is being written; dropped before it is kept, it is gone.
struct Upload {
    uuid: Uuid,
    filename: String,
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Upload {
    async fn new(files: &FileStore, filename: String) -> Result<Self, DiskError> {
        let uuid = Uuid::now_v7();
        let path = files.partial(uuid);
        Ok(Self {
            uuid,
            filename,
            file: File::create(&path).await?,
            path,
            bytes: 0,
        })
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > MAX_FILE {
            let message = format!("The file is larger than {MAX_FILE} bytes.");
            return Err(ApiError::bad_request(message)
                .at("file")
                .with_status(StatusCode::PAYLOAD_TOO_LARGE)
                .with_code("file_too_large"));
        }
        Ok(self.file.write_all(chunk).await.map_err(DiskError::from)?)
    }

    async fn keep(mut self, files: Arc<FileStore>, owner: Caller) -> Result<FileMeta, DiskError> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let meta = FileMeta {
            uuid: self.uuid,
            owner,
            bytes: self.bytes,
            created_at: now(),
            filename: std::mem::take(&mut self.filename),
            purpose: Purpose::Batch,
        };
        let kept = tokio::task::spawn_blocking(move || {
            files.keep(&self.path, meta.clone())?;
            Ok(meta)
        });
        kept.await.map_err(|error| DiskError::Io(error.into()))?
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Of one that is kept nothing is left under this name.
        let _ = std::fs::remove_file(&self.path);
    }
}
