//! Votes: which of several answers wins, and from when on the others cannot change it.
//!
//! 1. Make a [`Tally`] for the number of answers that are under way.
//! 2. [`Tally::add`] each answer that is complete, as a key that equal answers share.
//! 3. When [`Tally::is_settled`], the rest need not be waited for.

/// Answers in a row that settle a vote when all of them are the same (ESC, arXiv 2401.10480, which
/// samples in windows of this size).
pub const WINDOW: usize = 5;

/// What one answer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Weighing {
    /// One vote each.
    #[default]
    Majority,
    /// Its confidence (DeepConf, arXiv 2508.15260).
    Confidence,
}

/// Answers that are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// What they have in common.
    pub key: String,
    /// How many there are.
    pub n_votes: usize,
    /// What they count together.
    pub weight: f64,
    /// The one that was most confident, by its number.
    pub best: usize,
    best_confidence: f64,
}

/// The votes so far.
#[derive(Debug, Clone)]
pub struct Tally {
    weighing: Weighing,
    /// Answers that may still come.
    n_open: usize,
    classes: Vec<Class>,
    /// The class of the last answer, and how many before it in a row were of it.
    last: Option<(usize, usize)>,
    /// The most that one answer has counted.
    most: f64,
}

impl Tally {
    /// A vote of `n_answers`.
    pub fn new(n_answers: usize, weighing: Weighing) -> Self {
        Self {
            weighing,
            n_open: n_answers,
            classes: Vec::new(),
            last: None,
            most: 0.0,
        }
    }

    /// An answer is complete; without a key it says nothing that could win.
    pub fn add(&mut self, answer: usize, key: Option<String>, confidence: f64) {
        self.n_open = self.n_open.saturating_sub(1);
        let Some(key) = key else {
            self.last = None;
            return;
        };
        let confidence = confidence.max(0.0);
        let weight = match self.weighing {
            Weighing::Majority => 1.0,
            Weighing::Confidence => confidence,
        };
        self.most = self.most.max(weight);
        let known = self.classes.iter().position(|class| class.key == key);
        let index = known.unwrap_or_else(|| {
            self.classes.push(Class {
                key,
                n_votes: 0,
                weight: 0.0,
                best: answer,
                best_confidence: confidence,
            });
            self.classes.len() - 1
        });
        let class = &mut self.classes[index];
        class.n_votes += 1;
        class.weight += weight;
        if confidence > class.best_confidence {
            (class.best, class.best_confidence) = (answer, confidence);
        }
        self.last = match self.last {
            Some((last, n)) if last == index => Some((last, n + 1)),
            _ => Some((index, 1)),
        };
    }

    /// Whether what is still to come cannot change the winner: nobody can catch up, or the last
    /// [`WINDOW`] answers are all the same. By confidence, what comes is taken to count no more than
    /// what has come.
    pub fn is_settled(&self) -> bool {
        if self.n_open == 0 {
            return true;
        }
        let Some(winner) = self.winner() else {
            return false;
        };
        let rest = match self.weighing {
            Weighing::Majority => self.n_open as f64,
            Weighing::Confidence => self.n_open as f64 * self.most,
        };
        // An answer that nobody has given yet begins at 0, and must stay behind too.
        let others = self.classes.iter().filter(|class| class.key != winner.key);
        let second = others.map(|class| class.weight).fold(0.0, f64::max);
        let has_window = self.last.is_some_and(|(_, n)| n >= WINDOW);
        winner.weight > second + rest || has_window
    }

    /// The answers that count most; of equals those that came first.
    pub fn winner(&self) -> Option<&Class> {
        let mut best = self.classes.first()?;
        for class in &self.classes {
            if class.weight > best.weight {
                best = class;
            }
        }
        Some(best)
    }

    /// All answers, those that count most first.
    pub fn classes(&self) -> Vec<&Class> {
        let mut classes: Vec<&Class> = self.classes.iter().collect();
        classes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        classes
    }

    /// Share of what all answers with a key count that is the winner's; 0 without any.
    pub fn agreement(&self) -> f64 {
        let all: f64 = self.classes.iter().map(|class| class.weight).sum();
        let winner = self.winner().map_or(0.0, |class| class.weight);
        if all > 0.0 { winner / all } else { 0.0 }
    }
}

/// How sure a model was of what it wrote: the least mean confidence of a group of tokens, where the
/// confidence of a token is the negative mean log-probability of its likeliest alternatives
/// (DeepConf's lowest group confidence). Memory is a group's.
#[derive(Debug, Clone, Default)]
pub struct Confidence {
    group: Vec<f32>,
    at: usize,
    sum: f64,
    lowest: Option<f64>,
}

/// Tokens of a group.
const GROUP: usize = 256;

