//! Several answers to one request that vote: the prompt is computed once, all of them are decoded
//! together, and when nothing can change the outcome any more the rest is not waited for.

mod key;
mod kind;

pub(crate) use key::key;
pub use kind::AnswerKind;

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use ponder_effort::votes::{Tally, Weighing};
use serde::Serialize;

use crate::{Canceller, EngineError, Event, FinishReason, Generation, Summary, ToolCall, Usage};

/// How a vote went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VoteSummary {
    /// Answers that were asked for.
    pub asked: usize,
    /// Answers that were complete when it was settled.
    pub complete: usize,
    /// What they said, most votes first.
    pub tally: Vec<VoteCount>,
    /// Share of the winner, `[0, 1]`.
    pub agreement: f64,
    /// Whether it was settled before all were complete.
    pub settled_early: bool,
}

/// Votes for one answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VoteCount {
    /// What the answers say in the end.
    pub answer: String,
    /// How many say it.
    pub votes: usize,
    /// What they count together: as many as they are, or their confidence.
    pub weight: f64,
}

/// One answer, complete or cut.
struct Ballot {
    index: usize,
    reasoning: String,
    content: String,
    tool_calls: Vec<ToolCall>,
    end: Result<Summary, EngineError>,
}

impl Ballot {
    fn is_complete(&self) -> bool {
        let end = self.end.as_ref();
        end.is_ok_and(|summary| summary.finish_reason != FinishReason::Cancelled)
    }
}

/// What the threads that read say.
enum News {
    Prompt(Event),
    Ballot(Box<Ballot>),
}

/// A vote under way: an iterator of events. Nothing is said before it is settled; then come the
/// reasoning and the content of the best answer of those that won, [`Event::Votes`], and
/// [`Event::Done`], whose usage is that of all answers.
pub struct Voting {
    news: Receiver<News>,
    readers: Vec<JoinHandle<()>>,
    canceller: Canceller,
    asked: usize,
    tally: Tally,
    ballots: Vec<Ballot>,
    n_complete: usize,
    is_settled: bool,
    /// What is still to be given out, last first.
    rest: Vec<Result<Event, EngineError>>,
    is_over: bool,
}

impl Voting {
    pub(crate) fn new(generations: Vec<Generation>, weighing: Weighing) -> Self {
        let asked = generations.len();
        let (sender, news) = mpsc::channel();
        let cancellers = generations.iter().map(Generation::canceller);
        let canceller = Canceller::of_all(cancellers);
        let readers = generations.into_iter().enumerate();
        let readers = readers.map(|(index, generation)| {
            let sender = sender.clone();
            thread::spawn(move || read(index, generation, &sender))
        });
        Self {
            news,
            readers: readers.collect(),
            canceller,
            asked,
            tally: Tally::new(asked, weighing),
            ballots: Vec::new(),
            n_complete: 0,
            is_settled: false,
            rest: Vec::new(),
            is_over: false,
        }
    }

