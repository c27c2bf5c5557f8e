//! Any server that speaks OpenAI's chat completions.
//!
//! [`Endpoint::connect`] finds the server's model and how far away it is. [`chunk`] knows how servers
//! differ, [`sse`] how their chunks are cut.

mod chunk;
mod sse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ponder_engine::Effort;
use ponder_figures::Random;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::prompt::{Prompt, join, words};
use crate::target::{Answered, Arrival, Ask, Target};
use crate::{BenchError, Case};
use chunk::{Chunk, Usage, error};
use sse::Lines;

/// Connections of which the fastest says how long the way is.
const CONNECTIONS: usize = 5;

/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(600);

/// How long a connection may have had nothing to do and be used again; servers close theirs after five
/// seconds and more.
const IDLE: Duration = Duration::from_secs(3);

/// Words of the two requests from which the tokens of others are worked out.
const LINE: [usize; 2] = [32, 256];

/// A server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    base: Url,
    model: String,
    key: Option<String>,
    client: Client,
    runtime: Runtime,
    seed: u64,
    round_trip_s: f64,
    /// The server refuses fields that OpenAI does not know.
    is_strict: AtomicBool,
    lines: Mutex<BTreeMap<Option<Effort>, Line>>,
}

/// Tokens of a prompt by its words.
#[derive(Clone, Copy, Debug)]
struct Line {
    at_none: f64,
    per_word: f64,
}

impl Endpoint {
    /// Finds a server at `url`, with or without `/v1`, and its model where none is named.
    pub(crate) fn connect(
        url: &str,
        model: Option<&str>,
        key: Option<&str>,
        seed: u64,
    ) -> Result<Self, BenchError> {
        let base = base_of(url)?;
        let fault = |problem: String, hint| BenchError::Endpoint {
            url: url.to_owned(),
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
            .read_timeout(SILENCE)
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
        let round_trip_s = runtime
            .block_on(round_trip(&host, port))
            .map_err(|error| fault(error.to_string(), "start the server, or check the address"))?;
        let mut endpoint = Self {
            base,
            model: model.unwrap_or_default().to_owned(),
            key: key.map(str::to_owned),
            client,
            runtime,
            seed,
            round_trip_s,
            is_strict: AtomicBool::new(false),
            lines: Mutex::default(),
        };
        if endpoint.model.is_empty() {
            endpoint.model = endpoint
                .first_model()
                .map_err(|problem| fault(problem, "name the model with --endpoint-model"))?;
        }
        Ok(endpoint)
    }

    pub(crate) fn url(&self) -> &str {
        self.base.as_str()
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn round_trip_s(&self) -> f64 {
        self.round_trip_s
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let get = self.client.get(self.path(path));
        match &self.key {
            Some(key) => get.bearer_auth(key),
            None => get,
        }
    }

    fn first_model(&self) -> Result<String, String> {
        let list: Value = self.runtime.block_on(async {
            let get = self.get("models");
            let text = text_of(get.send().await.map_err(innermost)?).await?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        })?;
        let id = list["data"][0]["id"].as_str();
        id.map(str::to_owned)
            .ok_or_else(|| "the server lists no model".to_owned())
    }

    fn body(&self, ask: &Ask, streams: bool) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": ask.text}],
            "max_tokens": ask.max_tokens,
            "seed": self.seed,
            "stream": streams,
        });
        if streams {
            body["stream_options"] = json!({"include_usage": true});
        }
        if let Some(effort) = ask.effort {
            body["reasoning_effort"] = json!(effort.name());
        }
        if !self.is_strict.load(Ordering::Relaxed) {
            body["ignore_eos"] = json!(true);
            body["cache_prompt"] = json!(ask.uses_prefix_cache);
        }
        body
    }

    async fn post(&self, ask: &Ask, streams: bool) -> Result<Response, String> {
        loop {
            let was_strict = self.is_strict.load(Ordering::Relaxed);
            let mut post = self
                .client
                .post(self.path("chat/completions"))
                .header("content-type", "application/json")
                .body(self.body(ask, streams).to_string());
            if let Some(key) = &self.key {
                post = post.bearer_auth(key);
            }
            let response = post.send().await.map_err(innermost)?;
            let refuses = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
            if refuses.contains(&response.status()) && !was_strict {
                self.is_strict.store(true, Ordering::Relaxed);
                continue;
            }
            return match response.status().is_success() {
                true => Ok(response),
                false => Err(text_of(response).await.err().unwrap_or_default()),
            };
        }
    }

    async fn stream(&self, ask: &Ask) -> Result<Answered, String> {
        let asked = Instant::now();
        let mut response = self.post(ask, true).await?;
        let (mut answered, mut lines) = (Answered::default(), Lines::default());
        let (mut usage, mut has_ended) = (None, false);
        while let Some(bytes) = response.chunk().await.map_err(innermost)? {
            let at_s = asked.elapsed().as_secs_f64();
            let mut piece = None;
            for data in lines.push(&bytes) {
                answered.latency_s = at_s;
                if data == "[DONE]" {
                    has_ended = true;
                    continue;
                }
                let chunk = Chunk::parse(&data)?;
                if let Some(error) = chunk.error {
                    return Err(error);
                }
                has_ended |= chunk.is_end;
                usage = chunk.usage.or(usage);
                answered.server = chunk.times.or(answered.server);
                if chunk.has_reasoning || chunk.has_output {
                    let piece = piece.get_or_insert(Arrival {
                        at_s,
                        is_output: false,
                    });
                    piece.is_output |= chunk.has_output;
                }
            }
            answered.arrivals.extend(piece);
        }
        if !has_ended {
            return Err("the answer ended in the middle".to_owned());
        }
        // A server that does not count sends a token per piece, or nobody can know.
        let counted = usage.unwrap_or(Usage {
            completion_tokens: answered.arrivals.len(),
            ..Usage::default()
        });
        answered.prompt_tokens = counted.prompt_tokens;
        answered.cached_tokens = counted.cached_tokens;
        answered.completion_tokens = counted.completion_tokens;
        answered.reasoning_tokens = counted.reasoning_tokens;
        Ok(answered)
    }

    /// How many tokens the server counts in a prompt.
    fn count(&self, text: String, effort: Option<Effort>) -> Result<usize, String> {
        let ask = Ask {
            text,
            max_tokens: 1,
            effort,
            uses_prefix_cache: false,
        };
        let answer: Value = self.runtime.block_on(async {
            let text = text_of(self.post(&ask, false).await?).await?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        })?;
        if let Some(error) = error(&answer["error"]) {
            return Err(error);
        }
        let usage = Usage::of(&answer["usage"]);
        usage
            .map(|usage| usage.prompt_tokens)
            .ok_or_else(|| "the server does not count the tokens of a prompt".to_owned())
    }

    fn line(&self, effort: Option<Effort>) -> Result<Line, BenchError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&line) = lines.get(&effort) {
            return Ok(line);
        }
        let mut random = Random::new(self.seed ^ 0x11ae);
        let mut count = |n| -> Result<f64, BenchError> {
            let text = join("", &words(&mut random, n));
            let found = self.count(text, effort);
            let found = found.map_err(|problem| BenchError::Endpoint {
                url: self.base.to_string(),
                problem,
                hint: "ask the server something with curl",
            })?;
            Ok(found as f64)
        };
        let [few, many] = [count(LINE[0])?, count(LINE[1])?];
        let per_word = ((many - few) / (LINE[1] - LINE[0]) as f64).max(0.1);
        let line = Line {
            at_none: few - per_word * LINE[0] as f64,
            per_word,
        };
        lines.insert(effort, line);
        Ok(line)
    }
}

