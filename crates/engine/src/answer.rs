//! One answer: what is drawn from the logits, as events.

mod token;

#[cfg(test)]
pub(crate) use token::on_device;

use std::sync::Arc;
use std::time::Instant;

use ponder_effort::{
    Sampler,
    control::{AnswerEnd, Controller},
    votes::Confidence,
};

use crate::{
    DeviceTimes, EngineError, Event, FinishReason, FirstToken, ReasoningEnd, Summary, Timings,
    Usage,
    grammar::Constraint,
    load::TextParts,
    occupancy::Ticket,
    outlet::Outlet,
    probe::{Looks, Probe},
    prompt::Prepared,
    schedule::Turn,
    stream::TextStream,
};

/// The state of an answer in the making.
pub(crate) struct Answer {
    text: Arc<TextParts>,
    outlet: Outlet,
    sampler: Sampler,
    controller: Controller,
    /// What holds the answer to a format.
    constraint: Option<Constraint>,
    confidence: Confidence,
    /// How it is found out that the answer is settled, if it is to be.
    looks: Option<Looks>,
    stream: TextStream,
    report_tokens: bool,
    turn: Turn,
    ticket: Ticket,
    max_tokens: usize,
    with_drafts: bool,
    with_prefix_cache: bool,
    n_forks: u64,
    usage: Usage,
    times: Times,
    /// Prompt tokens that the reader was told of last.
    told: Option<usize>,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    load_s: f64,
    asked: Instant,
    prepared: Instant,
    prefill_began: Option<Moment>,
    /// The logits of the first token were there.
    prefilled: Option<Moment>,
    first_token: Option<Instant>,
    /// The first token had become text.
    first_text: Option<Instant>,
    first_output: Option<Instant>,
}

/// A moment, and what a device had worked until then, in seconds, where there is one.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    device_s: Option<f64>,
}

impl Answer {
    /// An answer to a request that was made at `asked`.
    pub(crate) fn new(
        text: &Arc<TextParts>,
        prepared: &Prepared,
        (outlet, ticket): (Outlet, Ticket),
        asked: Instant,
        load_s: f64,
    ) -> Self {
        let stop = prepared.stop.clone();
        let stream = match prepared.is_raw {
            true => TextStream::raw(text, stop),
            false => TextStream::new(text, &prepared.text, &prepared.tools, stop),
        };
        outlet.set_thinking(stream.in_reasoning());
        Self {
            stream,
            text: Arc::clone(text),
            outlet,
            sampler: prepared.sampler.clone(),
            controller: prepared.controller.clone(),
            constraint: prepared.constraint.clone(),
            confidence: Confidence::default(),
            looks: Looks::new(prepared.early_exit, text).filter(|_| !prepared.is_raw),
            report_tokens: prepared.report_tokens,
            turn: prepared.turn,
            ticket,
            max_tokens: prepared.max_tokens,
            with_drafts: prepared.with_drafts,
            with_prefix_cache: prepared.with_prefix_cache,
            n_forks: 0,
            usage: Usage {
                prompt_tokens: prepared.prompt.len(),
                ..Usage::default()
            },
            times: Times {
                load_s,
                asked,
                prepared: Instant::now(),
                prefill_began: None,
                prefilled: None,
                first_token: None,
                first_text: None,
                first_output: None,
            },
            told: None,
            events: Vec::new(),
        }
    }

    /// Draws with other random numbers from now on.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.sampler.reseed(seed);
    }

    /// The seed that it draws with.
    pub(crate) fn seed(&self) -> u64 {
        self.sampler.seed()
    }

    /// An answer that has said the same so far and goes on by itself. Without a seed it gets one
    /// that follows from this answer's, another one for each fork.
    pub(crate) fn fork(&mut self, outlet: Outlet, seed: Option<u64>) -> Self {
        self.n_forks += 1;
        let mut twin = Self {
            text: Arc::clone(&self.text),
            outlet,
            sampler: self.sampler.clone(),
            controller: self.controller.clone(),
            constraint: self.constraint.clone(),
            confidence: self.confidence.clone(),
            looks: self.looks.as_ref().map(Looks::fork),
            stream: self.stream.clone(),
            ticket: self.ticket.clone(),
            n_forks: 0,
            events: Vec::new(),
            ..*self
        };
        twin.outlet.set_thinking(twin.stream.in_reasoning());
        twin.reseed(seed.unwrap_or_else(|| other_seed(self.seed(), self.n_forks)));
        twin
    }

    pub(crate) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Why the answer ends with the token that it has just been given, if it does.
    fn end(&self) -> Option<FinishReason> {
        if self.stream.is_stopped() {
            return Some(FinishReason::Stop);
        }
        let constraint = self.constraint.as_ref();
        if constraint.is_some_and(Constraint::is_over) {
            return Some(FinishReason::Stop);
        }
        // Where an answer has a format, repetition does not cut it.
        let is_whole = constraint.is_some_and(Constraint::is_inside);
        let end = self.controller.end();
        if let Some(end) = end.filter(|&end| !is_whole || end != AnswerEnd::Loop) {
            return Some(match end {
                AnswerEnd::Loop => FinishReason::Loop,
                AnswerEnd::Deadline => FinishReason::Deadline,
            });
        }
        let is_last = self.usage.completion_tokens >= self.max_tokens;
        is_last.then_some(FinishReason::Length)
    }

    fn send_events(&mut self) {
        for event in self.events.drain(..) {
            self.outlet.send(Ok(event));
        }
    }

    fn summary(&self, end: FinishReason, was_thinking: bool) -> Summary {
        let reasoning_ended_by = match (was_thinking, end) {
            _ if self.usage.reasoning_tokens == 0 => None,
            (true, FinishReason::Length) => Some(ReasoningEnd::Budget),
            (true, FinishReason::Cancelled) => Some(ReasoningEnd::User),
            (true, FinishReason::Deadline) => Some(ReasoningEnd::Deadline),
            _ => Some(
                self.controller
                    .ended_by()
                    .map_or(ReasoningEnd::Model, Into::into),
            ),
        };
        let calls_tools = end == FinishReason::Stop && self.stream.called_tools();
        Summary {
            finish_reason: if calls_tools {
                FinishReason::ToolCalls
            } else {
                end
            },
            reasoning_ended_by,
            usage: self.usage,
            timings: self.timings(),
            confidence: self.confidence.value(),
        }
    }

    fn timings(&self) -> Timings {
        let times = &self.times;
        let since_asked = |instant: Instant| instant.duration_since(times.asked).as_secs_f64();
        let rate = |tokens: usize, seconds: f64| match seconds > 0.0 {
            true => tokens as f64 / seconds,
            false => 0.0,
        };
        let prefill = match (times.prefill_began, times.first_token) {
            (Some(began), Some(first)) => first.duration_since(began.at).as_secs_f64(),
            _ => 0.0,
        };
        let decode = times
            .first_token
            .map_or(0.0, |first| first.elapsed().as_secs_f64());
        Timings {
            load_s: times.load_s,
            ttft_s: times.first_token.map_or(0.0, since_asked),
            ttfo_s: times.first_output.map(since_asked),
            prefill_tps: rate(self.usage.prompt_tokens - self.usage.cached_tokens, prefill),
            decode_tps: rate(self.usage.completion_tokens.saturating_sub(1), decode),
            first_token: self.times.first_token_parts(),
            device: self.device_times(),
        }
    }

    fn device_times(&self) -> Option<DeviceTimes> {
        let began = self.times.prefill_began?.device_s?;
        let prefilled = self.times.prefilled?.device_s?;
        let decode_s = self.ticket.device_busy_s()? - prefilled;
        let n_after = self.usage.completion_tokens.saturating_sub(1).max(1);
        Some(DeviceTimes {
            prefill_s: prefilled - began,
            tpot_s: decode_s / n_after as f64,
        })
    }

    fn now(&self) -> Moment {
        Moment {
            at: Instant::now(),
            device_s: self.ticket.device_busy_s(),
        }
    }
}

