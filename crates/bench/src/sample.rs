//! The figures of one request, from what came when.

use serde::{Deserialize, Serialize};

use crate::target::{Answered, Arrival, ServerTimes};

/// One request: what it took, or why it failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The number of the run.
    pub run: usize,
    /// Which of the requests that were made side by side.
    pub slot: usize,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It failed; it is in no statistic.
    Failed {
        /// Why.
        error: String,
    },
    /// It was answered.
    Answered(Box<Figures>),
}

/// The figures of an answer. Times in milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // `DEFINITIONS` says what they are.
pub struct Figures {
    pub prompt_tokens: usize,
    pub cached_tokens: Option<usize>,
    pub completion_tokens: usize,
    pub reasoning_tokens: usize,
    pub ttft_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttft_parts: Option<Parts>,
    pub ttfo_ms: Option<f64>,
    pub tpot_ms: Option<f64>,
    pub itl_ms: Vec<f64>,
    pub prefill_tps: Option<f64>,
    pub decode_tps: Option<f64>,
    pub latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub load_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_prefill_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_tpot_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_prefill_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_tpot_ms: Option<f64>,
}

/// The parts of the time to the first token. They add up to it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // `DEFINITIONS` says what they are.
pub struct Parts {
    pub tokenize_ms: f64,
    pub queue_ms: f64,
    pub prefill_ms: f64,
    pub sample_ms: f64,
    pub detokenize_ms: f64,
    pub emit_ms: f64,
}

impl Sample {
    /// The figures, of an answer.
    pub fn figures(&self) -> Option<&Figures> {
        match &self.outcome {
            Outcome::Answered(figures) => Some(figures),
            Outcome::Failed { .. } => None,
        }
    }
}

impl Figures {
    /// The figures of an answer to a request that came `late_s` after it was due, over a line that
    /// takes `round_trip_s`.
    ///
    /// # Errors
    /// When there is nothing to be measured.
    pub(crate) fn of(answered: &Answered, late_s: f64, round_trip_s: f64) -> Result<Self, String> {
        let arrivals = &answered.arrivals;
        let Some(first) = arrivals.first() else {
            return Err("the answer has no text".to_owned());
        };
        let late_ms = 1000.0 * late_s;
        let ttft_ms = 1000.0 * first.at_s + late_ms;
        let output = arrivals.iter().find(|arrival| arrival.is_output);
        let ttft_parts = answered.engine.map(|times| {
            let parts = times.first_token;
            let mut parts = Parts {
                tokenize_ms: 1000.0 * parts.tokenize_s,
                queue_ms: 1000.0 * parts.queue_s + late_ms,
                prefill_ms: 1000.0 * parts.prefill_s,
                sample_ms: 1000.0 * parts.sample_s,
                detokenize_ms: 1000.0 * parts.detokenize_s,
                emit_ms: 0.0,
            };
            parts.emit_ms = ttft_ms - parts.sum_ms();
            parts
        });
        let prefill_s = match answered.engine {
            Some(times) => times.first_token.prefill_s,
            None => first.at_s - round_trip_s,
        };
        let cached = answered.cached_tokens.unwrap_or(0);
        let computed = answered.prompt_tokens.saturating_sub(cached) as f64;
        let tpot_ms = tpot_ms(answered);
        let device = answered.engine.and_then(|times| times.device);
        Ok(Self {
            prompt_tokens: answered.prompt_tokens,
            cached_tokens: answered.cached_tokens,
            completion_tokens: answered.completion_tokens,
            reasoning_tokens: answered.reasoning_tokens,
            ttft_ms,
            ttft_parts,
            ttfo_ms: output.map(|arrival| 1000.0 * arrival.at_s + late_ms),
            tpot_ms,
            itl_ms: gaps_ms(arrivals),
            // A line may be slower than the answer over it.
            prefill_tps: (prefill_s > 0.0 && computed > 0.0).then(|| computed / prefill_s),
            decode_tps: tpot_ms.map(|ms| 1000.0 / ms),
            latency_ms: 1000.0 * answered.latency_s + late_ms,
            load_ms: None,
            start_ms: None,
            disk_mb: None,
            device_prefill_ms: device.map(|times| 1000.0 * times.prefill_s),
            // One token has none after it.
            device_tpot_ms: device
                .filter(|_| tpot_ms.is_some())
                .map(|times| 1000.0 * times.tpot_s),
            server_prefill_ms: answered.server.map(|times: ServerTimes| times.prefill_ms),
            server_tpot_ms: answered.server.map(|times| times.tpot_ms),
        })
    }
}

impl Parts {
    fn sum_ms(&self) -> f64 {
        self.tokenize_ms
            + self.queue_ms
            + self.prefill_ms
            + self.sample_ms
            + self.detokenize_ms
            + self.emit_ms
    }
}

fn gaps_ms(arrivals: &[Arrival]) -> Vec<f64> {
    let gap = |pair: &[Arrival]| 1000.0 * (pair[1].at_s - pair[0].at_s);
    arrivals.windows(2).map(gap).collect()
}

/// Time per token after the first: by the engine's clock, which sees tokens without text too, or from
/// the first piece to the last, where a piece is as many tokens as the mean.
fn tpot_ms(answered: &Answered) -> Option<f64> {
    if let Some(times) = answered.engine {
        return (times.decode_tps > 0.0).then(|| 1000.0 / times.decode_tps);
    }
    let arrivals = &answered.arrivals;
    let (n, pieces) = (answered.completion_tokens as f64, arrivals.len() as f64);
    let n_after = n - n / pieces;
    let span = arrivals.last()?.at_s - arrivals.first()?.at_s;
    (n_after > 0.0 && span > 0.0).then(|| 1000.0 * span / n_after)
}