    /// A handle that ends all answers, or their thoughts.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    fn take(&mut self, ballot: Ballot) {
        let cast = ballot.end.as_ref().ok().filter(|summary| {
            !self.is_settled
                && matches!(
                    summary.finish_reason,
                    FinishReason::Stop | FinishReason::Length
                )
        });
        if let Some(summary) = cast {
            let key = key(&ballot.content);
            self.tally.add(ballot.index, key, summary.confidence);
        }
        self.n_complete += usize::from(!self.is_settled && ballot.is_complete());
        self.ballots.push(ballot);
        if !self.is_settled && self.tally.is_settled() && self.ballots.len() < self.asked {
            self.is_settled = true;
            self.canceller.cancel();
        }
    }

    /// All answers are there or cut: the one that is shown, and what all cost.
    fn count(&mut self) {
        self.is_over = true;
        let usage = self.usage();
        let wanted = self.tally.winner().map(|class| class.best);
        // Without a winner: a complete answer, or what there is, and at last the error.
        let place = |ballot: &Ballot| {
            let is_wanted = Some(ballot.index) == wanted;
            (
                !is_wanted,
                !ballot.is_complete(),
                ballot.end.is_err(),
                ballot.index,
            )
        };
        self.ballots.sort_by_key(place);
        if self.ballots.is_empty() {
            return self.rest.push(Err(EngineError::WorkerGone));
        }
        let shown = self.ballots.remove(0);
        let summary = match shown.end {
            Err(error) => return self.rest.push(Err(error)),
            Ok(summary) => Summary { usage, ..summary },
        };
        let classes = self.tally.classes();
        let counts = classes.iter().map(|class| VoteCount {
            answer: class.key.clone(),
            votes: class.n_votes,
            weight: class.weight,
        });
        let votes = VoteSummary {
            asked: self.asked,
            complete: self.n_complete,
            tally: counts.collect(),
            agreement: self.tally.agreement(),
            settled_early: self.is_settled,
        };
        let mut events = Vec::new();
        events.extend((!shown.reasoning.is_empty()).then_some(Event::Reasoning(shown.reasoning)));
        events.extend((!shown.content.is_empty()).then_some(Event::Content(shown.content)));
        events.extend(shown.tool_calls.into_iter().map(Event::ToolCall));
        events.push(Event::Votes(votes));
        events.push(Event::Done(summary));
        self.rest.extend(events.into_iter().rev().map(Ok));
    }

    /// What all answers cost. The prompt was computed once.
    fn usage(&self) -> Usage {
        let all = self
            .ballots
            .iter()
            .filter_map(|ballot| ballot.end.as_ref().ok());
        all.fold(Usage::default(), |sum, summary| Usage {
            prompt_tokens: sum.prompt_tokens.max(summary.usage.prompt_tokens),
            cached_tokens: sum.cached_tokens.max(summary.usage.cached_tokens),
            completion_tokens: sum.completion_tokens + summary.usage.completion_tokens,
            reasoning_tokens: sum.reasoning_tokens + summary.usage.reasoning_tokens,
            probe_tokens: sum.probe_tokens + summary.usage.probe_tokens,
        })
    }
}

impl Iterator for Voting {
    type Item = Result<Event, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.rest.pop() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            match self.news.recv() {
                Ok(News::Prompt(event)) => return Some(Ok(event)),
                Ok(News::Ballot(ballot)) => self.take(*ballot),
                Err(_) => self.count(),
            }
            if self.ballots.len() == self.asked {
                self.count();
            }
        }
    }
}

impl Drop for Voting {
    fn drop(&mut self) {
        self.canceller.cancel();
        for reader in self.readers.drain(..) {
            // It has nothing to say that is still wanted.
            let _ = reader.join();
        }
    }
}

/// Reads one answer to its end.
fn read(index: usize, generation: Generation, news: &Sender<News>) {
    let mut ballot = Ballot {
        index,
        reasoning: String::new(),
        content: String::new(),
        tool_calls: Vec::new(),
        end: Err(EngineError::WorkerGone),
    };
    for event in generation {
        match event {
            Ok(Event::Reasoning(text)) => ballot.reasoning.push_str(&text),
            Ok(Event::Content(text)) => ballot.content.push_str(&text),
            Ok(Event::ToolCall(call)) => ballot.tool_calls.push(call),
            Ok(Event::Done(summary)) => ballot.end = Ok(summary),
            Ok(event @ Event::PromptProgress { .. }) if index == 0 => {
                // Who asked may have gone.
                let _ = news.send(News::Prompt(event));
            }
            Ok(Event::PromptProgress { .. } | Event::Votes(_) | Event::Token(_)) => {}
            Err(error) => ballot.end = Err(error),
        }
    }
    let _ = news.send(News::Ballot(Box::new(ballot)));
}
