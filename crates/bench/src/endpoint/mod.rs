//! Any server that speaks OpenAI's chat completions.
//!
//! [`Endpoint::connect`] finds the server's model and how far away it is. [`http`] is the way there;
//! [`chunk`] knows how servers differ, [`sse`] how their chunks are cut.

mod chunk;
mod http;
mod sse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ponder_engine::Effort;
use ponder_figures::Random;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::prompt::{Prompt, join, words};
use crate::stop::Stop;
use crate::target::{Answered, Arrival, Ask, Target};
use crate::{BenchError, Case};
use chunk::{Chunk, Usage, error};
use http::{Http, innermost, text_of};
use sse::Lines;

pub use http::Server;

/// Words of the two requests from which the tokens of others are worked out.
const LINE: [usize; 2] = [32, 256];

/// How long the list of models may take that is asked for before a request.
const READY: Duration = Duration::from_secs(5);

/// How long is waited for the end of a connection's answer when all has been said.
const LINGER: Duration = Duration::from_millis(500);

/// A server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    http: Http,
    model: String,
    seed: u64,
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
    /// Finds a server, and its model where none is named.
    pub(crate) fn connect(server: &Server, seed: u64, stop: &Stop) -> Result<Self, BenchError> {
        let mut endpoint = Self {
            http: Http::connect(server, stop)?,
            model: server.model.clone().unwrap_or_default(),
            seed,
            is_strict: AtomicBool::new(false),
            lines: Mutex::default(),
        };
        if endpoint.model.is_empty() {
            let hint = "name the model with --endpoint-model, and check the address";
            let first = endpoint.first_model();
            endpoint.model = first.map_err(|problem| endpoint.fault(problem, hint))?;
        }
        Ok(endpoint)
    }

    pub(crate) fn url(&self) -> &str {
        self.http.url()
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn round_trip_s(&self) -> f64 {
        self.http.round_trip_s()
    }

    fn fault(&self, problem: String, hint: &'static str) -> BenchError {
        BenchError::Endpoint {
            url: self.url().to_owned(),
            problem,
            hint,
        }
    }

    fn first_model(&self) -> Result<String, String> {
        let text = self.http.wait(self.http.get("models"))?;
        let list: Value = serde_json::from_str(&text)
            .map_err(|_| format!("its list of models is no JSON: {text:.80}"))?;
        let id = list["data"][0]["id"].as_str();
        id.map(str::to_owned)
            .ok_or_else(|| "the server lists no model".to_owned())
    }

    fn body(&self, ask: &Ask, streams: bool, is_strict: bool) -> Value {
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
        if !is_strict {
            body["ignore_eos"] = json!(true);
            body["cache_prompt"] = json!(ask.uses_prefix_cache);
        }
        body
    }

    /// Asks, and says when: a server that refuses what OpenAI does not know is asked again without it.
    async fn post(&self, ask: &Ask, streams: bool) -> Result<(Instant, Response), String> {
        let send = async |is_strict| {
            let body = self.body(ask, streams, is_strict);
            let asked = Instant::now();
            let response = self.http.post("chat/completions", &body).await?;
            Ok::<_, String>((asked, response))
        };
        let was_strict = self.is_strict.load(Ordering::Relaxed);
        let (mut asked, mut response) = send(was_strict).await?;
        let refuses = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
        if !was_strict && refuses.contains(&response.status()) {
            (asked, response) = send(true).await?;
            if response.status().is_success() {
                self.is_strict.store(true, Ordering::Relaxed);
            }
        }
        match response.status().is_success() {
            true => Ok((asked, response)),
            false => Err(text_of(response).await.err().unwrap_or_default()),
        }
    }

    async fn stream(&self, ask: &Ask) -> Result<Answered, String> {
        let (asked, mut response) = self.post(ask, true).await?;
        let (mut answer, mut lines) = (Answer::default(), Lines::default());
        let mut start = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(innermost)? {
            let at_s = asked.elapsed().as_secs_f64();
            if start.len() < 80 {
                start.extend(bytes.iter().take(80));
            }
            answer.take(&lines.push(&bytes)?, at_s)?;
            if answer.is_done {
                // Only a connection whose answer was read to its end is used again.
                let _ = timeout(LINGER, async {
                    while let Ok(Some(_)) = response.chunk().await {}
                })
                .await;
                break;
            }
        }
        match answer.has_ended {
            true => Ok(answer.counted()),
            false if lines.n_data() == 0 => Err(format!(
                "the answer is no stream of events: {:.80}",
                String::from_utf8_lossy(&start)
            )),
            false => Err("the answer ended in the middle".to_owned()),
        }
    }

    /// How many tokens the server counts in a prompt.
    fn count(&self, text: String, effort: Option<Effort>) -> Result<usize, String> {
        let ask = Ask {
            text,
            max_tokens: 1,
            effort,
            uses_prefix_cache: false,
        };
        let text = self
            .http
            .wait(async { text_of(self.post(&ask, false).await?.1).await })?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|_| format!("its answer is no JSON: {text:.80}"))?;
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
            let hint = "ask the server something with curl";
            let found = found.map_err(|problem| self.fault(problem, hint))?;
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

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    answered: Answered,
    usage: Option<Usage>,
    /// The server has said that nothing follows.
    has_ended: bool,
    /// And that nothing about it follows either.
    is_done: bool,
}

impl Answer {
    /// Takes what came at one moment.
    fn take(&mut self, data: &[String], at_s: f64) -> Result<(), String> {
        let mut piece = None;
        for data in data {
            self.answered.latency_s = at_s;
            if data == "[DONE]" {
                (self.has_ended, self.is_done) = (true, true);
                continue;
            }
            let chunk = Chunk::parse(data)?;
            if let Some(error) = chunk.error {
                return Err(error);
            }
            self.has_ended |= chunk.is_end;
            self.usage = chunk.usage.or(self.usage);
            self.answered.server = chunk.times.or(self.answered.server);
            if chunk.has_reasoning || chunk.has_output {
                let piece = piece.get_or_insert(Arrival {
                    at_s,
                    is_output: false,
                });
                piece.is_output |= chunk.has_output;
            }
        }
        self.answered.arrivals.extend(piece);
        Ok(())
    }

    /// The answer with what the server counted.
    fn counted(self) -> Answered {
        let mut answered = self.answered;
        // A server that does not count sends a token per piece, or nobody can know.
        let counted = self.usage.unwrap_or(Usage {
            completion_tokens: answered.arrivals.len(),
            ..Usage::default()
        });
        answered.prompt_tokens = counted.prompt_tokens;
        let from_cache = answered.server.and_then(|times| times.cached_tokens);
        answered.cached_tokens = counted.cached_tokens.or(from_cache);
        answered.completion_tokens = counted.completion_tokens;
        answered.reasoning_tokens = counted.reasoning_tokens;
        answered
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
        // Where that fails, the request that follows says why.
        let _ = self.http.wait(async {
            let list = timeout(READY, self.http.get("models")).await;
            list.map_err(|error| error.to_string())
        });
    }

    fn is_stopped(&self) -> bool {
        self.http.is_stopped()
    }

    fn ask(&self, ask: &Ask) -> Result<Answered, String> {
        self.http.wait(self.stream(ask))
    }
}
