//! Asking in rounds, and keeping what came.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::machine::{Joules, Noise, peak_rss};
use crate::prompt::Prompt;
use crate::random::Random;
use crate::sample::{Figures, Outcome, Sample};
use crate::target::{Ask, Target};
use crate::{BenchError, Case};

/// Tokens by which what is found in the cache may differ from the depth that was asked for: words and
/// tokens do not end at the same places everywhere.
const DEPTH_SLACK: usize = 8;

/// How every case is measured.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Tokens of an answer.
    pub gen_tokens: usize,
    /// Rounds that count.
    pub runs: usize,
    /// Rounds before them that do not.
    pub warmup: usize,
    /// Ask the same prompt every time, and let it be found in the cache.
    pub prefix_cache: bool,
    /// Requests per second that arrive by chance, instead of rounds; `None`: rounds.
    pub rate: Option<f64>,
    /// What prompts follow from.
    pub seed: u64,
}

/// What was measured of a case.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) samples: Vec<Sample>,
    /// Tokens of all requests together, per second.
    pub(crate) total_tps: Option<f64>,
    pub(crate) joules: Option<f64>,
    pub(crate) peak_rss: Option<u64>,
    pub(crate) noise: Noise,
}

/// Measures a case. `round_trip_s` is how far away the target is; `done` hears of every round.
pub(crate) fn measure(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    round_trip_s: f64,
    done: &mut dyn FnMut(usize),
) -> Result<Measured, BenchError> {
    peak_rss::reset();
    prepare_depth(target, case, plan)?;
    let first = rounds(target, case, plan, 0..plan.warmup)?;
    for (i, prompts) in first.into_iter().enumerate() {
        side_by_side(target, case, plan, round_trip_s, i, prompts);
        done(i + 1);
    }
    let prompts = rounds(target, case, plan, plan.warmup..plan.warmup + plan.runs)?;
    let joules = Joules::now();
    let noise = Noise::begin();
    let mut measured = Measured::default();
    let mut wall_s = 0.0;
    match plan.rate {
        Some(rate) => {
            let began = Instant::now();
            let all = prompts.into_iter().flatten().take(plan.runs).collect();
            measured.samples = by_chance(target, case, plan, round_trip_s, rate, all);
            wall_s = began.elapsed().as_secs_f64();
            done(plan.warmup + plan.runs);
        }
        None => {
            for (run, prompts) in prompts.into_iter().enumerate() {
                let (samples, seconds) =
                    side_by_side(target, case, plan, round_trip_s, run, prompts);
                wall_s += seconds;
                measured.samples.extend(samples);
                done(plan.warmup + run + 1);
            }
        }
    }
    measured.noise = noise.end();
    measured.joules = joules.and_then(Joules::since);
    measured.peak_rss = peak_rss::get();
    let answered = measured.samples.iter().filter_map(Sample::figures);
    let tokens: usize = answered.map(|figures| figures.completion_tokens).sum();
    measured.total_tps = Some(tokens as f64 / wall_s.max(1e-9));
    Ok(measured)
}

/// Sees that what comes before the prompts is in the cache.
fn prepare_depth(target: &dyn Target, case: &Case, plan: &Plan) -> Result<(), BenchError> {
    if case.depth == 0 {
        return Ok(());
    }
    for slot in 0..case.concurrency {
        let Prompt { prefix, .. } = target.prompt(case, slot, 0)?;
        let ask = Ask {
            text: prefix,
            max_tokens: 1,
            uses_prefix_cache: true,
            ..ask(case, plan, String::new())
        };
        // If it failed, the cache does not hold it, and the samples say so.
        let _ = target.ask(&ask);
    }
    Ok(())
}

fn ask(case: &Case, plan: &Plan, text: String) -> Ask {
    Ask {
        text,
        max_tokens: plan.gen_tokens,
        effort: case.effort,
        uses_prefix_cache: plan.prefix_cache || case.depth > 0,
    }
}

/// The prompts of some rounds, made before any clock starts.
fn rounds(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    rounds: std::ops::Range<usize>,
) -> Result<Vec<Vec<Prompt>>, BenchError> {
    let prompt = |round: usize, slot: usize| {
        let number = match plan.prefix_cache {
            true => slot,
            false => round * case.concurrency + slot,
        };
        target.prompt(case, slot, case_number(case).wrapping_add(number as u64))
    };
    rounds
        .map(|round| {
            (0..case.concurrency)
                .map(|slot| prompt(round, slot))
                .collect()
        })
        .collect()
}

