//! Whether drafts pay.
//!
//! A step over more rows takes longer; drafts that are drawn as drafted save steps. With `m` rows of
//! sequences that generate, time `T(rows)` of a step and chance `p` that a draft is right, `k` drafts
//! make `m + p + p² + … + pᵏ` tokens in `T(m + k)` instead of `m` tokens in `T(m)`. In models with
//! recurrent state, of which the state before all drafts is kept, a wrong draft after `a` right ones
//! makes the next step compute `a + 1` tokens again, so that `T(m + a + 1) - T(m)` comes to that.
//! Times are measured, chances are counted.

/// Drafts in one step at most, of all sequences together. A step of more rows costs almost
/// proportionally more everywhere.
pub(crate) const MAX_DRAFTS: usize = 15;

/// Rows whose times are told apart.
const MAX_ROWS: usize = 64;

/// Weight of a new time in the running mean.
const NEW_TIME: f64 = 0.2;

/// Share of a step's time that one more row is taken to cost before it was measured.
const UNKNOWN_ROW: f64 = 0.02;

/// How much faster drafts must seem before they are used: times are measured with some noise.
const MARGIN: f64 = 1.05;

/// How many drafts are tried where they do not seem to pay, to see whether they still do not.
const PROBE: usize = 4;

/// Steps between two such trials: at first, and at most.
const PROBE_EVERY: [u32; 2] = [32, 512];

/// How long steps take, by rows.
#[derive(Debug, Clone)]
pub(crate) struct StepTimes {
    /// Running means in seconds; 0: not measured.
    seconds: [f64; MAX_ROWS + 1],
}

impl StepTimes {
    pub(crate) fn new() -> Self {
        Self {
            seconds: [0.0; MAX_ROWS + 1],
        }
    }

    /// A step over `rows` rows, all of sequences that generate, took this long.
    pub(crate) fn observe(&mut self, rows: usize, seconds: f64) {
        if let Some(mean) = self.seconds.get_mut(rows)
            && seconds > 0.0
        {
            *mean = match *mean {
                0.0 => seconds,
                mean => mean + NEW_TIME * (seconds - mean),
            };
        }
    }

    /// The time of a step: measured, or between what was measured for fewer and more rows, or a
    /// little more than for fewer; `None` where nothing was measured for as few.
    fn of(&self, rows: usize) -> Option<f64> {
        let known = |&rows: &usize| self.seconds.get(rows).is_some_and(|&mean| mean > 0.0);
        let below = (1..=rows.min(MAX_ROWS)).rev().find(known)?;
        let least = self.seconds[below];
        match (rows..=MAX_ROWS).find(known) {
            Some(above) if above > below => {
                let share = (rows - below) as f64 / (above - below) as f64;
                Some(least + share * (self.seconds[above] - least))
            }
            _ => Some(least * (1.0 + UNKNOWN_ROW * (rows - below) as f64)),
        }
    }
}

/// The step that drafts are to be added to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// Rows so far, drafts of other sequences among them.
    pub(crate) now: usize,
    /// Rows of sequences that each get a token.
    pub(crate) generating: usize,
    /// Whether a wrong draft takes the right ones before it, and the token before all, with it.
    pub(crate) is_recurrent: bool,
}

impl Rows {
    /// What the next step takes longer if it has `n` tokens to compute again.
    fn time_to_redo(self, times: &StepTimes, n: usize) -> f64 {
        let time = |rows| times.of(rows).unwrap_or(0.0);
        match self.is_recurrent {
            true => (time(self.generating + n) - time(self.generating)).max(0.0),
            false => 0.0,
        }
    }
}

/// How often drafts of one sequence are right, and when to try again if they are not.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// Drafts that were compared with what was drawn, older ones counting less.
    tested: f64,
    /// Of these, drafts that were right.
    right: f64,
    idle_steps: u32,
    probe_every: u32,
}

impl Gate {
    pub(crate) fn new() -> Self {
        // Two imagined drafts, one of them right.
        Self {
            tested: 2.0,
            right: 1.0,
            idle_steps: 0,
            probe_every: PROBE_EVERY[0],
        }
    }

    /// How many of `available` drafts pay.
    pub(crate) fn choose(&mut self, times: &StepTimes, rows: Rows, available: usize) -> usize {
        let Some(now) = times.of(rows.now).filter(|_| available > 0) else {
            return 0;
        };
        let (p, certain) = (self.right / self.tested, rows.generating as f64);
        let (mut best, mut best_rate) = (0, MARGIN * certain / now);
        let (mut expected, mut chance, mut again) = (certain, 1.0, 0.0);
        for k in 1..=available {
            again += chance * (1.0 - p) * rows.time_to_redo(times, k);
            chance *= p;
            expected += chance;
            let time = times.of(rows.now + k);
            let rate = time.map_or(0.0, |time| expected / (time + again));
            if rate > best_rate {
                (best, best_rate) = (k, rate);
            }
        }
        if best > 0 {
            self.idle_steps = 0;
            return best;
        }
        self.idle_steps += 1;
        if self.idle_steps < self.probe_every {
            return 0;
        }
        self.idle_steps = 0;
        self.probe_every = (self.probe_every * 2).min(PROBE_EVERY[1]);
        available.min(PROBE)
    }

