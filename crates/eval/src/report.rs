//! The results of a run, in figures.

use std::collections::BTreeMap;

use ponder_engine::Effort;
use ponder_figures::percentile;
use serde::Serialize;

use crate::check::Verdict;
use crate::grid::{Budget, Setting};
use crate::record::Record;
use crate::run::Answers;
use crate::stats::{clustered, majority_at_k, mean, mean_interval, pass_at_k, powers_of_two};
use crate::{Job, Task};

/// What `eval --json` prints, in this order.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model, as the user named it.
    pub model: String,
    /// The task.
    pub task: String,
    /// Questions that were asked in each row.
    pub questions: usize,
    /// Answers to each question.
    pub samples: usize,
    /// The seed of the run.
    pub seed: u64,
    /// Questions that were asked side by side; times are those of a single request where it is 1.
    pub concurrency: usize,
    /// One for each setting.
    pub rows: Vec<Row>,
}

/// The results of one setting.
///
/// Where it is a vote, tokens are those of all its answers, and how it ended is how the shown one did.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The level; `None`: as the model does by itself.
    pub effort: Option<&'static str>,
    /// Answers that voted on each.
    pub votes: usize,
    /// Tokens that could be thought; `None`: no bound.
    pub think_tokens: Option<usize>,
    /// That bound as a share of what the level took by itself, where it was asked for as one.
    pub think_share: Option<f64>,
    /// Whether the bound was asked for, rather than the level's own.
    #[serde(skip)]
    pub has_budget: bool,
    /// Share of the bound from which on closing is favoured; `None`: nowhere.
    pub landing: Option<f32>,
    /// How it was found out that the answer is settled.
    pub early_exit: &'static str,
    /// Questions.
    pub n: usize,
    /// Answers.
    pub answers: usize,
    /// Share of the answers that are right.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
    /// Tokens of thinking per answer.
    pub thinking_tokens_mean: f64,
    /// The 95 % interval of that mean.
    pub thinking_tokens_ci95: [f64; 2],
    /// Half of the answers took no more.
    pub thinking_tokens_p50: f64,
    /// 95 % of the answers took no more.
    pub thinking_tokens_p95: f64,
    /// All tokens per answer.
    pub completion_tokens_mean: f64,
    /// Tokens of looking ahead per answer; they are in no text.
    pub probe_tokens_mean: f64,
    /// Tokens of prompts that had not to be computed again, which makes answers come sooner.
    pub cached_tokens_mean: f64,
    /// Seconds from request to end.
    pub seconds_mean: f64,
    /// Half of the answers took no longer.
    pub seconds_p50: f64,
    /// 95 % of the answers took no longer.
    pub seconds_p95: f64,
    /// How the thinking ended, with `none` for answers without any.
    pub ended_by: BTreeMap<String, usize>,
    /// Why answers ended.
    pub finish_reasons: BTreeMap<String, usize>,
    /// Answers without any text.
    pub empty: usize,
    /// Answers in which nothing has the form that was asked for.
    pub wrong_format: usize,
    /// How likely at least one of `k` answers is right.
    pub pass_at_k: BTreeMap<usize, f64>,
    /// How likely the most frequent of `k` answers is right.
    pub majority_at_k: BTreeMap<usize, f64>,
    /// The groups of the task.
    pub groups: Vec<Group>,
}

/// The results of one setting in one group of questions.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name; empty for questions without one.
    pub task: String,
    /// Questions.
    pub n: usize,
    /// Share of the answers that are right.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
}

impl Report {
    pub(crate) fn new(
        model: &str,
        task: &Task,
        job: &Job,
        settings: &[Setting],
        rows: &[Answers],
    ) -> Self {
        let rows = settings.iter().zip(rows);
        Self {
            model: model.to_owned(),
            task: task.name.clone(),
            questions: task.items.len(),
            samples: job.samples,
            seed: job.seed,
            concurrency: job.concurrency,
            rows: rows
                .map(|(setting, answers)| row(task, job.samples, setting, answers))
                .collect(),
        }
    }
}

