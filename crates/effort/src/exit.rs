//! Early exit: from what is seen ahead of a thought, whether its answer is settled.
//!
//! Three ways to look, each with the threshold of the work that it comes from.

/// What looking ahead showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Glimpse {
    /// The entropy of the next token behind a close marker, in nats.
    Entropy(f64),
    /// A trial answer.
    Trial {
        /// What it says, in a form in which equal answers are equal; `None`: nothing.
        key: Option<String>,
        /// The geometric mean of its tokens' probabilities.
        confidence: f64,
    },
}

/// When a thought is settled.
#[derive(Debug, Clone, PartialEq)]
pub enum ExitRule {
    /// The entropy stays where it is (EAT, arXiv 2509.26522): the variance around its moving average
    /// is below a threshold.
    Entropy(Moving),
    /// A trial answer is confident (DEER, arXiv 2504.15895).
    Confidence,
    /// Trial answers stay the same (Dynasor, arXiv 2412.20993).
    Agreement {
        /// The last answer.
        last: Option<String>,
        /// How often in a row it was given.
        n_same: usize,
    },
}

/// Confidence from which on a trial answer counts as certain, DEER's threshold.
const CONFIDENT: f64 = 0.95;

/// Trial answers that have to be the same.
const N_SAME: usize = 3;

/// Weight of a new value in EAT's moving average and variance.
const NEW: f64 = 0.2;

/// EAT's variance below which the entropy counts as settled.
const SETTLED: f64 = 1e-3;

/// Values before a variance is believed.
const N_SETTLED: usize = 4;

/// A moving average and the variance around it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moving {
    mean: f64,
    variance: f64,
    n: usize,
}

impl ExitRule {
    /// By the entropy behind a close marker.
    pub fn entropy() -> Self {
        Self::Entropy(Moving::default())
    }

    /// By the agreement of trial answers.
    pub fn agreement() -> Self {
        Self::Agreement {
            last: None,
            n_same: 0,
        }
    }

    /// Whether it wants trial answers.
    pub fn wants_trial(&self) -> bool {
        !matches!(self, Self::Entropy(_))
    }

    /// Takes what was seen. Returns whether the thought is settled.
    pub fn observe(&mut self, glimpse: Glimpse) -> bool {
        match (self, glimpse) {
            (Self::Entropy(moving), Glimpse::Entropy(entropy)) => moving.settles(entropy),
            (Self::Confidence, Glimpse::Trial { key, confidence }) => {
                key.is_some() && confidence >= CONFIDENT
            }
            (Self::Agreement { last, n_same }, Glimpse::Trial { key, .. }) => {
                *n_same = match key.is_some() && *last == key {
                    true => *n_same + 1,
                    false => usize::from(key.is_some()),
                };
                *last = key;
                *n_same >= N_SAME
            }
            _ => false,
        }
    }
}

impl Moving {
    fn settles(&mut self, value: f64) -> bool {
        self.n += 1;
        if self.n == 1 {
            self.mean = value;
            return false;
        }
        let step = value - self.mean;
        self.mean += NEW * step;
        self.variance = (1.0 - NEW) * (self.variance + NEW * step * step);
        self.n >= N_SETTLED && self.variance < SETTLED
    }
}

/// The entropy of the distribution that logits stand for, in nats, and the logarithm of the sum of
/// their exponentials.
pub fn entropy(logits: &[f32]) -> (f64, f64) {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let (mut sum, mut weighted) = (0.0, 0.0);
    for &logit in logits {
        let below = f64::from(logit) - max;
        let weight = below.exp();
        sum += weight;
        weighted += if weight > 0.0 { weight * below } else { 0.0 };
    }
    (sum.ln() - weighted / sum, max + sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(key: &str, confidence: f64) -> Glimpse {
        let key = (!key.is_empty()).then(|| key.to_owned());
        Glimpse::Trial { key, confidence }
    }

    #[test]
    fn entropies_are_those_of_the_distribution() {
        assert!((entropy(&[1.0; 8]).0 - 8f64.ln()).abs() < 1e-12);
        assert!(entropy(&[100.0, 0.0, 0.0]).0 < 1e-30);
        let (half, log_sum) = entropy(&[5.0, 5.0, f32::MIN, f32::NEG_INFINITY]);
        assert!((half - 2f64.ln()).abs() < 1e-12, "{half}");
        assert!((log_sum - (5.0 + 2f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn an_entropy_that_stays_settles() {
        let mut rule = ExitRule::entropy();
        let settled = |rule: &mut ExitRule, values: &[f64]| {
            let mut values = values.iter();
            values.position(|&value| rule.observe(Glimpse::Entropy(value)))
        };
        assert_eq!(settled(&mut rule, &[2.0, 0.5, 3.0, 1.0, 2.5]), None);
        let later = settled(&mut rule, &[0.1; 60]).expect("it settles");
        assert!((10..40).contains(&later), "after {later}");
        assert_eq!(settled(&mut ExitRule::entropy(), &[0.1; 9]), Some(3));
        assert!(
            !rule.clone().observe(trial("4", 1.0)),
            "another kind says nothing"
        );
    }

    #[test]
    fn confident_and_equal_trials_settle() {
        let mut rule = ExitRule::Confidence;
        assert!(!rule.observe(trial("4", 0.94)) && !rule.observe(trial("", 1.0)));
        assert!(rule.observe(trial("4", 0.95)));
        let mut rule = ExitRule::agreement();
        let seen = ["4", "4", "5", "5", "", "5", "5", "5"].map(|key| rule.observe(trial(key, 0.5)));
        assert_eq!(
            seen,
            [false, false, false, false, false, false, false, true]
        );
    }
}
