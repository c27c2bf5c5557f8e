//! The table of paths, and what every request passes on its way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::csrf::CsrfLayer;

use crate::disk::Disk;
use crate::error::ServeError;
use crate::http::auth::{self, HostNames, Keys};
use crate::http::{ApiError, Room, visits};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::options::ServerOptions;
use crate::responses::ResponseStore;
use crate::running::Running;
use crate::{
    batches, chat, completions, embeddings, files, listing, metrics, page, responses, tokens,
};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: ServerOptions,
    pub(crate) keys: Keys,
    pub(crate) hosts: HostNames,
    pub(crate) models: Arc<Models>,
    pub(crate) running: Arc<Running>,
    pub(crate) metrics: Metrics,
    pub(crate) body_room: Room,
    pub(crate) responses: ResponseStore,
    pub(crate) disk: Disk,
    /// The server is being shut down: what runs is finished, nothing is begun.
    pub(crate) is_closing: AtomicBool,
}

/// [`App`], as handlers take it.
pub(crate) type SharedApp = Arc<App>;

/// All paths, each with and without `/v1`.
pub(crate) fn router(app: &SharedApp) -> Result<Router, ServeError> {
    let with_key = Router::new()
        .merge(answers())
        .merge(batches::routes())
        .merge(files::routes())
        .merge(listing::routes())
        .merge(metrics::routes())
        .merge(tokens::routes())
        .route_layer(from_fn_with_state(Arc::clone(app), auth::check_key));
    let open = Router::new().route("/health", get(health));
    let both = with_key.merge(open);
    let origins = origins(&app.options.cors_origins)?;
    let router = Router::new()
        .nest("/v1", both.clone())
        .merge(both)
        .merge(page::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(app.options.max_body))
        .layer(csrf(&app.options.cors_origins)?.with_rejection_response(|_| foreign()))
        .layer(cors(origins))
        .layer(from_fn_with_state(Arc::clone(app), auth::check_host))
        .layer(from_fn_with_state(Arc::clone(app), refuse_when_closing))
        .layer(CatchPanicLayer::custom(|_| ApiError::bug().into_response()))
        .layer(from_fn_with_state(Arc::clone(app), visits::note))
        .with_state(Arc::clone(app));
    Ok(router)
}

/// Paths that a model answers.
fn answers() -> Router<SharedApp> {
    Router::new()
        .merge(chat::routes())
        .merge(completions::routes())
        .merge(embeddings::routes())
        .merge(responses::routes())
}

/// The same for requests from inside, which have passed the door already.
pub(crate) fn inner(app: &SharedApp) -> Router {
    Router::new()
        .nest("/v1", answers())
        .layer(CatchPanicLayer::custom(|_| ApiError::bug().into_response()))
        .with_state(Arc::clone(app))
}

/// Pages of these origins may read answers; others get no header that allows it.
fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
}

/// Pages of other origins cannot make this server work either, even where they cannot read the answer.
fn csrf(origins: &[String]) -> Result<CsrfLayer, ServeError> {
    let mut layer = CsrfLayer::new();
    for origin in origins {
        let added = layer.add_trusted_origin(origin);
        layer = added.map_err(|_| ServeError::Origin(origin.clone()))?;
    }
    Ok(layer)
}

fn origins(texts: &[String]) -> Result<Vec<HeaderValue>, ServeError> {
    let parse = |text: &String| {
        let value = text.parse::<HeaderValue>();
        value.map_err(|_| ServeError::Origin(text.clone()))
    };
    texts.iter().map(parse).collect()
}

async fn health(State(app): State<SharedApp>) -> Response {
    match app.is_closing.load(Ordering::Relaxed) {
        false => Json(json!({"status": "ok"})).into_response(),
        true => closing().into_response(),
    }
}

async fn refuse_when_closing(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // Answers that run can still be asked to come to an end.
    let is_new = request.method() == Method::POST && !request.uri().path().ends_with("/answer_now");
    if is_new && app.is_closing.load(Ordering::Relaxed) {
        return Err(closing());
    }
    Ok(next.run(request).await)
}

fn closing() -> ApiError {
    ApiError::unavailable("The server is being shut down.")
        .with_code("shutting_down")
        .retry_after(10)
}

fn foreign() -> Response {
    ApiError::bad_request(
        "Pages of this origin may not ask. The server's owner can allow it with --cors-origin.",
    )
    .with_status(StatusCode::FORBIDDEN)
    .with_code("origin_not_allowed")
    .into_response()
}

async fn unknown_path(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::not_found(format!("Invalid URL ({method} {path:.200})")).with_code("unknown_url")
}

async fn wrong_method(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::bad_request(format!("Not allowed to {method} on {path:.200}"))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .with_code("method_not_supported")
}
