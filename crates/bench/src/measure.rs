//! Asking in rounds, and keeping what came.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ponder_figures::{Random, mix};

use crate::machine::{Joules, Noise, peak_rss};
use crate::prompt::Prompt;
use crate::sample::{Figures, Outcome, Sample};
use crate::target::{Ask, Target};
use crate::{BenchError, Case, Plan};

/// Tokens by which what is found in the cache may differ from the depth that was asked for: words and
/// tokens do not end at the same places everywhere, and two prompts may begin with the same word, which
/// has many tokens where these are bytes.
const DEPTH_SLACK: usize = 16;

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

/// How long a wait is at most before it is asked whether the measurement was stopped.
const NAP: Duration = Duration::from_millis(50);

/// Measures a case. `round_trip_s` is how far away the target is; `done` hears of every round, and what
/// it does meanwhile is in no figure. Where the measurement is stopped, the rounds that were whole
/// before are what was measured.
pub(crate) fn measure(
    target: &dyn Target,
    case: &Case,
    plan: &Plan,
    round_trip_s: f64,
    done: &mut dyn FnMut(usize),
) -> Result<Measured, BenchError> {
    peak_rss::reset();
    prepare_depth(target, case, plan)?;
    let prompts = rounds(target, case, plan)?;
    if target.is_stopped() {
        return Ok(Measured::default());
    }
    let asker = Asker {
        target,
        case,
        plan,
        round_trip_s,
    };
    let mut measured = match plan.rate {
        None => asker.in_rounds(prompts, plan.warmup, done),
        Some(rate) => {
            let mut warmup = prompts;
            let rest = warmup.split_off(plan.warmup);
            asker.in_rounds(warmup, plan.warmup, done);
            let all = rest.into_iter().flatten().take(plan.runs).collect();
            asker.by_chance(rate, all, done)
        }
    };
    measured.peak_rss = peak_rss::get();
    Ok(measured)
}

/// What was counted while something was measured.
struct Meter {
    joules: Option<Joules>,
    noise: Noise,
}

impl Meter {
    fn start() -> Self {
        Self {
            joules: Joules::now(),
            noise: Noise::begin(),
        }
    }

    fn stop(self, mut samples: Vec<Sample>, seconds: f64) -> Measured {
        samples.sort_by_key(|sample| (sample.run, sample.slot));
        let answered = samples.iter().filter_map(Sample::figures);
        let tokens: usize = answered.map(|figures| figures.completion_tokens).sum();
        Measured {
            samples,
            total_tps: (seconds > 0.0).then(|| tokens as f64 / seconds),
            joules: self.joules.and_then(Joules::since),
            peak_rss: None,
            noise: self.noise.end(),
        }
    }
}

