//! From logits to the next token of an answer, and from the token to events.

use std::time::Instant;

use ponder_effort::{
    Chances, Decision, Drawn as Drawing, Plan,
    control::{Controller, Place, ThinkingEnd},
    votes::Confidence,
};
use ponder_runtime::backend::{Draw, DrawnToken, KeptLogits};

use super::{Answer, Times};
use crate::{
    EngineError, Event, FinishReason, TokenChance, TokenReport,
    driver::{Asked, Drawn, Taken},
    grammar::Constraint,
    load::TextParts,
    probe::Looks,
};

/// What an answer draws that is to have no tokens.
const NO_TOKEN: Drawn = Drawn {
    token: 0,
    end: Some(FinishReason::Length),
};

impl Answer {
    pub(crate) fn draw(&mut self, logits: &mut [f32]) -> Result<Drawn, EngineError> {
        if self.max_tokens == 0 {
            return Ok(NO_TOKEN);
        }
        self.note_prefilled();
        self.hear();
        let (mask, decision) = wishes(&mut self.controller, &mut self.constraint, &self.times)?;
        let is_forced = matches!(decision, Decision::Force(_));
        let drawn = self.sampler.sample_masked(logits, mask, decision)?;
        let (token, is_instead) = (drawn.token, drawn.is_instead);
        let text = self.report_tokens.then_some(&*self.text);
        let report = note(&drawn, &mut self.confidence, text);
        self.accept(token, is_instead, is_forced, report)
    }

    /// Says how the next token comes to be, and where it is to be drawn from a row of logits on a device,
    /// has that done. The time that counts is that at which a step begins.
    pub(crate) fn ask(
        &mut self,
        row: usize,
        logits: &dyn KeptLogits,
    ) -> Result<Asked, EngineError> {
        if self.max_tokens == 0 {
            return Ok(Asked::Known(0));
        }
        self.hear();
        let (mask, decision) = wishes(&mut self.controller, &mut self.constraint, &self.times)?;
        Ok(match self.sampler.plan(mask, decision)? {
            Plan::Known(token) => Asked::Known(token),
            Plan::Draw(draw) if logits.push(&on_device(row, &draw)) => Asked::Pushed,
            Plan::Draw(_) | Plan::Logits => Asked::Logits,
        })
    }

    /// Takes the token that was asked for; `None` where that takes logits.
    pub(crate) fn take(&mut self, taken: Taken<'_>) -> Result<Option<Drawn>, EngineError> {
        if self.max_tokens == 0 {
            return Ok(Some(NO_TOKEN));
        }
        self.note_prefilled();
        let (token, chances, is_forced) = match taken {
            Taken::Known(token) => (token, None, true),
            Taken::Drawn(drawn) => (drawn.token, Some(chances(drawn)), false),
        };
        let Some(drawn) = self.sampler.take(token, chances.as_ref())? else {
            return Ok(None);
        };
        let (token, is_instead) = (drawn.token, drawn.is_instead);
        let text = self.report_tokens.then_some(&*self.text);
        let report = note(&drawn, &mut self.confidence, text);
        self.accept(token, is_instead, is_forced, report).map(Some)
    }

    fn note_prefilled(&mut self) {
        if self.times.prefilled.is_none() {
            self.times.prefilled = Some(self.now());
        }
    }

    /// What others have come to since the last token.
    fn hear(&mut self) {
        if self.outlet.wants_answer() {
            self.controller.close(ThinkingEnd::User);
        }
        if self.looks.as_mut().is_some_and(Looks::is_settled) && self.stream.in_reasoning() {
            self.controller.close(ThinkingEnd::EarlyExit);
        }
    }

