//! The way to a server: its address, its key, and how long it may take.

use std::future::Future;
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::chunk::error;
use crate::BenchError;
use crate::stop::Stop;

/// Connections of which the fastest says how long the way is.
const CONNECTIONS: usize = 5;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection may have had nothing to do and be used again; servers close theirs after five
/// seconds and more.
const IDLE: Duration = Duration::from_secs(3);

/// Bytes of an answer that is no stream, at most.
const MOST_BYTES: usize = 16 << 20;

/// Characters of what a server says that are repeated.
const SAID: usize = 200;

/// A server, and how it is asked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address, with or without `/v1`.
    pub url: String,
    /// What it calls its model; `None`: the first that it lists.
    pub model: Option<String>,
    /// The key that it wants.
    pub key: Option<String>,
    /// How long it may say nothing before a request has failed.
    pub silence: Duration,
}

#[derive(Debug)]
pub(super) struct Http {
    base: Url,
    shown: String,
    key: Option<String>,
    client: Client,
    runtime: Runtime,
    round_trip_s: f64,
    stop: Stop,
}

impl Http {
    /// Finds the server, and how far away it is.
    pub(super) fn connect(server: &Server, stop: &Stop) -> Result<Self, BenchError> {
        let base = base_of(&server.url)?;
        let shown = without_password(&base);
        let fault = |problem: String, hint| BenchError::Endpoint {
            url: shown.clone(),
            problem,
            hint,
        };
        // Two threads, so that requests side by side do not wait for each other's bytes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| fault(error.to_string(), "free some memory"))?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(server.silence)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        let host = base.host_str().unwrap_or_default().to_owned();
        if host == "localhost" || host.starts_with("127.") || host == "[::1]" {
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| fault(error.to_string(), "check the system's certificates"))?;
        let port = base.port_or_known_default().unwrap_or(80);
        let round_trip_s = wait(&runtime, stop, round_trip(&host, port))
            .map_err(|problem| fault(problem, "start the server, or check the address"))?;
        Ok(Self {
            base,
            shown,
            key: server.key.clone(),
            client,
            runtime,
            round_trip_s,
            stop: stop.clone(),
        })
    }

    /// The address, without what is secret in it.
    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    pub(super) fn round_trip_s(&self) -> f64 {
        self.round_trip_s
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Waits for something, or until the measurement is stopped.
    pub(super) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        wait(&self.runtime, &self.stop, work)
    }

    pub(super) async fn get(&self, path: &str) -> Result<String, String> {
        let get = self.with_key(self.client.get(self.path(path)));
        text_of(get.send().await.map_err(innermost)?).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Response, String> {
        let post = self
            .client
            .post(self.path(path))
            .header("content-type", "application/json")
            .body(body.to_string());
        self.with_key(post).send().await.map_err(innermost)
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

fn wait<T>(
    runtime: &Runtime,
    stop: &Stop,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = stop.wait() => Err("it was stopped".to_owned()),
        }
    })
}

/// The address up to `/v1`, however much of it was typed.
pub(super) fn base_of(url: &str) -> Result<Url, BenchError> {
    let fault = |problem: String| BenchError::Endpoint {
        url: url.to_owned(),
        problem,
        hint: "write it as http://127.0.0.1:8080",
    };
    let full = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let mut parsed = Url::parse(&full).map_err(|error| fault(error.to_string()))?;
    if !["http", "https"].contains(&parsed.scheme()) || !parsed.has_host() {
        return Err(fault("it is no address of an HTTP server".to_owned()));
    }
    parsed.set_query(None);
    parsed.set_fragment(None);
    let path = parsed.path().trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path);
    let path = match path.trim_end_matches('/') {
        "" => "/v1".to_owned(),
        path => path.to_owned(),
    };
    parsed.set_path(&path);
    Ok(parsed)
}

fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // Neither can fail where there is a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// The time that the fastest of a few connections takes to open: there and back once.
async fn round_trip(host: &str, port: u16) -> Result<f64, String> {
    let host = host.trim_matches(['[', ']']);
    let mut fastest = f64::INFINITY;
    for _ in 0..CONNECTIONS {
        let began = Instant::now();
        let connection = timeout(CONNECT, tokio::net::TcpStream::connect((host, port))).await;
        let connection = connection
            .map_err(|_| format!("nobody answers within {} s", CONNECT.as_secs()))?
            .map_err(|error| error.to_string())?;
        fastest = fastest.min(began.elapsed().as_secs_f64());
        drop(connection);
    }
    Ok(fastest)
}

/// The body of an answer, or what is wrong where that is what it says.
pub(super) async fn text_of(mut response: Response) -> Result<String, String> {
    let (status, mut bytes) = (response.status(), Vec::new());
    while let Some(more) = response.chunk().await.map_err(innermost)? {
        bytes.extend_from_slice(&more);
        if bytes.len() > MOST_BYTES {
            return Err(format!("{status}: the answer has no end"));
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let said = serde_json::from_str(&text).ok();
    let said = said.and_then(|value: Value| error(&value["error"]));
    let said = said.unwrap_or(text);
    Err(format!("{status}: {said:.SAID$}"))
}

/// What was wrong in the first place.
pub(super) fn innermost(error: reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "the server said nothing for too long".to_owned();
    }
    let mut error: &dyn std::error::Error = &error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
