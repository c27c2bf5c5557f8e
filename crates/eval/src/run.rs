//! Asking every question in every row, and keeping what comes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use ponder_engine::{Engine, EngineError, Event, Message, Request, Summary, Weighing};

use crate::check::check;
use crate::grid::{Budget, Setting};
use crate::log::Log;
use crate::record::{Place, Record};
use crate::{EvalError, Job, Task, seed, stats};

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Answers of all rows that are there, those of an earlier run included.
    pub done: usize,
    /// Answers that there will be.
    pub total: usize,
    /// What the present row is.
    pub row: String,
    /// Right answers of this row.
    pub right: usize,
    /// Answers of this row that are there.
    pub answers: usize,
}

/// A complete answer.
pub(crate) struct Reply {
    pub(crate) content: String,
    pub(crate) summary: Summary,
}

/// Who is asked: an engine, or in tests a function.
pub(crate) trait Answerer: Sync {
    /// Answers a request, by a vote where it asks for one.
    fn answer(&self, request: Request, weighing: Weighing) -> Result<Reply, EngineError>;
}

impl Answerer for Engine {
    fn answer(&self, request: Request, weighing: Weighing) -> Result<Reply, EngineError> {
        match self.votes(&request) {
            0 | 1 => collect(self.generate(request)?),
            n_votes => collect(self.vote(request, n_votes, weighing)?),
        }
    }
}

fn collect(events: impl Iterator<Item = Result<Event, EngineError>>) -> Result<Reply, EngineError> {
    let mut content = String::new();
    for event in events {
        match event? {
            Event::Content(text) => content.push_str(&text),
            Event::Done(summary) => return Ok(Reply { content, summary }),
            _ => {}
        }
    }
    Err(EngineError::WorkerGone)
}

/// A row that is complete.
pub(crate) struct Answers {
    /// Tokens that could be thought.
    pub(crate) think_tokens: Option<usize>,
    /// Ordered by question and sample.
    pub(crate) records: Vec<Record>,
}

/// What every row is asked, and where answers are kept.
pub(crate) struct Run<'a, A> {
    pub(crate) answerer: &'a A,
    pub(crate) task: &'a Task,
    pub(crate) job: &'a Job,
    pub(crate) log: Option<Log>,
    pub(crate) progress: &'a mut dyn FnMut(&Progress),
}

