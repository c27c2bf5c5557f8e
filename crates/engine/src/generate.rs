//! One answer: prefill what is new of the prompt, then a token at a time.

use std::time::{Duration, Instant};

use ponder_effort::Decision;
use ponder_runtime::{
    cache::SeqId,
    decoder::{LogitsFor, Model, Step},
};

use crate::{
    EngineError, Event, FinishReason, ReasoningEnd, Summary, Timings, Usage, load::TextParts,
    stream::TextStream, worker::Job,
};

/// Prompt tokens per forward pass: enough to use matrix products well, few enough to report
/// progress and to be cancelled soon.
const PREFILL_CHUNK: usize = 256;

/// The sequence that the last request left in the cache, and its tokens.
pub(crate) struct History {
    sequence: Option<SeqId>,
    tokens: Vec<u32>,
    context: usize,
}

impl History {
    pub(crate) fn new(context: usize) -> Self {
        Self {
            sequence: None,
            tokens: Vec::new(),
            context,
        }
    }

    /// A sequence that holds as much of the prompt's beginning as possible, but not its last token,
    /// whose logits are wanted. Returns how many tokens it holds.
    fn reuse(
        &mut self,
        model: &mut dyn Model,
        prompt: &[u32],
    ) -> Result<(SeqId, usize), EngineError> {
        let common = self
            .tokens
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count();
        let keep = common.min(prompt.len() - 1);
        if let Some(sequence) = self.sequence.take() {
            if keep > 0 && model.truncate(sequence, keep).is_ok() {
                self.tokens.truncate(keep);
                self.sequence = Some(sequence);
                return Ok((sequence, keep));
            }
            model.free(sequence)?;
        }
        self.tokens.clear();
        let sequence = model.start(self.context)?;
        self.sequence = Some(sequence);
        Ok((sequence, 0))
    }

    /// Gives the cache back after an error that may have left it half written.
    fn forget(&mut self, model: &mut dyn Model) {
        if let Some(sequence) = self.sequence.take() {
            model.free(sequence).ok();
        }
        self.tokens.clear();
    }
}

/// The state of an answer in the making.
pub(crate) struct Answer<'a> {
    model: &'a mut dyn Model,
    text: &'a TextParts,
    job: Job,
    usage: Usage,
    first_token: Option<Instant>,
    first_output: Option<Instant>,
    prefill: Duration,
    logits: Vec<f32>,
}

/// The reader of the answer has gone away, or asked to stop.
struct Cancelled;

impl<'a> Answer<'a> {
    pub(crate) fn new(model: &'a mut dyn Model, text: &'a TextParts, job: Job) -> Self {
        let usage = Usage {
            prompt_tokens: job.prepared.prompt.len(),
            ..Usage::default()
        };
        Self {
            model,
            text,
            job,
            usage,
            first_token: None,
            first_output: None,
            prefill: Duration::ZERO,
            logits: Vec::new(),
        }
    }

    pub(crate) fn run(
        &mut self,
        history: &mut History,
        load_s: f64,
    ) -> Result<Summary, EngineError> {
        let result = self.generate(history);
        if result.is_err() {
            history.forget(self.model);
        }
        let (finish_reason, reasoning_ended_by) = result?;
        Ok(Summary {
            finish_reason,
            reasoning_ended_by,
            usage: self.usage,
            timings: self.timings(load_s),
        })
    }

    fn generate(
        &mut self,
        history: &mut History,
    ) -> Result<(FinishReason, Option<ReasoningEnd>), EngineError> {
        let prompt = std::mem::take(&mut self.job.prepared.prompt);
        let (sequence, cached) = history.reuse(self.model, &prompt)?;
        self.usage.cached_tokens = cached;
        if self.prefill(history, sequence, &prompt, cached)?.is_err() {
            return Ok((FinishReason::Cancelled, None));
        }
        let prepared = &self.job.prepared;
        let mut stream = TextStream::new(
            self.text,
            &prepared.text,
            &prepared.tools,
            prepared.stop.clone(),
        );
        let mut events = Vec::new();
        let mut finish = self.decode(history, sequence, &mut stream, &mut events)?;
        let thinking = stream.in_reasoning();
        stream.finish(&mut events);
        self.usage.reasoning_tokens = stream.reasoning_tokens();
        if self.send(&mut events).is_err() {
            finish = FinishReason::Cancelled;
        }
        let ended_by = match (thinking, finish) {
            _ if self.usage.reasoning_tokens == 0 => None,
            (false, _) | (true, FinishReason::Stop | FinishReason::ToolCalls) => {
                Some(ReasoningEnd::Model)
            }
            (true, FinishReason::Length) => Some(ReasoningEnd::Budget),
            (true, FinishReason::Cancelled) => Some(ReasoningEnd::User),
        };
        if finish == FinishReason::Stop && stream.called_tools() {
            finish = FinishReason::ToolCalls;
        }
        Ok((finish, ended_by))
    }

