//! What is noted of every request: a number in the metrics, a line in the log, a name in the response.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::SharedApp;
use crate::ids;

/// Notes a request. Neither its headers nor its body are noted: they hold what is nobody's business.
pub(crate) async fn note(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let endpoint = request.extensions().get::<MatchedPath>();
    let endpoint = endpoint.map_or("other", MatchedPath::as_str);
    let endpoint = endpoint.strip_prefix("/v1").unwrap_or(endpoint).to_owned();
    let method = request.method().clone();
    let started = Instant::now();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let id = ids::new_id("req_");
    let ms = started.elapsed().as_millis();
    tracing::debug!(%method, endpoint, status, ms, id);
    app.metrics.count_request(endpoint, status);
    if let Ok(id) = HeaderValue::from_str(&id) {
        let name = HeaderName::from_static("x-request-id");
        response.headers_mut().insert(name, id);
    }
    response
}
