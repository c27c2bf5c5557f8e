//! The random numbers of one sequence: one number for each generated token.
//!
//! ChaCha with 8 rounds, key by `SeedableRng::seed_from_u64`, stream 0: both are value-stable by
//! the reproducibility promise of the rand crates, and pinned by a test here.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A seeded stream that can be cloned for a fork of its sequence.
#[derive(Debug)]
pub(crate) struct Stream {
    seed: u64,
    rng: ChaCha8Rng,
    /// The next number, where somebody has looked at it.
    next: Option<f64>,
}

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            next: None,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.next.take().unwrap_or_else(|| self.generate())
    }

    /// The number that [`Stream::uniform`] will give.
    pub(crate) fn peek(&mut self) -> f64 {
        let next = self.uniform();
        self.next = Some(next);
        next
    }

    /// The top 53 bits of a 64-bit word, so that each number is exact.
    fn generate(&mut self) -> f64 {
        const ULP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.rng.next_u64() >> 11) as f64 * ULP
    }
}

impl Clone for Stream {
    /// The generator itself is not `Clone`; it is rebuilt at the same place of its stream.
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.seed);
        copy.rng.set_word_pos(self.rng.get_word_pos());
        copy.next = self.next;
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_pinned() {
        // A change of these numbers would change every seeded answer.
        let mut rng = ChaCha8Rng::seed_from_u64(42);
        assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], PINNED);
    }

    #[test]
    fn clone_continues_at_the_same_place() {
        let mut a = Stream::new(7);
        for _ in 0..37 {
            a.uniform();
        }
        let next = a.peek();
        let mut b = a.clone();
        assert_eq!(b.peek(), next);
        for _ in 0..200 {
            assert_eq!(a.uniform(), b.uniform());
        }
    }

    /// Computed apart from rand: pcg32 for the key, ChaCha8 block 0.
    const PINNED: [u64; 3] = [
        12_578_764_544_318_200_737,
        17_529_487_244_874_322_312,
        7_886_285_670_807_131_020,
    ];
}