fn row(task: &Task, n_samples: usize, setting: &Setting, answers: &Answers) -> Row {
    let records = &answers.records;
    // In order of size.
    let of = |value: fn(&Record) -> f64| -> Vec<f64> {
        let mut values: Vec<f64> = records.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let thinking = of(|record| record.usage.reasoning_tokens as f64);
    let seconds = of(|record| record.seconds);
    let shares = shares(records, n_samples);
    let count = |verdict| {
        records
            .iter()
            .filter(|record| record.verdict == verdict)
            .count()
    };
    Row {
        effort: setting.effort.map(Effort::name),
        votes: setting.votes,
        think_tokens: answers.think_tokens,
        think_share: match setting.budget {
            Budget::Share(share) => Some(share),
            Budget::Own | Budget::Tokens(_) => None,
        },
        has_budget: setting.budget != Budget::Own,
        landing: (setting.landing < 1.0).then_some(setting.landing),
        early_exit: setting.early_exit.name(),
        n: task.items.len(),
        answers: records.len(),
        accuracy: mean(&shares),
        ci95: clustered(&shares, n_samples),
        thinking_tokens_mean: mean(&thinking),
        thinking_tokens_ci95: mean_interval(&thinking),
        thinking_tokens_p50: percentile(&thinking, 0.5),
        thinking_tokens_p95: percentile(&thinking, 0.95),
        completion_tokens_mean: mean(&of(|record| record.usage.completion_tokens as f64)),
        probe_tokens_mean: mean(&of(|record| record.usage.probe_tokens as f64)),
        cached_tokens_mean: mean(&of(|record| record.usage.cached_tokens as f64)),
        seconds_mean: mean(&seconds),
        seconds_p50: percentile(&seconds, 0.5),
        seconds_p95: percentile(&seconds, 0.95),
        ended_by: counts(records, |record| {
            record
                .reasoning_ended_by
                .map_or_else(|| "none".to_owned(), name)
        }),
        finish_reasons: counts(records, |record| name(record.finish_reason)),
        empty: count(Verdict::Empty),
        wrong_format: count(Verdict::Format),
        pass_at_k: at_k(records, n_samples, |samples, k| {
            let n_right = samples.iter().filter(|record| record.is_right()).count();
            pass_at_k(samples.len(), n_right, k)
        }),
        majority_at_k: at_k(records, n_samples, |samples, k| {
            let said = samples
                .iter()
                .map(|record| (record.value.as_deref(), record.is_right()));
            majority_at_k(&said.collect::<Vec<_>>(), k)
        }),
        groups: groups(task, &shares, n_samples),
    }
}

/// The share of right answers to each question.
fn shares(records: &[Record], n_samples: usize) -> Vec<f64> {
    let right = |record: &Record| f64::from(record.is_right());
    let questions = records.chunks(n_samples.max(1));
    questions
        .map(|samples| mean(&samples.iter().map(right).collect::<Vec<_>>()))
        .collect()
}

/// The mean over questions of what a function makes of the answers to one, for each `k`.
fn at_k(
    records: &[Record],
    n_samples: usize,
    function: impl Fn(&[Record], usize) -> f64,
) -> BTreeMap<usize, f64> {
    let of = |k| -> Vec<f64> {
        let questions = records.chunks(n_samples.max(1));
        questions.map(|samples| function(samples, k)).collect()
    };
    powers_of_two(n_samples)
        .map(|k| (k, mean(&of(k))))
        .collect()
}

fn counts(records: &[Record], name: impl Fn(&Record) -> String) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(name(record)).or_default() += 1;
    }
    counts
}

/// The name that a value has in JSON.
fn name(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The groups in the order in which they first occur.
fn groups(task: &Task, shares: &[f64], n_samples: usize) -> Vec<Group> {
    let mut groups: Vec<(&str, Vec<f64>)> = Vec::new();
    for (item, &share) in task.items.iter().zip(shares) {
        match groups.iter_mut().find(|(name, _)| *name == item.group) {
            Some((_, shares)) => shares.push(share),
            None => groups.push((&item.group, vec![share])),
        }
    }
    let group = |(name, shares): (&str, Vec<f64>)| Group {
        task: name.to_owned(),
        n: shares.len(),
        accuracy: mean(&shares),
        ci95: clustered(&shares, n_samples),
    };
    groups.into_iter().map(group).collect()
}