impl Line {
    /// The words that `tokens` are; at least one.
    fn words(self, tokens: usize) -> usize {
        let words = (tokens as f64 - self.at_none) / self.per_word;
        (words.round() as usize).max(1)
    }
}

impl Target for Endpoint {
    fn prompt(&self, case: &Case, slot: usize, number: u64) -> Result<Prompt, BenchError> {
        let line = self.line(case.effort)?;
        let before = match case.depth {
            0 => 0,
            depth => line.words(depth),
        };
        let mut random = Random::new(self.seed ^ (0x5eed << 32) ^ slot as u64);
        let prefix = join("", &words(&mut random, before));
        let n = line.words(case.depth + case.prompt_tokens);
        let mut random = Random::new(self.seed.wrapping_add(number));
        let rest = words(&mut random, n.saturating_sub(before).max(1));
        let text = join(&prefix, &rest);
        Ok(Prompt { prefix, text })
    }

    /// Sees that there is a connection: a server may have closed those that had nothing to do.
    fn ready(&self) {
        let get = self.get("models");
        // Where that fails, the request that follows says why.
        let _ = self
            .runtime
            .block_on(async { text_of(get.send().await.map_err(innermost)?).await });
    }

    fn ask(&self, ask: &Ask) -> Result<Answered, String> {
        self.runtime.block_on(self.stream(ask))
    }
}

/// The address up to `/v1`, however much of it was typed.
fn base_of(url: &str) -> Result<Url, BenchError> {
    let typed = url.trim_end_matches('/');
    let typed = typed.strip_suffix("/chat/completions").unwrap_or(typed);
    let full = match typed.contains("://") {
        true => typed.to_owned(),
        false => format!("http://{typed}"),
    };
    let parsed = Url::parse(&full).map_err(|error| BenchError::Endpoint {
        url: url.to_owned(),
        problem: error.to_string(),
        hint: "write it as http://127.0.0.1:8080",
    })?;
    match parsed.path() {
        "" | "/" => Ok(parsed.join("v1").unwrap_or(parsed)),
        _ => Ok(parsed),
    }
}

/// The time that the fastest of a few connections takes to open: there and back once.
async fn round_trip(host: &str, port: u16) -> std::io::Result<f64> {
    let host = host.trim_matches(['[', ']']);
    let mut fastest = f64::INFINITY;
    for _ in 0..CONNECTIONS {
        let began = Instant::now();
        let connection = tokio::net::TcpStream::connect((host, port)).await?;
        fastest = fastest.min(began.elapsed().as_secs_f64());
        drop(connection);
    }
    Ok(fastest)
}

/// The body of an answer, or what is wrong where that is what it says.
async fn text_of(response: Response) -> Result<String, String> {
    let status = response.status();
    let text = response.text().await.map_err(innermost)?;
    if status.is_success() {
        return Ok(text);
    }
    let said = serde_json::from_str(&text).ok();
    let said = said.and_then(|value: Value| error(&value["error"]));
    Err(format!("{status}: {}", said.unwrap_or(text)))
}

/// What was wrong in the first place.
fn innermost(error: reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = &error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
