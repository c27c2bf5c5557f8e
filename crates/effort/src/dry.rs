//! DRY: a penalty on tokens that continue a repetition.
//!
//! For each earlier position the length of the match between what ends there and what ends the
//! context is kept. A new token `t` can only match where `t` stood before, so one step visits the
//! earlier occurrences of `t` and nothing else: `len(i) = len(i − 1) + 1`. The prompt's matches
//! come from one linear pass (the Z function of the reversed context).

use std::collections::HashMap;

use crate::DryParams;

/// No token at that end of an occurrence chain.
const NONE: u32 = u32::MAX;

/// Beyond it a token is out of the race; more would only risk infinities.
const MAX_PENALTY: f32 = 1e30;

#[derive(Debug, Clone)]
pub(crate) struct Dry {
    params: DryParams,
    /// Prompt and answer.
    history: Vec<u32>,
    /// `previous[i]`: the occurrence of `history[i]` before `i`.
    previous: Vec<u32>,
    latest: HashMap<u32, u32>,
    /// Matches that end before the last token, latest first.
    matches: Vec<Match>,
    scratch: Vec<Match>,
    /// Tokens since the last complete breaker.
    since_breaker: usize,
    /// `(token, repeated length)` found in one step.
    repeats: Vec<(u32, usize)>,
}

/// `history[end + 1 − len ..= end]` equals the last `len` tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Match {
    end: u32,
    len: u32,
}

impl Dry {
    /// `None` when the penalty is off.
    pub(crate) fn new(params: &DryParams, prompt: &[u32]) -> Option<Self> {
        if params.multiplier == 0.0 {
            return None;
        }
        let mut params = params.clone();
        // Sorted by last token: whether a token completes a breaker is then a binary search.
        params
            .breakers
            .sort_by_key(|breaker| breaker.last().copied());
        let mut dry = Self {
            params,
            history: Vec::with_capacity(prompt.len() + 1024),
            previous: Vec::with_capacity(prompt.len() + 1024),
            latest: HashMap::new(),
            matches: Vec::new(),
            scratch: Vec::new(),
            since_breaker: 0,
            repeats: Vec::new(),
        };
        for &token in prompt {
            dry.append(token);
        }
        dry.matches = suffix_matches(&dry.history);
        Some(dry)
    }

    pub(crate) fn accept(&mut self, token: u32) {
        self.append(token);
        let oldest = self.window_start();
        let mut old = self.matches.iter().peekable();
        let mut at = self.previous[self.history.len() - 1];
        while at != NONE && at as usize >= oldest {
            // Both run from late to early, so this is a merge.
            while old.next_if(|found| found.end >= at).is_some() {}
            let before = old
                .peek()
                .filter(|found| found.end + 1 == at)
                .map_or(0, |found| found.len);
            self.scratch.push(Match {
                end: at,
                len: before + 1,
            });
            at = self.previous[at as usize];
        }
        std::mem::swap(&mut self.matches, &mut self.scratch);
        self.scratch.clear();
    }

    pub(crate) fn apply(&mut self, logits: &mut [f32]) {
        self.penalties(|token, penalty| logits[token as usize] -= penalty);
    }

    /// What is subtracted from the logits of which tokens, in order of the tokens.
    pub(crate) fn penalties(&mut self, mut each: impl FnMut(u32, f32)) {
        let oldest = self.window_start();
        let allowed = self.params.allowed_length;
        let mut repeats = std::mem::take(&mut self.repeats);
        for found in &self.matches {
            let end = found.end as usize;
            if end < oldest {
                break;
            }
            let len = (found.len as usize)
                .min(self.since_breaker)
                .min(end + 1 - oldest);
            let next = self.history[end + 1];
            if len >= allowed && !self.is_breaker(next) {
                repeats.push((next, len));
            }
        }
        // The longest repetition that a token continues decides.
        repeats.sort_unstable_by_key(|&(token, len)| (token, std::cmp::Reverse(len)));
        repeats.dedup_by_key(|repeat| repeat.0);
        for &(token, len) in &repeats {
            let penalty = self.params.multiplier * power(self.params.base, len - allowed);
            each(token, penalty.min(MAX_PENALTY));
        }
        repeats.clear();
        self.repeats = repeats;
    }

    /// First position that is looked at.
    fn window_start(&self) -> usize {
        match self.params.range {
            0 => 0,
            range => self.history.len().saturating_sub(range),
        }
    }

    fn append(&mut self, token: u32) {
        let at = u32::try_from(self.history.len()).unwrap_or(NONE);
        self.history.push(token);
        self.previous
            .push(self.latest.insert(token, at).unwrap_or(NONE));
        let breaks = self
            .breakers_ending_in(token)
            .iter()
            .any(|b| self.history.ends_with(b));
        self.since_breaker = if breaks { 0 } else { self.since_breaker + 1 };
    }

