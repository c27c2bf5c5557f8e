//! Logits that the fake keeps, as a device would.

use std::cell::{Cell, RefCell};

use ponder_runtime::backend::{BackendError, Draw, DrawnToken, KeptLogits, MAX_LIKELIEST};

use super::{Fake, VOCAB_SIZE, unplugged};

/// What was asked of the logits that are kept.
#[derive(Debug, Default)]
pub(super) struct Draws {
    /// The step that they are of has failed.
    pub(super) fails: bool,
    /// Tokens that were drawn and not given yet.
    drawn: RefCell<Vec<Option<DrawnToken>>>,
    n_asked: Cell<u64>,
}

impl KeptLogits for Fake {
    /// Now and then the fake has no room, or finds that it cannot do what it has taken.
    fn push(&self, draw: &Draw<'_>) -> bool {
        let n = self.draws.n_asked.get();
        self.draws.n_asked.set(n + 1);
        if n % 11 == 7 {
            return false;
        }
        let logits = &self.logits[draw.row * VOCAB_SIZE..][..VOCAB_SIZE];
        let token = (n % 7 != 3).then(|| drawn(token(draw, logits), logits));
        self.draws.drawn.borrow_mut().push(token);
        true
    }

    fn draw(&self, tokens: &mut Vec<Option<DrawnToken>>) -> Result<(), BackendError> {
        let mut drawn = self.draws.drawn.borrow_mut();
        if self.draws.fails {
            drawn.clear();
            return Err(unplugged());
        }
        tokens.append(&mut drawn);
        Ok(())
    }

    fn read(&self, row: usize, n_rows: usize, out: &mut Vec<f32>) -> Result<(), BackendError> {
        out.extend_from_slice(&self.logits[row * VOCAB_SIZE..][..n_rows * VOCAB_SIZE]);
        Ok(())
    }
}

/// A token of which nothing else is wanted.
fn drawn(token: u32, logits: &[f32]) -> DrawnToken {
    DrawnToken {
        token,
        logit: logits[token as usize],
        max: 0.0,
        mass: 0.0,
        likeliest: [(0, 0.0); MAX_LIKELIEST],
        n_likeliest: 0,
    }
}

/// The token at a place in the distribution, worked out in double precision.
fn token(draw: &Draw<'_>, logits: &[f32]) -> u32 {
    assert_eq!(draw.likeliest, None);
    assert!(draw.mask.is_none() && draw.added.is_empty() && draw.raised.is_none());
    assert_eq!((draw.repetition, draw.presence), (1.0, 0.0));
    assert_eq!((draw.top_k, draw.top_p, draw.min_p), (0, 1.0, 0.0));
    let mut row: [f64; VOCAB_SIZE] = std::array::from_fn(|token| f64::from(logits[token]));
    for &(token, n) in draw.seen {
        row[token as usize] -= f64::from(draw.frequency) * f64::from(n);
    }
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if draw.sharpness.is_infinite() {
        let best = row.iter().position(|&logit| logit == max);
        return best.expect("a token") as u32;
    }
    let weight = |logit: &f64| ((logit - max) * f64::from(draw.sharpness)).exp();
    let mut left = draw.number * row.iter().map(weight).sum::<f64>();
    let chosen = row.iter().position(|logit| {
        left -= weight(logit);
        left < 0.0
    });
    chosen.unwrap_or(VOCAB_SIZE - 1) as u32
}