    /// Of the drafts of a step `right` were drawn, and then another token if `wrong`.
    pub(crate) fn observe(&mut self, right: usize, wrong: bool) {
        // About the last sixteen drafts count.
        const MEMORY: f64 = 15.0 / 16.0;
        for is_right in std::iter::repeat_n(true, right).chain(wrong.then_some(false)) {
            self.tested = self.tested * MEMORY + 1.0;
            self.right = self.right * MEMORY + f64::from(u8::from(is_right));
        }
        if right > 0 {
            self.probe_every = PROBE_EVERY[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device on which a step takes `base + per_row * rows`.
    fn times(base: f64, per_row: f64) -> StepTimes {
        let mut times = StepTimes::new();
        (1..=MAX_ROWS).for_each(|rows| times.observe(rows, base + per_row * rows as f64));
        times
    }

    fn rows(generating: usize) -> Rows {
        Rows {
            now: generating,
            generating,
            is_recurrent: false,
        }
    }

    fn after(rights: &[bool]) -> Gate {
        let mut gate = Gate::new();
        for &right in rights {
            gate.observe(usize::from(right), !right);
        }
        gate
    }

    #[test]
    fn drafts_are_used_where_they_pay() {
        // A memory-bound device: more rows are almost free.
        let cheap = times(1.0, 0.05);
        let right = [true; 50];
        assert_eq!(after(&right).choose(&cheap, rows(1), 8), 8);
        let half: Vec<bool> = (0..50).map(|i| i % 2 == 0).collect();
        let some = after(&half).choose(&cheap, rows(1), 8);
        assert!((1..6).contains(&some), "{some}");
        // A device bound by arithmetic: each row costs as much as the first.
        let dear = times(0.0, 1.0);
        assert_eq!(after(&right).choose(&dear, rows(1), 8), 0);
        assert_eq!(after(&half).choose(&dear, rows(1), 8), 0);
    }

    #[test]
    fn drafts_that_must_be_computed_again_pay_less() {
        let half: Vec<bool> = (0..50).map(|i| i % 2 == 0).collect();
        let chosen = |per_row, is_recurrent| {
            let rows = Rows {
                is_recurrent,
                ..rows(1)
            };
            after(&half).choose(&times(1.0, per_row), rows, 8)
        };
        // Almost free rows, and rows that pay once but not twice.
        assert!(chosen(0.01, true) > 0);
        assert!(chosen(0.5, false) > 0 && chosen(0.5, true) == 0);
        // What is always right is never computed again.
        let cheap = times(1.0, 0.05);
        let rows = Rows {
            is_recurrent: true,
            ..rows(1)
        };
        assert_eq!(after(&[true; 200]).choose(&cheap, rows, 8), 8);
    }

    #[test]
    fn wrong_drafts_are_not_tried_often() {
        let cheap = times(1.0, 0.1);
        let mut gate = after(&[false; 50]);
        let tried = (0..2000).filter(|_| {
            let k = gate.choose(&cheap, rows(1), 8);
            gate.observe(0, k > 0);
            k > 0
        });
        let tried = tried.count();
        assert!((1..12).contains(&tried), "{tried} times");
    }

    #[test]
    fn a_text_that_turns_repetitive_is_noticed() {
        let cheap = times(1.0, 0.05);
        let mut gate = after(&[false; 50]);
        let mut made = 0;
        for _ in 0..200 {
            let k = gate.choose(&cheap, rows(1), 8);
            gate.observe(k, false);
            made += k;
        }
        assert!(made > 500, "{made} drafts");
    }

    #[test]
    fn beside_many_sequences_drafts_must_be_cheaper() {
        let times = times(1.0, 0.1);
        let gate = after(&[true, false, true, true, false, true, true]);
        assert!(gate.clone().choose(&times, rows(1), 8) > 0);
        assert_eq!(gate.clone().choose(&times, rows(40), 8), 0);
    }

    #[test]
    fn nothing_is_drafted_before_a_plain_step_was_measured() {
        let mut gate = after(&[true; 50]);
        assert_eq!(gate.choose(&StepTimes::new(), rows(1), 8), 0);
        let mut one = StepTimes::new();
        one.observe(1, 0.1);
        assert_eq!(gate.choose(&one, rows(1), 8), 8, "to be measured");
        assert_eq!(gate.choose(&one, rows(1), 0), 0);
    }

    #[test]
    fn times_in_between_are_estimated() {
        let mut times = StepTimes::new();
        times.observe(2, 1.0);
        times.observe(6, 2.0);
        assert_eq!((times.of(1), times.of(4)), (None, Some(1.5)));
        assert!(times.of(8).is_some_and(|time| time > 2.0 && time < 2.2));
        times.observe(2, 2.0);
        assert_eq!(times.of(2), Some(1.2));
        times.observe(MAX_ROWS + 1, 1.0);
    }
}