impl Confidence {
    /// Takes the log-probabilities of the likeliest alternatives of a token.
    pub fn add(&mut self, logprobs: impl ExactSizeIterator<Item = f32>) {
        let n = logprobs.len().max(1) as f32;
        // What is all but impossible counts as that, not as infinite.
        let value = -logprobs.map(|logprob| logprob.max(-100.0)).sum::<f32>() / n;
        if self.group.len() < GROUP {
            self.group.push(value);
        } else {
            self.sum -= f64::from(self.group[self.at]);
            self.group[self.at] = value;
            self.at = (self.at + 1) % GROUP;
        }
        self.sum += f64::from(value);
        if self.group.len() == GROUP {
            let mean = self.sum / GROUP as f64;
            self.lowest = Some(self.lowest.map_or(mean, |lowest| lowest.min(mean)));
        }
    }

    /// The confidence so far: of shorter texts the mean of all.
    pub fn value(&self) -> f64 {
        let mean = self.sum / self.group.len().max(1) as f64;
        self.lowest.unwrap_or(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(n: usize, weighing: Weighing, votes: &[(&str, f64)]) -> Tally {
        let mut tally = Tally::new(n, weighing);
        for (i, (key, confidence)) in votes.iter().enumerate() {
            let key = (!key.is_empty()).then(|| (*key).to_owned());
            tally.add(i, key, *confidence);
        }
        tally
    }

    fn best(tally: &Tally) -> Option<(&str, usize, usize)> {
        let class = tally.winner()?;
        Some((&class.key, class.n_votes, class.best))
    }

    #[test]
    fn the_majority_wins_and_its_best_is_shown() {
        let votes = tally(
            5,
            Weighing::Majority,
            &[("a", 9.0), ("b", 1.0), ("b", 3.0), ("", 9.0), ("b", 2.0)],
        );
        assert_eq!(best(&votes), Some(("b", 3, 2)));
        assert_eq!((votes.agreement(), votes.is_settled()), (0.75, true));
        let tie = tally(2, Weighing::Majority, &[("a", 1.0), ("b", 2.0)]);
        assert_eq!(best(&tie), Some(("a", 1, 0)), "the first of equals");
        assert_eq!(best(&tally(2, Weighing::Majority, &[("", 1.0)])), None);
    }

    #[test]
    fn confidence_can_outvote_a_majority() {
        let votes = [("a", 1.0), ("a", 1.0), ("b", 3.0)];
        assert_eq!(
            best(&tally(3, Weighing::Majority, &votes)),
            Some(("a", 2, 0))
        );
        assert_eq!(
            best(&tally(3, Weighing::Confidence, &votes)),
            Some(("b", 1, 2))
        );
    }

    #[test]
    fn a_vote_ends_when_nothing_can_change_it() {
        let settled_at = |n: usize, votes: &[&str]| {
            (1..=votes.len()).find(|&len| {
                let votes: Vec<_> = votes[..len].iter().map(|key| (*key, 1.0)).collect();
                tally(n, Weighing::Majority, &votes).is_settled()
            })
        };
        assert_eq!(settled_at(3, &["a", "a", "b"]), Some(2));
        assert_eq!(
            settled_at(4, &["a", "a", "b", "c"]),
            Some(4),
            "two could still tie"
        );
        assert_eq!(settled_at(8, &["a", "a", "b", "a", "a", "a"]), Some(6));
        // Nobody can be sure of 40, but five in a row are enough.
        assert_eq!(settled_at(40, &["b", "a", "a", "a", "a", "a"]), Some(6));
        assert_eq!(settled_at(40, &["a", "a", "", "a", "a", "a"]), None);
    }

    #[test]
    fn a_settled_majority_cannot_be_overturned() {
        // Every vote of five answers of three kinds: whatever follows, the winner stays.
        for code in 0..3usize.pow(5) {
            let keys: Vec<&str> = (0..5)
                .map(|i| ["a", "b", "c"][code / 3usize.pow(i) % 3])
                .collect();
            let votes: Vec<_> = keys.iter().map(|key| (*key, 1.0)).collect();
            let last = tally(5, Weighing::Majority, &votes);
            for len in 1..5 {
                let so_far = tally(5, Weighing::Majority, &votes[..len]);
                if so_far.is_settled() {
                    assert_eq!(
                        so_far.winner().map(|c| &c.key),
                        last.winner().map(|c| &c.key)
                    );
                }
            }
        }
    }

    #[test]
    fn the_weakest_group_counts() {
        let mut confidence = Confidence::default();
        confidence.add([-1.0, -3.0].into_iter());
        assert_eq!(confidence.value(), 2.0);
        let mut long = Confidence::default();
        for i in 0..3000 {
            let value = if (1000..1300).contains(&i) {
                -1.0
            } else {
                -4.0
            };
            long.add([value].into_iter());
        }
        assert!((long.value() - 1.0).abs() < 1e-6, "{}", long.value());
        long.add([f32::NEG_INFINITY].into_iter());
        assert!(long.value().is_finite());
    }
}