/// Sees that what comes before the prompts is in the cache.
fn prepare_depth(target: &dyn Target, case: &Case, plan: &Plan) -> Result<(), BenchError> {
    if case.depth == 0 {
        return Ok(());
    }
    for slot in 0..case.concurrency {
        if target.is_stopped() {
            return Ok(());
        }
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

/// The prompts of all rounds, made before any clock starts.
fn rounds(target: &dyn Target, case: &Case, plan: &Plan) -> Result<Vec<Vec<Prompt>>, BenchError> {
    let prompt = |round: usize, slot: usize| {
        let number = match plan.prefix_cache {
            true => slot,
            false => round * case.concurrency + slot,
        };
        target.prompt(case, slot, case_number(case).wrapping_add(number as u64))
    };
    let round = |round| {
        (0..case.concurrency)
            .map(|slot| prompt(round, slot))
            .collect()
    };
    let rounds = 0..plan.warmup + plan.runs;
    rounds
        .take_while(|_| !target.is_stopped())
        .map(round)
        .collect()
}

/// A number from which those of the case's prompts are counted: cases must not repeat each other's
/// prompts either.
pub(crate) fn case_number(case: &Case) -> u64 {
    let effort = case.effort.map_or(0, |effort| 1 + effort as usize);
    let parts = [case.prompt_tokens, case.depth, case.concurrency, effort];
    let add = |number: u64, part: usize| mix(number ^ part as u64);
    parts.into_iter().fold(0, add)
}

/// Who is asked, what and how.
struct Asker<'a> {
    target: &'a dyn Target,
    case: &'a Case,
    plan: &'a Plan,
    round_trip_s: f64,
}

impl Asker<'_> {
    /// Asks in rounds: all prompts of one at the same moment. The first rounds do not count.
    ///
    /// Every slot has one thread for all rounds, as programs have that ask more than once: a new thread
    /// would have to warm up first.
    fn in_rounds(
        &self,
        rounds: Vec<Vec<Prompt>>,
        n_warmup: usize,
        done: &mut dyn FnMut(usize),
    ) -> Measured {
        let n_slots = self.case.concurrency;
        let (barrier, rounds) = (Barrier::new(n_slots + 1), &rounds);
        let is_over = AtomicBool::new(false);
        let (mut meter, mut samples, mut seconds) = (Meter::start(), Vec::new(), 0.0);
        std::thread::scope(|scope| {
            let (sender, answers) = mpsc::channel();
            for slot in 0..n_slots {
                let (sender, barrier, is_over) = (sender.clone(), &barrier, &is_over);
                scope.spawn(move || {
                    for (round, prompts) in rounds.iter().enumerate() {
                        self.ready();
                        barrier.wait();
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        let outcome = self.outcome(&prompts[slot], 0.0);
                        let run = round.saturating_sub(n_warmup);
                        // Whoever listens does so until all rounds are over.
                        let _ = sender.send(Sample { run, slot, outcome });
                    }
                });
            }
            for round in 0..rounds.len() {
                if round == n_warmup {
                    meter = Meter::start();
                }
                is_over.store(self.target.is_stopped(), Ordering::Relaxed);
                barrier.wait();
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let began = Instant::now();
                let answered: Vec<Sample> = answers.iter().take(n_slots).collect();
                if round >= n_warmup && !self.target.is_stopped() {
                    seconds += began.elapsed().as_secs_f64();
                    samples.extend(answered);
                }
                done(round + 1);
            }
        });
        meter.stop(samples, seconds)
    }

    /// Lets the target prepare. What goes wrong there shows in the request that follows.
    fn ready(&self) {
        if !self.target.is_stopped() {
            let _ = catch_unwind(AssertUnwindSafe(|| self.target.ready()));
        }
    }

    /// Waits until a moment, or until the measurement is stopped.
    fn wait_until(&self, due: Instant) {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.target.is_stopped() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Requests that arrive as a Poisson process. One that finds all askers busy waits, and that
    /// counts.
    fn by_chance(&self, rate: f64, prompts: Vec<Prompt>, done: &mut dyn FnMut(usize)) -> Measured {
        let mut random = Random::new(self.plan.seed ^ 0xa121);
        let mut due_s = 0.0;
        let due = prompts.into_iter().map(|prompt| {
            due_s += -random.share().ln() / rate;
            (due_s, prompt)
        });
        let requests: Vec<(f64, Prompt)> = due.collect();
        let (next, samples) = (AtomicUsize::new(0), Mutex::default());
        let (meter, began) = (Meter::start(), Instant::now());
        std::thread::scope(|scope| {
            for slot in 0..self.case.concurrency {
                let (next, requests, samples) = (&next, &requests, &samples);
                scope.spawn(move || {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        let Some((due_s, prompt)) = requests.get(run) else {
                            return;
                        };
                        let due = began + Duration::from_secs_f64(*due_s);
                        // What is late already is not kept waiting.
                        if due > Instant::now() {
                            self.ready();
                            self.wait_until(due);
                        }
                        let outcome = self.outcome(prompt, due.elapsed().as_secs_f64());
                        if self.target.is_stopped() {
                            return;
                        }
                        let mut samples: MutexGuard<'_, Vec<Sample>> =
                            samples.lock().unwrap_or_else(PoisonError::into_inner);
                        samples.push(Sample { run, slot, outcome });
                    }
                });
            }
        });
        let seconds = began.elapsed().as_secs_f64();
        done(self.plan.warmup + self.plan.runs);
        let samples = samples.into_inner();
        meter.stop(samples.unwrap_or_else(PoisonError::into_inner), seconds)
    }

    /// One request, as a figure or a failure.
    fn outcome(&self, prompt: &Prompt, late_s: f64) -> Outcome {
        // A thread that was lost would keep all others waiting.
        let asked = catch_unwind(AssertUnwindSafe(|| self.figures(prompt, late_s)));
        match asked.unwrap_or_else(|_| Err("the thread that asked has panicked".to_owned())) {
            Ok(figures) => Outcome::Answered(Box::new(figures)),
            Err(error) => Outcome::Failed { error },
        }
    }

    fn figures(&self, prompt: &Prompt, late_s: f64) -> Result<Figures, String> {
        let ask = ask(self.case, self.plan, prompt.text.clone());
        let answered = self.target.ask(&ask)?;
        let mut figures = Figures::of(&answered, late_s, self.round_trip_s)?;
        if figures.cached_tokens.is_none() && ask.uses_prefix_cache {
            // Nobody knows how many tokens were computed.
            figures.prefill_tps = None;
        }
        match cache_fault(&figures, self.case, self.plan) {
            Some(fault) => Err(fault),
            None => Ok(figures),
        }
    }
}

/// What is wrong where the cache held more or less than it was to, as far as that is known.
fn cache_fault(figures: &Figures, case: &Case, plan: &Plan) -> Option<String> {
    let (cached, depth) = (figures.cached_tokens?, case.depth);
    let is_right =
        plan.prefix_cache || cached.abs_diff(depth) <= if depth > 0 { DEPTH_SLACK } else { 0 };
    (!is_right).then(|| format!("{depth} tokens were to be in the cache, and {cached} were"))
}
