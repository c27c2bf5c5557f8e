//! Repetition, found on token ids: every period from 1 to 256 at once.
//!
//! For each period the length of the run of tokens that equal the one a period before is kept. A
//! token changes 256 counters by one comparison each, in a loop that vectorizes: constant time and
//! memory, and no repetition is missed or guessed.

/// The longest period that is looked for, in tokens.
pub const MAX_PERIOD: usize = 256;

/// How long a repetition is before it counts as a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patience {
    /// Tokens that equal those a period before, for periods from [`MAX_PERIOD`] down to 1.
    runs: [u16; MAX_PERIOD],
}

impl Patience {
    /// At least `n_tokens`, and at least `n_periods` repetitions of the period.
    const fn new(n_tokens: u16, n_periods: u16) -> Self {
        let mut runs = [0; MAX_PERIOD];
        let mut at = 0;
        while at < MAX_PERIOD {
            let by_periods = (MAX_PERIOD - at) as u16 * n_periods;
            runs[at] = if by_periods > n_tokens {
                by_periods
            } else {
                n_tokens
            };
            at += 1;
        }
        Self { runs }
    }
}

/// Thoughts circle and come back; four times the same in a row, and never less than 64 tokens of it,
/// is no circling any more.
pub(super) static IN_THOUGHT: Patience = Patience::new(63, 3);

/// An answer may well hold tables and lists of the same: it gets more.
pub(super) static IN_ANSWER: Patience = Patience::new(240, 7);

/// The last tokens of a text and their repetitions.
#[derive(Debug, Clone)]
pub(super) struct Repeats {
    /// The last [`MAX_PERIOD`] tokens before `end` are looked at; `NONE` where there were none.
    history: Box<[u32; 2 * MAX_PERIOD]>,
    end: usize,
    runs: Box<[u16; MAX_PERIOD]>,
}

/// No token has this id.
const NONE: u32 = u32::MAX;

impl Repeats {
    pub(super) fn new() -> Self {
        Self {
            history: Box::new([NONE; 2 * MAX_PERIOD]),
            end: MAX_PERIOD,
            runs: Box::new([0; MAX_PERIOD]),
        }
    }

    /// Forgets everything: another part of the text begins.
    pub(super) fn clear(&mut self) {
        self.history[..MAX_PERIOD].fill(NONE);
        self.end = MAX_PERIOD;
        self.runs.fill(0);
    }

    /// Takes a token. Returns whether it goes on with a repetition that is longer than `patience`.
    pub(super) fn push(&mut self, token: u32, patience: &Patience) -> bool {
        if self.end == self.history.len() {
            self.history.copy_within(MAX_PERIOD.., 0);
            self.end = MAX_PERIOD;
        }
        let window = &self.history[self.end - MAX_PERIOD..self.end];
        let mut is_loop = false;
        for ((run, &before), &enough) in self.runs.iter_mut().zip(window).zip(&patience.runs) {
            let longer = run.saturating_add(1);
            *run = if before == token { longer } else { 0 };
            is_loop |= *run >= enough;
        }
        self.history[self.end] = token;
        self.end += 1;
        is_loop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length at which `text` is a loop, by definition.
    fn plain(text: &[u32], patience: &Patience) -> Option<usize> {
        (1..=text.len()).find(|&len| {
            (1..=MAX_PERIOD.min(len - 1)).any(|period| {
                let equal = |i: &usize| *i >= period && text[*i] == text[*i - period];
                let run = (0..len).rev().take_while(equal).count();
                run >= usize::from(patience.runs[MAX_PERIOD - period])
            })
        })
    }

    fn fast(text: &[u32], patience: &Patience) -> Option<usize> {
        let mut repeats = Repeats::new();
        text.iter()
            .position(|&token| repeats.push(token, patience))
            .map(|at| at + 1)
    }

    #[test]
    fn every_period_is_found_when_it_is_due() {
        for (patience, n_periods, n_tokens) in [(&IN_THOUGHT, 3, 63), (&IN_ANSWER, 7, 240)] {
            for period in 1..=MAX_PERIOD {
                let text: Vec<u32> = (0..100u32)
                    .map(|i| 10_000 + i)
                    .chain((0..period as u32).cycle().take(3000))
                    .collect();
                let due = 100 + period + (n_periods * period).max(n_tokens);
                assert_eq!(fast(&text, patience), Some(due), "period {period}");
            }
        }
    }

    #[test]
    fn it_agrees_with_the_definition() {
        // Texts of few tokens, so that runs begin, break and begin again.
        let mut state = 1u32;
        let mut found = 0;
        for _ in 0..60 {
            let mut text = Vec::new();
            while text.len() < 500 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (period, n) = (1 + (state >> 8) % 40, (state >> 16) % 160);
                text.extend((0..n).map(|i| i % period + (state >> 28)));
            }
            let expected = plain(&text, &IN_THOUGHT);
            assert_eq!(fast(&text, &IN_THOUGHT), expected);
            found += usize::from(expected.is_some());
        }
        assert!((10..60).contains(&found), "{found} loops");
    }

    #[test]
    fn longer_periods_and_cleared_texts_are_no_loops() {
        let text: Vec<u32> = (0..=MAX_PERIOD as u32).cycle().take(5000).collect();
        assert_eq!(fast(&text, &IN_THOUGHT), None);
        let mut repeats = Repeats::new();
        for _ in 0..100 {
            assert!((0..60).all(|_| !repeats.push(7, &IN_THOUGHT)));
            repeats.clear();
        }
    }
}
