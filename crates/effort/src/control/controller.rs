//! [`Controller`]: the state of one answer.

use std::sync::Arc;
use std::time::Duration;

use super::pace::Pace;
use super::repeat::{IN_ANSWER, IN_THOUGHT, Repeats};
use super::{AnswerEnd, Limits, Phase, Place, Tables, ThinkingEnd};
use crate::{Decision, Steer};

/// Controls one answer. A clone goes on exactly as the original would.
#[derive(Debug, Clone)]
pub struct Controller {
    tables: Arc<Tables>,
    limits: Limits,
    phase: Phase,
    place: Place,
    /// Tokens so far.
    n_tokens: usize,
    last: u32,
    /// Bytes that the last character lacks.
    missing: u8,
    script: Option<Script>,
    /// Why the thought that is going on is to be closed.
    cause: Option<ThinkingEnd>,
    ended_by: Option<ThinkingEnd>,
    end: Option<AnswerEnd>,
    /// No further thought is to begin.
    is_done_thinking: bool,
    with_hand_over: bool,
    repeats: Repeats,
    pace: Pace,
}

/// Tokens that are being forced.
#[derive(Debug, Clone, Copy)]
struct Script {
    part: Part,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    HandOver,
    /// The close marker, of which so many bytes were there.
    Close(usize),
    AfterClose,
    Cue,
}

impl Controller {
    /// A controller for an answer that begins at `start`: where the prompt has opened a thought,
    /// inside of it.
    pub fn new(tables: Arc<Tables>, limits: Limits, start: Place) -> Self {
        let cap = limits.budget().min(limits.before_answer());
        Self {
            phase: match start.in_thought {
                true => Phase::Thinking,
                false => Phase::Answer,
            },
            // Words of hand-over that take more than half of the thinking are not worth it.
            with_hand_over: tables.reserve(true) <= cap / 2,
            tables,
            limits,
            place: start,
            n_tokens: 0,
            last: u32::MAX,
            missing: 0,
            script: None,
            cause: None,
            ended_by: None,
            end: None,
            is_done_thinking: false,
            repeats: Repeats::new(),
            pace: Pace::default(),
        }
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What ended the last thought that has ended; `None` if there was none.
    pub fn ended_by(&self) -> Option<ThinkingEnd> {
        self.ended_by
    }

    /// Why the answer has to end now, if it has to.
    pub fn end(&self) -> Option<AnswerEnd> {
        self.end
    }

    /// Closes the thought that is going on as soon as its text allows, and lets no other begin.
    pub fn close(&mut self, cause: ThinkingEnd) {
        self.is_done_thinking = true;
        if self.place.in_thought && self.phase != Phase::Closing {
            self.cause.get_or_insert(cause);
        }
    }

    /// Whether there is a place where the thought may well end: behind a paragraph, which is here (0),
    /// or before a word that begins anew, which was the last token (1).
    pub fn break_before(&self) -> Option<usize> {
        let class = self.tables.classes.of(self.last);
        let is_free = self.script.is_none() && self.missing == 0 && self.place.marker_bytes == 0;
        let thinks = matches!(self.phase, Phase::Thinking | Phase::Landing);
        if !thinks || !self.place.in_thought || !is_free {
            return None;
        }
        match class {
            class if class.ends_paragraph() => Some(0),
            // Before its first word a thought is none.
            class if class.is_break() && self.n_tokens > 1 => Some(1),
            _ => None,
        }
    }

    /// Tokens of thought that may still come before closing begins.
    pub fn thought_left(&self) -> usize {
        let reserve = self.reserve();
        let by_budget = self
            .limits
            .budget()
            .saturating_sub(self.place.thought_tokens);
        let by_total = self.limits.before_answer().saturating_sub(self.n_tokens);
        let after_close = self.tables.scripts.after_close.len();
        by_budget
            .saturating_sub(reserve)
            .min(by_total.saturating_sub(reserve + after_close))
    }

    /// Whether a thought may open whose marker takes so many more tokens: it could be closed in time.
    pub fn may_open_within(&self, n_tokens: usize) -> bool {
        let opened = self.place.marker_tokens + n_tokens;
        let reserve = self.reserve();
        let after_close = self.tables.scripts.after_close.len();
        let thought = self.place.thought_tokens.saturating_add(opened + reserve);
        let total = self
            .n_tokens
            .saturating_add(n_tokens + reserve + after_close);
        !self.is_done_thinking
            && thought <= self.limits.budget()
            && total <= self.limits.before_answer()
    }

    /// The tokens that come next whatever the model says: a script, appended to `tokens`.
    pub fn forced(&self, tokens: &mut Vec<u32>) {
        let mut script = self.script;
        while let Some((token, next)) = script.and_then(|script| self.read(script)) {
            tokens.push(token);
            script = next;
        }
    }

    /// What is wanted of the next token. It is `now`, since the request.
    pub fn decide(&mut self, now: Duration) -> Decision<'_> {
        self.pace.tick(now, self.n_tokens, self.place.in_thought);
        if let Some((token, _)) = self.script.and_then(|script| self.read(script)) {
            return Decision::Force(token);
        }
        match self.place.in_thought && self.tables.can_close() {
            true => self.decide_thought(now),
            false => self.decide_answer(now),
        }
    }