/// A number from which those of the case's prompts are counted: cases must not repeat each other's
/// prompts either.
pub(crate) fn case_number(case: &Case) -> u64 {
    let effort = case.effort.map_or(0, |effort| 1 + effort as usize);
    let parts = [case.prompt_tokens, case.depth, case.concurrency, effort];
    let mix = |number: u64, part: usize| Random::new(number ^ part as u64).next();
    parts.into_iter().fold(0, mix)
}

/// One round: all prompts at the same moment. Gives the samples and the seconds that it took.
fn side_by_side(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    round_trip_s: f64,
    run: usize,
    prompts: Vec<Prompt>,
) -> (Vec<Sample>, f64) {
    let barrier = Barrier::new(prompts.len());
    let began = Mutex::new(None);
    let samples = std::thread::scope(|scope| {
        let asking: Vec<_> = prompts
            .into_iter()
            .enumerate()
            .map(|(slot, prompt)| {
                let (barrier, began) = (&barrier, &began);
                scope.spawn(move || {
                    target.ready();
                    barrier.wait();
                    began
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert_with(Instant::now);
                    let outcome = outcome(target, case, plan, round_trip_s, 0.0, prompt);
                    Sample { run, slot, outcome }
                })
            })
            .collect();
        let samples = asking.into_iter().enumerate().map(|(slot, thread)| {
            thread.join().unwrap_or(Sample {
                run,
                slot,
                outcome: Outcome::Failed {
                    error: "the thread that asked has panicked".to_owned(),
                },
            })
        });
        samples.collect()
    });
    let began = began.into_inner().unwrap_or_else(PoisonError::into_inner);
    (
        samples,
        began.map_or(0.0, |began| began.elapsed().as_secs_f64()),
    )
}

/// Requests that arrive as a Poisson process. One that finds all askers busy waits, and that counts.
fn by_chance(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    round_trip_s: f64,
    rate: f64,
    prompts: Vec<Prompt>,
) -> Vec<Sample> {
    let mut random = Random::new(plan.seed ^ 0xa121);
    let mut due_s = 0.0;
    let requests: Vec<(f64, Prompt)> = prompts
        .into_iter()
        .map(|prompt| {
            due_s += -random.share().ln() / rate;
            (due_s, prompt)
        })
        .collect();
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let samples = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for slot in 0..case.concurrency {
            let (next, requests, samples) = (&next, &requests, &samples);
            scope.spawn(move || {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    let Some((due_s, prompt)) = requests.get(run) else {
                        return;
                    };
                    target.ready();
                    let due = began + Duration::from_secs_f64(*due_s);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let late_s = due.elapsed().as_secs_f64();
                    let prompt = prompt.clone();
                    let outcome = outcome(target, case, plan, round_trip_s, late_s, prompt);
                    let sample = Sample { run, slot, outcome };
                    let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
                    samples.push(sample);
                }
            });
        }
    });
    let mut samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    samples.sort_by_key(|sample| sample.run);
    samples
}

/// One request, as a figure or a failure.
fn outcome(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    round_trip_s: f64,
    late_s: f64,
    prompt: Prompt,
) -> Outcome {
    let figures = target
        .ask(&ask(case, plan, prompt.text))
        .and_then(|answered| Figures::of(&answered, late_s, round_trip_s))
        .and_then(|figures| match cache_fault(&figures, case, plan) {
            Some(fault) => Err(fault),
            None => Ok(figures),
        });
    match figures {
        Ok(figures) => Outcome::Answered(Box::new(figures)),
        Err(error) => Outcome::Failed { error },
    }
}

/// What is wrong where the cache held more or less than it was to.
fn cache_fault(figures: &Figures, case: &Case, plan: &Plan) -> Option<String> {
    let (cached, depth) = (figures.cached_tokens, case.depth);
    let is_right =
        plan.prefix_cache || cached.abs_diff(depth) <= if depth > 0 { DEPTH_SLACK } else { 0 };
    (!is_right).then(|| format!("{depth} tokens were to be in the cache, and {cached} were"))
}
