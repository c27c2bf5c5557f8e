//! [`ApiError`]: a refusal or a failure, in OpenAI's shape.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ponder_engine::EngineError;
use serde_json::{Value, json};

/// What a client is told where it does not get what it asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    pub(crate) code: Option<&'static str>,
    /// The field that is wrong, by its path.
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// A request that cannot be answered as it is.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// A field whose value cannot be used.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request(message)
            .at(param)
            .with_code("invalid_value")
    }

    /// A field that is known and not supported.
    pub(crate) fn unsupported(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        Self::bad_request(format!("Unsupported parameter: '{param}': {why}"))
            .at(param)
            .with_code("unsupported_parameter")
    }

    /// A field that must be there.
    pub(crate) fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::bad_request(format!("Missing required parameter: '{param}'."))
            .at(param)
            .with_code("missing_required_parameter")
    }

    /// Something that a path or a field names and that is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    /// Too little is left of something: the client may try again.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
    }

    /// A failure that is not the client's.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// A panic while a request was worked on.
    pub(crate) fn bug() -> Self {
        Self::internal("The server failed on this request, which is a bug; its log says more.")
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with a code that programs can look for.
    pub(crate) fn with_code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// The same, about the field with this path.
    pub(crate) fn at(self, param: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    /// The same with another `type`.
    pub(crate) fn of_type(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// The same, which may go away by itself.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// The JSON of it.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), message = self.message);
        }
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// What the engine says of a request or an answer.
impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::PromptTooLong { prompt, context } => Self::bad_request(format!(
                "This model's maximum context length is {context} tokens, of which at least one is for the answer. However, the prompt has {prompt} tokens. Please shorten it."
            ))
            .at("messages")
            .with_code("context_length_exceeded"),
            EngineError::NoMessages => Self::missing("messages"),
            EngineError::EmptyPrompt => Self::invalid("prompt", message),
            EngineError::Template(_) => Self::invalid("messages", message),
            EngineError::Format(_) => Self::invalid("response_format", message),
            EngineError::Sampling(_) | EngineError::Request(_) | EngineError::Tokenizer(_) => {
                Self::bad_request(message).with_code("invalid_value")
            }
            EngineError::Busy { .. } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                message,
            )
            .with_code("queue_full")
            .retry_after(2),
            _ => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_openais() {
        let body = ApiError::missing("messages").body();
        let expected = json!({"error": {
            "message": "Missing required parameter: 'messages'.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "missing_required_parameter",
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn a_prompt_that_is_too_long_says_both_numbers() {
        let error = ApiError::from(EngineError::PromptTooLong {
            prompt: 5000,
            context: 4096,
        });
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert_eq!(error.code, Some("context_length_exceeded"));
        assert!(error.message.contains("5000") && error.message.contains("4096"));
    }

    #[test]
    fn who_must_wait_is_told_how_long() {
        let response = ApiError::from(EngineError::Busy { waiting: 3 }).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