    /// The next token was this, and the text stands here now. `is_instead`: it was taken instead of
    /// another, as the decision wanted.
    pub fn accept(&mut self, token: u32, is_instead: bool, place: Place) {
        self.n_tokens += 1;
        self.last = token;
        self.missing = self.tables.classes.of(token).missing(self.missing);
        if is_instead {
            self.script = Some(self.instead(token));
        }
        self.script = match self.script.and_then(|script| self.read(script)) {
            Some((expected, next)) if expected == token => next,
            _ => None,
        };
        let before = std::mem::replace(&mut self.place, place);
        if before.in_thought != place.in_thought {
            self.change_part(place.in_thought);
        }
        if self.limits.loop_guard {
            self.guard(token);
        }
    }

    fn change_part(&mut self, into_thought: bool) {
        self.repeats.clear();
        if into_thought {
            self.phase = Phase::Thinking;
            if self.is_done_thinking {
                self.cause = self.ended_by.or(Some(ThinkingEnd::Budget));
            }
            return;
        }
        let cause = self.cause.take();
        // What was forced to end is not to begin again.
        self.is_done_thinking |= cause.is_some();
        self.ended_by = cause.or(Some(ThinkingEnd::Model));
        self.phase = Phase::Answer;
    }

    fn guard(&mut self, token: u32) {
        let patience = match self.place.in_thought {
            true => &IN_THOUGHT,
            false => &IN_ANSWER,
        };
        if self.repeats.push(token, patience) && self.script.is_none() {
            match self.place.in_thought {
                true => self.close(ThinkingEnd::Loop),
                false => self.end = self.end.or(Some(AnswerEnd::Loop)),
            }
        }
    }