    fn prefill(
        &mut self,
        history: &mut History,
        sequence: SeqId,
        prompt: &[u32],
        cached: usize,
    ) -> Result<Result<(), Cancelled>, EngineError> {
        let started = Instant::now();
        let total = prompt.len();
        let mut done = cached;
        while done < total {
            if self
                .send(&mut vec![Event::PromptProgress {
                    done,
                    total,
                    cached,
                }])
                .is_err()
            {
                return Ok(Err(Cancelled));
            }
            let chunk = &prompt[done..total.min(done + PREFILL_CHUNK)];
            done += chunk.len();
            let logits = if done == total {
                LogitsFor::Last
            } else {
                LogitsFor::None
            };
            let rows = self.model.forward(&[Step {
                sequence,
                tokens: chunk,
                logits,
            }])?;
            self.logits.clear();
            self.logits.extend_from_slice(rows);
            history.tokens.extend_from_slice(chunk);
        }
        self.prefill = started.elapsed();
        Ok(self.send(&mut vec![Event::PromptProgress {
            done,
            total,
            cached,
        }]))
    }

    fn decode(
        &mut self,
        history: &mut History,
        sequence: SeqId,
        stream: &mut TextStream,
        events: &mut Vec<Event>,
    ) -> Result<FinishReason, EngineError> {
        let max_tokens = self.job.prepared.max_tokens;
        loop {
            if self.usage.completion_tokens == max_tokens {
                return Ok(FinishReason::Length);
            }
            let token = self
                .job
                .prepared
                .sampler
                .sample(&mut self.logits, Decision::Free)?
                .token;
            self.usage.completion_tokens += 1;
            self.first_token.get_or_insert_with(Instant::now);
            if self.text.stop_tokens.contains(&token) {
                return Ok(FinishReason::Stop);
            }
            stream.push(token, events)?;
            if stream.has_answered() {
                self.first_output.get_or_insert_with(Instant::now);
            }
            if self.send(events).is_err() {
                return Ok(FinishReason::Cancelled);
            }
            if stream.is_stopped() {
                return Ok(FinishReason::Stop);
            }
            let rows = self.model.forward(&[Step {
                sequence,
                tokens: &[token],
                logits: LogitsFor::Last,
            }])?;
            self.logits.clear();
            self.logits.extend_from_slice(rows);
            history.tokens.push(token);
        }
    }

    fn send(&self, events: &mut Vec<Event>) -> Result<(), Cancelled> {
        for event in events.drain(..) {
            self.job.events.send(Ok(event)).map_err(|_| Cancelled)?;
        }
        if self.job.canceller.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    fn timings(&self, load_s: f64) -> Timings {
        let since_asked = |instant: Instant| instant.duration_since(self.job.asked).as_secs_f64();
        let rate = |tokens: usize, seconds: f64| {
            if seconds > 0.0 {
                tokens as f64 / seconds
            } else {
                0.0
            }
        };
        let decode = self
            .first_token
            .map_or(0.0, |first| first.elapsed().as_secs_f64());
        Timings {
            load_s,
            ttft_s: self.first_token.map_or(0.0, since_asked),
            ttfo_s: self.first_output.map(since_asked),
            prefill_tps: rate(
                self.usage.prompt_tokens - self.usage.cached_tokens,
                self.prefill.as_secs_f64(),
            ),
            decode_tps: rate(self.usage.completion_tokens.saturating_sub(1), decode),
        }
    }
}
