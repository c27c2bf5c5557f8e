//! What is measured, and what of it can be.

use ponder_engine::SamplingOverrides;
use serde::Serialize;

use crate::{BenchError, Grid, Peer, Start};

/// The most that may be asked for: a model's tokens, requests side by side, and rounds.
const MOST_TOKENS: usize = 1 << 24;
const MOST_SIDE_BY_SIDE: usize = 4096;
const MOST_ROUNDS: usize = 1_000_000;

/// The most tokens that the prompts of a case may have together: all are made before its clock starts.
const MOST_PROMPTS: usize = 1 << 27;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cases.
    pub grid: Grid,
    /// How each is measured.
    pub plan: Plan,
    /// How warm things are.
    pub starts: Vec<Start>,
    /// What differs from the model's own sampling defaults.
    pub sampling: SamplingOverrides,
    /// Whether the machine's limits are probed first.
    pub roofline: bool,
    /// Whose runs alternate with warm ones of one request at a time.
    pub peer: Option<Peer>,
}

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

impl Job {
    /// Sees that it can be done.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let (plan, grid) = (&self.plan, &self.grid);
        let largest = |list: &[usize]| list.iter().copied().max().unwrap_or(0);
        let prompt = largest(&grid.prompt_tokens);
        let depth = largest(&grid.depths);
        let side_by_side = largest(&grid.concurrencies);
        for (what, n, most) in [
            ("tokens of a prompt", prompt, MOST_TOKENS),
            ("tokens of depth", depth, MOST_TOKENS),
            ("tokens of an answer", plan.gen_tokens, MOST_TOKENS),
            ("requests side by side", side_by_side, MOST_SIDE_BY_SIDE),
            ("runs", plan.runs, MOST_ROUNDS),
            ("runs to warm up", plan.warmup, MOST_ROUNDS),
        ] {
            if n > most {
                return Err(BenchError::TooMuch { what, n, most });
            }
        }
        let n_prompts = (plan.runs + plan.warmup) * side_by_side;
        let n = n_prompts.saturating_mul(depth + prompt);
        if n > MOST_PROMPTS && !plan.prefix_cache {
            return Err(BenchError::TooMuch {
                what: "tokens in all prompts of a row",
                n,
                most: MOST_PROMPTS,
            });
        }
        if plan.runs == 0 || grid.cases().is_empty() || self.starts.is_empty() {
            return Err(BenchError::Nothing);
        }
        if grid.concurrencies.contains(&0) || plan.gen_tokens == 0 {
            return Err(BenchError::Nothing);
        }
        let is_possible = |rate: f64| rate.is_finite() && rate >= 1e-3;
        match plan.rate.is_none_or(is_possible) {
            true => Ok(()),
            false => Err(BenchError::Rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_measure_is_refused() {
        let job = || Job {
            grid: Grid {
                prompt_tokens: vec![128],
                depths: vec![0],
                concurrencies: vec![1],
                efforts: vec![None],
            },
            plan: Plan {
                gen_tokens: 8,
                runs: 3,
                warmup: 1,
                prefix_cache: false,
                rate: None,
                seed: 1,
            },
            starts: vec![Start::Warm],
            sampling: SamplingOverrides::default(),
            roofline: false,
            peer: None,
        };
        job().check().expect("possible");
        type Mistake = fn(&mut Job);
        let refused = |mistake: Mistake| {
            let mut job = job();
            mistake(&mut job);
            job.check().expect_err("impossible").to_string()
        };
        let too_much: [Mistake; 6] = [
            |job| job.grid.prompt_tokens.push(usize::MAX),
            |job| job.grid.depths.push(usize::MAX),
            |job| job.grid.concurrencies.push(usize::MAX),
            |job| job.plan.runs = usize::MAX,
            |job| job.plan.warmup = usize::MAX,
            |job| job.plan.gen_tokens = usize::MAX,
        ];
        for mistake in too_much {
            let error = refused(mistake);
            assert!(error.contains("at most"), "{error}");
        }
        let error = refused(|job| {
            job.grid.prompt_tokens.push(1 << 20);
            job.plan.runs = 1000;
        });
        assert!(error.contains("in all prompts of a row"), "{error}");
        let nothing: [Mistake; 5] = [
            |job| job.plan.runs = 0,
            |job| job.plan.gen_tokens = 0,
            |job| job.grid.prompt_tokens.clear(),
            |job| job.grid.concurrencies.push(0),
            |job| job.starts.clear(),
        ];
        for mistake in nothing {
            assert!(refused(mistake).contains("nothing to measure"));
        }
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
            let mut job = job();
            job.plan.rate = Some(rate);
            assert!(job.check().is_err(), "{rate}");
        }
    }
}
