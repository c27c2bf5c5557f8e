//! [`JsonBody`]: a body that is JSON, within the limits.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::ApiError;
use crate::app::SharedApp;

/// The body of a request, read to its end.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

/// Bytes of a body for which nobody has to wait.
const SMALL: usize = 256 << 10;

/// Bodies of the largest size that are read at the same time.
const LARGE_ONES: usize = 4;

/// The memory that bodies may take together while they are read: a server that lets in a thousand
/// connections must not read a large body from each of them at once.
#[derive(Debug)]
pub(crate) struct Room {
    /// A permit is a KiB.
    free: Semaphore,
    most: usize,
}

impl Room {
    pub(crate) fn new(max_body: usize) -> Self {
        let most = kib(max_body) * LARGE_ONES;
        Self {
            free: Semaphore::new(most),
            most,
        }
    }

    /// Waits until there is room for a body; of unknown length, for one of the largest size.
    async fn take(
        &self,
        length: Option<usize>,
        max_body: usize,
    ) -> Result<Option<SemaphorePermit<'_>>, AcquireError> {
        let length = length.unwrap_or(max_body);
        if length <= SMALL {
            return Ok(None);
        }
        let permits = kib(length).min(self.most);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        self.free.acquire_many(permits).await.map(Some)
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

impl FromRequest<SharedApp> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        is_json(request.headers())?;
        let limit = app.options.max_body;
        let length = content_length(request.headers());
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let read = async {
            let room = app.body_room.take(length, limit).await;
            let bytes = to_bytes(request.into_body(), limit).await;
            (room, bytes)
        };
        let read = tokio::time::timeout(app.options.client_timeout, read).await;
        let (_room, bytes) = match read {
            Ok((room, Ok(bytes))) => (room, bytes),
            Ok((_, Err(error))) => return Err(unreadable(&error, limit)),
            Err(_) => {
                let late = ApiError::bad_request("The request body did not arrive in time.");
                return Err(late.with_status(StatusCode::REQUEST_TIMEOUT));
            }
        };
        if bytes.len() <= SMALL {
            return parse(&bytes);
        }
        // Others do not wait for what takes a second to be read.
        let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        parsed.map_err(|_| ApiError::bug())?
    }
}

/// Reads JSON; the parser refuses more than 128 levels, so that no document exhausts the stack.
fn parse(bytes: &[u8]) -> Result<JsonBody, ApiError> {
    let value = serde_json::from_slice(bytes);
    value.map(JsonBody).map_err(|error| {
        ApiError::bad_request(format!("The request body is not valid JSON: {error}"))
            .with_code("invalid_json")
    })
}

/// A page of another site can send a form without asking, but no JSON.
fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let message = format!("The content type must be application/json, not '{essence:.100}'.");
    Err(ApiError::bad_request(message)
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .with_code("unsupported_content_type"))
}

fn unreadable(error: &axum::Error, limit: usize) -> ApiError {
    // axum wraps the error that says that the limit was reached, and has no name for it.
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return too_large(limit);
        }
        source = error.source();
    }
    ApiError::bad_request("The request body could not be read.")
}

fn too_large(limit: usize) -> ApiError {
    ApiError::bad_request(format!("The request body is larger than {limit} bytes."))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
        .with_code("request_too_large")
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let max_body = 1 << 20;
        let room = Room::new(max_body);
        let mut held = Vec::new();
        for _ in 0..LARGE_ONES {
            held.push(room.take(None, max_body).await.expect("room"));
        }
        let mut waiting = Box::pin(room.take(Some(max_body), max_body));
        let patience = std::time::Duration::from_millis(20);
        let wait = tokio::time::timeout(patience, &mut waiting).await;
        assert!(wait.is_err(), "there is room for one more");
        let small = room.take(Some(1000), max_body).await;
        assert!(small.expect("room").is_none());
        held.pop();
        assert!(waiting.await.expect("room").is_some());
    }
}
