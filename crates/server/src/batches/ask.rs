//! [`Ask`]: a line of a batch, asked as if it had come over the network.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

use crate::app::{self, SharedApp};
use crate::http::Caller;
use crate::http::client::Background;
use crate::ids::new_id;

/// Bytes of an answer.
const MAX_ANSWER: usize = 256 << 20;

/// How long a line waits that finds the server busy; longer each time.
const WAIT: Duration = Duration::from_millis(500);

/// How long it waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where the lines of a batch are asked.
#[derive(Debug)]
pub(super) struct Ask {
    router: Router,
    caller: Caller,
    endpoint: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) status: u16,
    pub(super) request_id: String,
    pub(super) body: Value,
}

impl Ask {
    pub(super) fn new(app: &SharedApp, caller: Caller, endpoint: &str) -> Self {
        Self {
            router: app::inner(app),
            caller,
            endpoint: endpoint.to_owned(),
        }
    }

    /// Asks until the server is not too busy to answer.
    pub(super) async fn ask(&self, body: Value) -> Asked {
        let mut wait = WAIT;
        loop {
            let asked = self.once(&body).await;
            if ![429, 503].contains(&asked.status) {
                return asked;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn once(&self, body: &Value) -> Asked {
        let request = Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(self.caller)
            .extension(Background)
            .body(Body::from(body.to_string()));
        let request_id = new_id("req_");
        let failed = |message: String| Asked {
            status: 500,
            request_id: request_id.clone(),
            body: json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}}),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return failed(error.to_string()),
        };
        // A router answers whatever happens.
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes = match to_bytes(response.into_body(), MAX_ANSWER).await {
            Ok(bytes) => bytes,
            Err(error) => return failed(error.to_string()),
        };
        match serde_json::from_slice(&bytes) {
            Ok(body) => Asked {
                status,
                request_id,
                body,
            },
            Err(error) => failed(format!("the answer is not JSON: {error}")),
        }
    }
}
