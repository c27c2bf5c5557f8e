//! Time: how long has been thought, and how fast tokens come.

use std::time::Duration;

/// The times of one answer, all since the request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// When the second token was asked for, and so the first was there.
    first: Option<Duration>,
    last: Duration,
    n_tokens: usize,
    /// When the thought began that is going on.
    thinks_since: Option<Duration>,
    /// How long earlier thoughts took.
    thought: Duration,
}

impl Pace {
    /// It is `now`, `n_tokens` are there, and a thought is going on or not.
    pub(super) fn tick(&mut self, now: Duration, n_tokens: usize, is_thinking: bool) {
        if n_tokens > 0 && self.first.is_none() {
            self.first = Some(now);
            self.n_tokens = 0;
        }
        self.last = now;
        self.n_tokens = n_tokens;
        match (self.thinks_since, is_thinking) {
            (None, true) => self.thinks_since = Some(now),
            (Some(since), false) => {
                self.thought += now.saturating_sub(since);
                self.thinks_since = None;
            }
            _ => {}
        }
    }

    /// How long has been thought.
    pub(super) fn thought(&self) -> Duration {
        let current = self
            .thinks_since
            .map_or(Duration::ZERO, |since| self.last.saturating_sub(since));
        self.thought + current
    }

    /// How long `n` more tokens will take at the pace so far; nothing before it is known.
    pub(super) fn time_of(&self, n: usize) -> Duration {
        let Some(first) = self.first.filter(|_| self.n_tokens > 1) else {
            return Duration::ZERO;
        };
        let each = self.last.saturating_sub(first).as_secs_f64() / (self.n_tokens - 1) as f64;
        // More than a year is for ever, and not too much for a `Duration`.
        Duration::from_secs_f64((each * n as f64).min(1e8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn thoughts_add_up_and_the_prompt_does_not_count() {
        let mut pace = Pace::default();
        pace.tick(MS(500), 0, true);
        assert_eq!(pace.time_of(100), Duration::ZERO);
        pace.tick(MS(520), 1, true);
        pace.tick(MS(530), 2, true);
        pace.tick(MS(540), 3, false);
        pace.tick(MS(560), 5, false);
        assert_eq!((pace.thought(), pace.time_of(10)), (MS(40), MS(100)));
        pace.tick(MS(600), 6, true);
        pace.tick(MS(605), 6, true);
        assert_eq!(pace.thought(), MS(45));
    }
}