    fn breakers_ending_in(&self, token: u32) -> &[Vec<u32>] {
        let breakers = &self.params.breakers;
        let start = breakers.partition_point(|b| b.last() < Some(&token));
        let len = breakers[start..].partition_point(|b| b.last() == Some(&token));
        &breakers[start..start + len]
    }

    fn is_breaker(&self, token: u32) -> bool {
        self.breakers_ending_in(token)
            .iter()
            .any(|breaker| breaker.len() == 1)
    }
}

/// `base^n` by squaring; `f32::powi` may differ between platforms.
fn power(mut base: f32, mut n: usize) -> f32 {
    let mut result = 1.0f32;
    while n > 0 {
        if n & 1 == 1 {
            result *= base;
        }
        base *= base;
        n >>= 1;
    }
    result
}

/// All matches of a context's end with its earlier parts, latest first: the Z function.
fn suffix_matches(history: &[u32]) -> Vec<Match> {
    let n = history.len();
    let back = |i: usize| history[n - 1 - i];
    let mut z = vec![0usize; n];
    let (mut left, mut right) = (0, 0);
    let mut matches = Vec::new();
    for i in 1..n {
        if i < right {
            z[i] = z[i - left].min(right - i);
        }
        while i + z[i] < n && back(z[i]) == back(i + z[i]) {
            z[i] += 1;
        }
        if i + z[i] > right {
            (left, right) = (i, i + z[i]);
        }
        if z[i] > 0 {
            matches.push(Match {
                end: (n - 1 - i) as u32,
                len: z[i] as u32,
            });
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn penalties(params: &DryParams, prompt: &[u32], answer: &[u32]) -> Vec<f32> {
        let mut logits = vec![0.0; 8];
        let mut dry = Dry::new(params, prompt).unwrap();
        for &token in answer {
            dry.accept(token);
        }
        dry.apply(&mut logits);
        logits.iter().map(|logit| -logit).collect()
    }

    /// From the definition: every earlier position, every length, compared token by token.
    fn plain(params: &DryParams, context: &[u32]) -> Vec<f32> {
        let n = context.len();
        let start = if params.range == 0 {
            0
        } else {
            n.saturating_sub(params.range)
        };
        let since = (0..=n)
            .rev()
            .find(|&end| params.breakers.iter().any(|b| context[..end].ends_with(b)))
            .map_or(n, |end| n - end);
        let mut longest = [0usize; 8];
        for end in start..n.saturating_sub(1) {
            let next = context[end + 1] as usize;
            for len in 1..=(end + 1 - start).min(since) {
                if context[end + 1 - len..=end] == context[n - len..] {
                    longest[next] = longest[next].max(len);
                }
            }
        }
        (0..8u32)
            .map(|token| {
                let len = longest[token as usize];
                if len < params.allowed_length || params.breakers.contains(&vec![token]) {
                    return 0.0;
                }
                let exponent = (len - params.allowed_length) as i32;
                params.multiplier * params.base.powi(exponent)
            })
            .collect()
    }

    #[test]
    fn longest_repetition_decides() {
        let params = DryParams {
            multiplier: 1.0,
            base: 2.0,
            ..Default::default()
        };
        // a b c c b c y a b c: after `a b c` came c (3 tokens), after `b c` y (2), after `c` b (1).
        let got = penalties(&params, &[0, 1, 2, 2, 1, 2, 3, 0, 1, 2], &[]);
        assert_eq!(got, [0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn penalty_of_a_long_loop_is_finite() {
        let params = DryParams {
            multiplier: 100.0,
            base: 10.0,
            ..Default::default()
        };
        let got = penalties(&params, &[5; 500], &[5; 500]);
        assert_eq!(got[5], MAX_PENALTY);
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            prompt in prop::collection::vec(0u32..4, 0..40),
            answer in prop::collection::vec(0u32..4, 0..40),
            range in prop_oneof![Just(0usize), 1usize..50],
            allowed_length in 1usize..4,
            breakers in prop::collection::vec(prop::collection::vec(0u32..4, 1..4), 0..3),
        ) {
            let params = DryParams { multiplier: 0.8, base: 1.5, allowed_length, range, breakers };
            let got = penalties(&params, &prompt, &answer);
            let want = plain(&params, &[prompt, answer].concat());
            for (g, w) in got.iter().zip(&want) {
                prop_assert!((g - w).abs() <= 1e-5 * w.abs(), "{got:?} {want:?}");
            }
        }
    }
}
