//! [`JsonBody`]: a body that is JSON, within the limits.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::ApiError;
use crate::app::SharedApp;

/// The body of a request, read to its end.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<SharedApp> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        is_json(request.headers())?;
        let limit = app.options.max_body;
        let read = to_bytes(request.into_body(), limit);
        let read = tokio::time::timeout(app.options.client_timeout, read).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(unreadable(&error, limit)),
            Err(_) => {
                let late = ApiError::bad_request("The request body did not arrive in time.");
                return Err(late.with_status(StatusCode::REQUEST_TIMEOUT));
            }
        };
        // The parser refuses more than 128 levels, so that no document exhausts the stack.
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::bad_request(format!("The request body is not valid JSON: {error}"))
                .with_code("invalid_json")
        })?;
        Ok(Self(value))
    }
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
            let message = format!("The request body is larger than {limit} bytes.");
            return ApiError::bad_request(message)
                .with_status(StatusCode::PAYLOAD_TOO_LARGE)
                .with_code("request_too_large");
        }
        source = error.source();
    }
    ApiError::bad_request("The request body could not be read.")
}