    fn accept(
        &mut self,
        token: u32,
        is_instead: bool,
        is_forced: bool,
        report: Option<TokenReport>,
    ) -> Result<Drawn, EngineError> {
        self.usage.completion_tokens += 1;
        self.times.first_token.get_or_insert_with(Instant::now);
        if self.text.stop_tokens.contains(&token) {
            let end = Some(FinishReason::Stop);
            return Ok(Drawn { token, end });
        }
        if let Some(constraint) = &mut self.constraint
            && constraint.accept(token, is_forced)?
        {
            self.stream.begin_document(&mut self.events);
        }
        let before = self.stream.place();
        let n_events = self.events.len();
        self.stream.push(token, &mut self.events)?;
        let place = self.stream.place();
        if let Some(constraint) = &mut self.constraint {
            let in_call = self.stream.in_call();
            constraint.stand(token, place.in_thought, place.marker_bytes, in_call)?;
        }
        if let Some(mut report) = report {
            report.is_reasoning = belongs_to_thought(before, place, &report.token.bytes);
            self.events.insert(n_events, Event::Token(report));
        }
        self.controller.accept(token, is_instead, place);
        self.outlet.set_thinking(place.in_thought);
        if self.stream.has_answered() {
            self.times.first_output.get_or_insert_with(Instant::now);
        }
        self.times.first_text.get_or_insert_with(Instant::now);
        self.send_events();
        let end = self.end();
        Ok(Drawn { token, end })
    }
}

/// The tokens that may come next, and what the controller wants of them.
fn wishes<'a>(
    controller: &'a mut Controller,
    constraint: &'a mut Option<Constraint>,
    times: &Times,
) -> Result<(Option<&'a [u32]>, Decision<'a>), EngineError> {
    let opening = constraint.as_ref().map(Constraint::opening_tokens);
    let may_think = opening.is_none_or(|n| controller.may_open_within(n));
    let decision = controller.decide(times.asked.elapsed());
    let is_forced = matches!(decision, Decision::Force(_));
    let mask = match constraint {
        Some(constraint) if !is_forced => constraint.mask(may_think)?,
        _ => None,
    };
    Ok((mask, decision))
}

/// Adds to the confidence what is known of a token, and reports it where there is a text for that.
fn note(
    drawn: &Drawing<'_>,
    confidence: &mut Confidence,
    text: Option<&TextParts>,
) -> Option<TokenReport> {
    if !drawn.top_logprobs.is_empty() {
        let logprobs = drawn.top_logprobs.iter();
        confidence.add(logprobs.map(|top| top.logprob));
    }
    text.map(|text| text.report(drawn))
}

/// What the device has found, in the words of the sampler.
fn chances(drawn: &DrawnToken) -> Chances<'_> {
    Chances {
        logit: drawn.logit,
        max: drawn.max,
        mass: drawn.mass,
        likeliest: &drawn.likeliest[..drawn.n_likeliest],
    }
}

/// The sampler's wish in the words of the device.
pub(crate) fn on_device<'a>(row: usize, draw: &ponder_effort::Draw<'a>) -> Draw<'a> {
    Draw {
        row,
        mask: draw.mask,
        repetition: draw.repetition,
        presence: draw.presence,
        frequency: draw.frequency,
        seen: draw.seen,
        added: draw.added,
        raised: draw.raised,
        sharpness: draw.sharpness,
        top_k: draw.top_k,
        top_p: draw.top_p,
        min_p: draw.min_p,
        number: draw.number,
        likeliest: draw.likeliest,
    }
}

/// Whether a token is part of a thought, or of the layout behind it.
fn belongs_to_thought(before: Place, after: Place, bytes: &[u8]) -> bool {
    let is_layout = !after.answered && bytes.iter().all(u8::is_ascii_whitespace);
    after.thought_tokens > before.thought_tokens || is_layout
}

impl TextParts {
    fn report(&self, drawn: &Drawing<'_>) -> TokenReport {
        let chance = |id, logprob| TokenChance {
            id,
            bytes: self.tokenizer.token_bytes(id),
            logprob,
        };
        let top = drawn.top_logprobs.iter();
        TokenReport {
            token: chance(drawn.token, drawn.logprob.unwrap_or_default()),
            top: top.map(|top| chance(top.token, top.logprob)).collect(),
            is_reasoning: false,
        }
    }
}