    fn decide_thought(&mut self, now: Duration) -> Decision<'_> {
        if self.cause.is_none() {
            self.cause = self.limit_reached(now);
        }
        if self.cause.is_some() {
            return self.decide_closing();
        }
        let (tables, n_written) = (&self.tables, self.place.marker_bytes);
        let is_between = self.missing == 0 && n_written == 0;
        let mut steer = Steer::default();
        if self.place.thought_tokens < self.limits.think_min && self.can_go_on() {
            self.phase = Phase::Thinking;
            match tables.scripts.cue.first() {
                Some(&cue) if is_between => steer.instead = Some((&tables.ending, cue)),
                _ => steer.ban = [&tables.stop, tables.closing(n_written)],
            }
            return Decision::Steer(steer);
        }
        // A model that would end its turn is done with its thought.
        match is_between {
            true => steer.instead = Some((&tables.stop, tables.close(0)[0])),
            false => steer.ban = [&tables.stop, &[]],
        }
        let share = self.landing();
        if share > 0.0 {
            steer.raise = Some((tables.close(n_written)[0], share));
        }
        self.phase = match self.is_landing() {
            true => Phase::Landing,
            false => Phase::Thinking,
        };
        Decision::Steer(steer)
    }

    /// A limit that does not let the thought go on.
    fn limit_reached(&self, now: Duration) -> Option<ThinkingEnd> {
        if self.thought_left() == 0 {
            return Some(ThinkingEnd::Budget);
        }
        let limits = &self.limits;
        let is_over = limits
            .think_time
            .is_some_and(|time| self.pace.thought() >= time);
        let is_late = limits.deadline.is_some_and(|deadline| {
            let closing = self.pace.time_of(self.reserve());
            let answer = self.pace.time_of(limits.answer_tokens);
            now + closing + answer.min(deadline.mul_f32(limits.answer_share)) >= deadline
        });
        (is_over || is_late).then_some(ThinkingEnd::Deadline)
    }

    fn decide_closing(&mut self) -> Decision<'_> {
        self.phase = Phase::Closing;
        if self.missing > 0
            && let Some(only) = self.tables.classes.finishing()
        {
            return Decision::Steer(Steer {
                only: Some(only),
                ..Steer::default()
            });
        }
        let part = match self.place.marker_bytes {
            0 if self.has_room_for_hand_over() => Part::HandOver,
            n_written => Part::Close(n_written),
        };
        let script = Script { part, at: 0 };
        self.script = Some(script);
        self.read(script)
            .map_or(Decision::Free, |(token, _)| Decision::Force(token))
    }

    fn has_room_for_hand_over(&self) -> bool {
        let n = self.tables.scripts.hand_over.len() + self.tables.close(0).len();
        let after_close = self.tables.scripts.after_close.len();
        n > self.tables.close(0).len()
            && self.with_hand_over
            && self.place.thought_tokens.saturating_add(n) <= self.limits.budget()
            && self.n_tokens.saturating_add(n + after_close) <= self.limits.before_answer()
    }

    fn decide_answer(&mut self, now: Duration) -> Decision<'_> {
        let limits = &self.limits;
        if limits.deadline.is_some_and(|deadline| now >= deadline) && self.place.answered {
            self.end = self.end.or(Some(AnswerEnd::Deadline));
        }
        let mut ban: [&[u32]; 2] = [&[]; 2];
        if self.ended_by.is_some() && !self.place.answered {
            ban[0] = &self.tables.stop;
        }
        if self.tables.can_close() && !self.may_open_within(1) {
            ban[1] = self.tables.opening(self.place.marker_bytes);
        }
        match ban {
            [[], []] => Decision::Free,
            ban => Decision::Steer(Steer {
                ban,
                ..Steer::default()
            }),
        }
    }

    /// Whether a thought that would be too short can still be made longer.
    fn can_go_on(&self) -> bool {
        self.thought_left() > self.tables.scripts.cue.len()
    }

    fn reserve(&self) -> usize {
        self.tables.reserve(self.with_hand_over)
    }

    /// Share of the last part of what the budget leaves to the model that is used up; negative
    /// before it.
    fn landed(&self) -> f32 {
        let used = self.place.thought_tokens;
        let end = used.saturating_add(self.thought_left());
        let from = (end as f64 * f64::from(self.limits.landing)) as usize;
        match end.saturating_sub(from) {
            0 => -1.0,
            n => (used as f64 - from as f64) as f32 / n as f32,
        }
    }

    fn is_landing(&self) -> bool {
        self.limits.landing < 1.0 && self.landed() >= 0.0
    }

    /// How far the close marker is raised: at the ends of paragraphs first, then of sentences, at
    /// last everywhere.
    fn landing(&self) -> f32 {
        if !self.is_landing() || self.missing > 0 {
            return 0.0;
        }
        let (landed, class) = (self.landed(), self.tables.classes.of(self.last));
        let share = if self.place.marker_bytes > 0 {
            landed
        } else if class.ends_paragraph() {
            0.5 + landed
        } else if class.ends_sentence() {
            2.0 * landed - 0.5
        } else {
            4.0 * landed - 3.5
        };
        share.clamp(0.0, 1.0)
    }

    /// What a token that was taken instead of another begins.
    fn instead(&self, token: u32) -> Script {
        let is_cue = self.tables.scripts.cue.first() == Some(&token);
        let part = if is_cue { Part::Cue } else { Part::Close(0) };
        Script { part, at: 0 }
    }

    /// The token at a place of a script, and the place behind it.
    fn read(&self, script: Script) -> Option<(u32, Option<Script>)> {
        let tables = &self.tables;
        let tokens = match script.part {
            Part::HandOver => &tables.scripts.hand_over,
            Part::Close(n_written) => tables.close(n_written),
            Part::AfterClose => &tables.scripts.after_close,
            Part::Cue => tables.scripts.cue.as_slice(),
        };
        let token = *tokens.get(script.at)?;
        let part = match script.part {
            part if script.at + 1 < tokens.len() => {
                let at = script.at + 1;
                return Some((token, Some(Script { part, at })));
            }
            Part::HandOver => Some(Part::Close(0)),
            // Where little is left, the answer has it.
            Part::Close(_)
                if self.n_tokens + 1 + tables.scripts.after_close.len()
                    < self.limits.max_tokens =>
            {
                Some(Part::AfterClose).filter(|_| !tables.scripts.after_close.is_empty())
            }
            Part::Close(_) | Part::AfterClose | Part::Cue => None,
        };
        Some((token, part.map(|part| Script { part, at: 0 })))
    }
}
