//! [`Client`]: who waits for an answer, and how.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_server::ConnectionShutdown;

use super::{ApiError, Caller};

/// A mark on requests that come from a batch: everybody else goes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Background;

/// Who asks, and what is known of the way back.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) caller: Caller,
    /// Closed where the client takes nothing for too long.
    pub(crate) connection: Option<ConnectionShutdown>,
    pub(crate) is_background: bool,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, state).await?,
            connection: parts.extensions.get().cloned(),
            is_background: parts.extensions.get::<Background>().is_some(),
        })
    }
}