impl<A: Answerer> Run<'_, A> {
    /// Makes all rows, but for the answers that are known.
    ///
    /// # Errors
    /// The first answer that could not be made, or not be logged.
    pub(crate) fn rows(
        &mut self,
        settings: &[Setting],
        mut known: Vec<Record>,
    ) -> Result<Vec<Answers>, EvalError> {
        let (n_questions, n_samples) = (self.task.items.len(), self.job.samples);
        let row_len = n_questions * n_samples;
        let mut places = HashSet::new();
        known.retain(|record| {
            let is_ours = record.row < settings.len()
                && record.question < n_questions
                && record.sample < n_samples;
            is_ours && places.insert(record.place())
        });
        let mut rows: Vec<Answers> = Vec::new();
        for (row, setting) in settings.iter().enumerate() {
            let think_tokens = match setting.budget {
                Budget::Share(share) => share_of(share, setting, settings, &rows),
                Budget::Own | Budget::Tokens(_) => setting.think_tokens,
            };
            let (mut records, rest) = known.into_iter().partition(|record| record.row == row);
            known = rest;
            let later = known.len();
            let mut progress = Progress {
                done: row * row_len + later,
                total: settings.len() * row_len,
                row: setting.to_string(),
                right: 0,
                answers: 0,
            };
            self.fill(
                row,
                setting,
                think_tokens,
                &places,
                &mut records,
                &mut progress,
            )?;
            records.sort_by_key(Record::place);
            rows.push(Answers {
                think_tokens,
                records,
            });
        }
        Ok(rows)
    }

    /// Makes the answers of a row that are not among its records.
    fn fill(
        &mut self,
        row: usize,
        setting: &Setting,
        think_tokens: Option<usize>,
        known: &HashSet<Place>,
        records: &mut Vec<Record>,
        progress: &mut Progress,
    ) -> Result<(), EvalError> {
        progress.done += records.len();
        progress.answers = records.len();
        progress.right = records.iter().filter(|record| record.is_right()).count();
        (self.progress)(progress);
        let samples = 0..self.job.samples;
        let places = (0..self.task.items.len())
            .flat_map(|question| samples.clone().map(move |sample| (row, question, sample)));
        let missing: Vec<Place> = places.filter(|place| !known.contains(place)).collect();
        let (answerer, task, job) = (self.answerer, self.task, self.job);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (sender, made) = mpsc::channel();
            for _ in 0..job.concurrency.clamp(1, missing.len().max(1)) {
                let (sender, next, missing) = (sender.clone(), &next, &missing);
                scope.spawn(move || {
                    while let Some(&place) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let record = answer(answerer, task, job, setting, think_tokens, place);
                        // Nobody listens any more where this or another answer has failed.
                        let has_failed = record.is_err();
                        if sender.send(record).is_err() || has_failed {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for record in made {
                let record = record?;
                if let Some(log) = &mut self.log {
                    log.add(&record)?;
                }
                progress.done += 1;
                progress.answers += 1;
                progress.right += usize::from(record.is_right());
                (self.progress)(progress);
                records.push(record);
            }
            Ok(())
        })
    }
}

/// The tokens that are a share of what the same level took by itself: at least one, since none would
/// mean another level. Where it took none, the level's own bound stays.
fn share_of(
    share: f64,
    setting: &Setting,
    settings: &[Setting],
    rows: &[Answers],
) -> Option<usize> {
    let is_it = |other: &Setting| other.is_natural() && other.effort == setting.effort;
    let mut natural = settings.iter().zip(rows);
    let natural = natural.find(|(other, _)| is_it(other));
    let tokens = natural.into_iter().flat_map(|(_, row)| &row.records);
    let tokens: Vec<f64> = tokens
        .map(|record| record.usage.reasoning_tokens as f64)
        .collect();
    match stats::mean(&tokens) {
        0.0 => setting.think_tokens,
        mean => Some(((share * mean).round() as usize).max(1)),
    }
}

fn answer(
    answerer: &impl Answerer,
    task: &Task,
    job: &Job,
    setting: &Setting,
    think_tokens: Option<usize>,
    (row, question, sample): Place,
) -> Result<Record, EvalError> {
    let item = &task.items[question];
    let system = item.system.as_deref().or(job.system.as_deref());
    let mut messages: Vec<Message> = system
        .map(|text| Message::new("system", text))
        .into_iter()
        .collect();
    messages.push(Message::new("user", item.question.as_str()));
    let mut sampling = job.sampling.clone();
    sampling.seed = Some(seed::derive(job.seed, question as u64, sample as u64));
    let mut effort_overrides = setting.overrides;
    if let Budget::Share(_) = setting.budget {
        effort_overrides.think_tokens = think_tokens;
    }
    let request = Request {
        messages,
        sampling,
        max_tokens: job.max_tokens,
        effort: setting.effort,
        effort_overrides,
        ..Request::default()
    };
    let asked = Instant::now();
    let reply = answerer.answer(request, job.weighing);
    let seconds = asked.elapsed().as_secs_f64();
    let Reply { content, summary } = reply.map_err(|source| EvalError::Answer {
        number: question + 1,
        source,
    })?;
    let (value, verdict) = check(item, &content);
    Ok(Record {
        row,
        question,
        sample,
        verdict,
        value,
        finish_reason: summary.finish_reason,
        reasoning_ended_by: summary.reasoning_ended_by,
        usage: summary.usage,
        seconds,
        content,
    })
}

#[cfg(test)]
mod tests;
