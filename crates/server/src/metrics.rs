//! `GET /metrics`: what the server does, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use ponder_engine::{Event, Occupancy, Summary};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::app::SharedApp;
use crate::chat::finish_reason;
use crate::http::ApiError;
use crate::models::Models;

type Labels = Vec<(&'static str, String)>;

/// All counts and times.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    tokens: Family<Labels, Counter>,
    answers: Family<Labels, Counter>,
    reasoning_ends: Family<Labels, Counter>,
    ttft_s: Histogram,
    ttfo_s: Histogram,
    itl_s: Histogram,
}

impl Metrics {
    pub(crate) fn new(models: &Arc<Models>) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let mut metrics = Self {
            registry: Registry::with_prefix("ponder"),
            requests: Family::default(),
            tokens: Family::default(),
            answers: Family::default(),
            reasoning_ends: Family::default(),
            ttft_s: seconds(),
            ttfo_s: seconds(),
            itl_s: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "http_requests",
            "Requests, by endpoint and status",
            metrics.requests.clone(),
        );
        registry.register(
            "tokens",
            "Tokens of prompts (cached ones included), found in the cache, generated (thinking included), and thought",
            metrics.tokens.clone(),
        );
        registry.register(
            "answers",
            "Answers that have ended, by reason",
            metrics.answers.clone(),
        );
        registry.register(
            "reasoning_ended",
            "Thoughts, by what ended them",
            metrics.reasoning_ends.clone(),
        );
        registry.register(
            "time_to_first_token_seconds",
            "From a request to its first token, whatever it is",
            metrics.ttft_s.clone(),
        );
        registry.register(
            "time_to_first_output_seconds",
            "From a request to its first token that is not thinking",
            metrics.ttfo_s.clone(),
        );
        registry.register(
            "inter_token_seconds",
            "Between two pieces of an answer",
            metrics.itl_s.clone(),
        );
        registry.register_collector(Box::new(Load(Arc::clone(models))));
        metrics
    }

    /// Counts a request.
    pub(crate) fn count_request(&self, endpoint: String, status: u16) {
        let labels = vec![("endpoint", endpoint), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts an answer that has ended.
    fn end(&self, model: &str, summary: &Summary) {
        let usage = &summary.usage;
        for (kind, n) in [
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
            ("reasoning", usage.reasoning_tokens),
        ] {
            let labels = vec![("model", model.to_owned()), ("kind", kind.to_owned())];
            self.tokens.get_or_create(&labels).inc_by(n as u64);
        }
        let labels = |name, value: String| vec![("model", model.to_owned()), (name, value)];
        let ended = labels(
            "finish_reason",
            finish_reason(summary.finish_reason).to_owned(),
        );
        self.answers.get_or_create(&ended).inc();
        if let Some(end) = summary.reasoning_ended_by {
            let by = serde_json::to_value(end).ok();
            let by = by.as_ref().and_then(|by| by.as_str()).unwrap_or_default();
            let ended = labels("by", by.to_owned());
            self.reasoning_ends.get_or_create(&ended).inc();
        }
        if usage.completion_tokens > 0 {
            self.ttft_s.observe(summary.timings.ttft_s);
        }
        if let Some(ttfo_s) = summary.timings.ttfo_s {
            self.ttfo_s.observe(ttfo_s);
        }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The times of answers under way.
#[derive(Debug)]
pub(crate) struct Meter {
    model: String,
    /// When the last piece of each came.
    last: Vec<Option<Instant>>,
}

impl Meter {
    pub(crate) fn new(model: &str, n: usize) -> Self {
        Self {
            model: model.to_owned(),
            last: vec![None; n],
        }
    }

    /// Notes an event of the answer with this index.
    pub(crate) fn note(&mut self, index: usize, event: &Event, metrics: &Metrics) {
        match event {
            Event::Reasoning(_) | Event::Content(_) | Event::ToolCall(_) => {
                let now = Instant::now();
                if let Some(last) = self.last[index].replace(now) {
                    metrics.itl_s.observe((now - last).as_secs_f64());
                }
            }
            Event::Done(summary) => metrics.end(&self.model, summary),
            Event::PromptProgress { .. } | Event::Token(_) | Event::Votes(_) => {}
        }
    }
}

/// One figure of many.
type Reading = fn(&Occupancy) -> usize;

/// How busy the models are, asked when somebody wants to know.
#[derive(Debug)]
struct Load(Arc<Models>);

impl Collector for Load {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let busy: Vec<(String, Occupancy)> = self
            .0
            .all()
            .filter_map(|(names, loaded)| Some((names.id.clone(), loaded?.0.occupancy())))
            .collect();
        let gauges: [(&str, &str, Reading); 4] = [
            ("answers_running", "Answers that are being made", |now| {
                now.running
            }),
            ("answers_waiting", "Answers that wait for a place", |now| {
                now.waiting
            }),
            ("cache_tokens_used", "Tokens in the cache", |now| {
                now.cache_tokens_used
            }),
            ("cache_tokens", "Tokens that the cache holds", |now| {
                now.cache_tokens
            }),
        ];
        for (name, help, read) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (model, now) in &busy {
                let labels = [("model", model.as_str())];
                let mut gauge = family.encode_family(&labels)?;
                gauge.encode_gauge(&i64::try_from(read(now)).unwrap_or(i64::MAX))?;
            }
        }
        Ok(())
    }
}

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route("/metrics", get(show))
}

async fn show(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    let text = app.metrics.text();
    let text = text.map_err(|_| ApiError::internal("The metrics cannot be written."))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let kind = HeaderValue::from_static(kind);
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response())
}
