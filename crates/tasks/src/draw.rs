//! Random choices that stay the same from version to version.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A stream of choices. ChaCha is value-stable by the promise of the rand crates; what is made of its
/// words is defined here.
#[derive(Debug)]
pub(crate) struct Draw {
    seed: u64,
    stream: u64,
    rng: ChaCha8Rng,
}

impl Draw {
    /// Streams of one seed have nothing in common.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { seed, stream, rng }
    }

    /// A number of `low..=high`.
    pub(crate) fn number(&mut self, low: i64, high: i64) -> i64 {
        let count = u128::from(high.abs_diff(low)) + 1;
        let offset = (u128::from(self.rng.next_u64()) * count) >> 64;
        low + offset as i64
    }

    /// Whether something of `percent` happens.
    pub(crate) fn chance(&mut self, percent: i64) -> bool {
        self.number(1, 100) <= percent
    }

    /// One of several, which must not be none.
    pub(crate) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// One of several by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, of: &[(i64, T)]) -> T {
        let mut left = self.number(1, of.iter().map(|(weight, _)| weight).sum());
        for &(weight, choice) in of {
            left -= weight;
            if left <= 0 {
                return choice;
            }
        }
        unreachable!("no more than the sum of weights was drawn")
    }

    /// Puts all into another order.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }

    /// `n` different ones.
    pub(crate) fn some<'a>(&mut self, n: usize, of: &[&'a str]) -> Vec<&'a str> {
        let mut all = of.to_vec();
        self.shuffle(&mut all);
        all.truncate(n);
        all
    }

    fn below(&mut self, n: usize) -> usize {
        self.number(0, n as i64 - 1) as usize
    }
}

impl Clone for Draw {
    /// The generator itself is not `Clone`; it is rebuilt at the same place of its stream.
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.seed, self.stream);
        copy.rng.set_word_pos(self.rng.get_word_pos());
        copy
    }
}