impl Times {
    fn first_token_parts(&self) -> FirstToken {
        let between = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from).as_secs_f64(),
            _ => 0.0,
        };
        let [began, prefilled] =
            [self.prefill_began, self.prefilled].map(|moment| moment.map(|moment| moment.at));
        FirstToken {
            tokenize_s: between(Some(self.asked), Some(self.prepared)),
            queue_s: between(Some(self.prepared), began),
            prefill_s: between(began, prefilled),
            sample_s: between(prefilled, self.first_token),
            detokenize_s: between(self.first_token, self.first_text),
        }
    }
}

/// What a [`Party`](crate::party::Party) does that is an answer.
impl Answer {
    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }

    pub(crate) fn uses_prefix_cache(&self) -> bool {
        self.with_prefix_cache
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.outlet.is_cancelled()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.outlet.is_full()
    }

    pub(crate) fn prompt_progress(&mut self, done: usize, cached: usize) {
        // A sequence that lost its place in the cache is computed anew: nobody needs to know.
        if self.usage.completion_tokens > 0 || self.told.is_some_and(|told| told >= done) {
            return;
        }
        if self.times.prefill_began.is_none() {
            self.times.prefill_began = Some(self.now());
        }
        self.usage.cached_tokens = cached;
        self.told = Some(done);
        self.outlet.send(Ok(Event::PromptProgress {
            done,
            total: self.usage.prompt_tokens,
            cached,
        }));
    }

    pub(crate) fn forced(&self, tokens: &mut Vec<u32>) {
        self.controller.forced(tokens);
        // The token after the last of them counts too.
        let left = self
            .max_tokens
            .saturating_sub(self.usage.completion_tokens + 1);
        tokens.truncate(left);
    }

    pub(crate) fn max_drafts(&self) -> usize {
        // The token after the last draft counts too.
        let left = self
            .max_tokens
            .saturating_sub(self.usage.completion_tokens + 1);
        if self.with_drafts { left } else { 0 }
    }

    /// A look at what the answer would be, from a natural break of the thought: before how many of its
    /// last tokens. What is to be put there is appended to `lead`.
    pub(crate) fn look_ahead(&mut self, lead: &mut Vec<u32>) -> Option<(Probe, usize)> {
        let looks = self.looks.as_mut()?;
        let before = self.controller.break_before()?;
        let n_tokens = self.usage.completion_tokens;
        let n_left = self.max_tokens.saturating_sub(n_tokens);
        let probe = looks.start(n_tokens, n_left, &self.text, lead)?;
        Some((probe, before))
    }

    pub(crate) fn finish(mut self, end: Result<FinishReason, EngineError>) {
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                drop(self.ticket);
                return self.outlet.send(Err(error));
            }
        };
        let was_thinking = self.stream.in_reasoning();
        self.stream.finish(&mut self.events);
        self.usage.reasoning_tokens = self.stream.reasoning_tokens();
        if let Some(looks) = &mut self.looks {
            looks.stop();
            self.usage.probe_tokens = looks.n_tokens();
        }
        self.send_events();
        let summary = self.summary(end, was_thinking);
        // Who reads the end may look at once how busy the engine is.
        drop(self.ticket);
        self.outlet.send(Ok(Event::Done(summary)));
    }
}

/// The n-th seed after another: a step of Weyl's sequence by the golden ratio, so that seeds that
/// users count upwards stay apart.
pub(crate) fn other_seed(seed: u64, n: u64) -> u64 {
    seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests;
