//! Random numbers that follow from a seed and from what they are for.

use ponder_figures::mix;

/// The number that belongs to two indices under a seed; neighbours have nothing in common.
pub(crate) fn derive(seed: u64, a: u64, b: u64) -> u64 {
    mix(mix(mix(seed) ^ a) ^ b)
}

/// Which `n` of `len` things are taken, in their order; each set is as likely as any other.
pub(crate) fn choose(len: usize, n: usize, seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..len).collect();
    let n = n.min(len);
    for i in 0..n {
        let rest = (len - i) as u64;
        let other = i + (derive(seed, i as u64, rest) % rest) as usize;
        all.swap(i, other);
    }
    all.truncate(n);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_place_has_its_number() {
        let numbers = (0..40u64).map(|i| derive(i % 4, i / 4 % 5, i / 20));
        assert_eq!(numbers.collect::<HashSet<_>>().len(), 40);
    }

    #[test]
    fn every_thing_is_taken_as_often_as_others() {
        let mut counts = [0; 7];
        for seed in 0..7000 {
            let chosen = choose(7, 3, seed);
            assert!(chosen.len() == 3 && chosen.is_sorted());
            assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), 3);
            chosen.iter().for_each(|&i| counts[i] += 1);
        }
        // 3000 expected; five standard deviations are 207.
        assert!(
            counts.iter().all(|n| (2793..3207).contains(n)),
            "{counts:?}"
        );
        assert_eq!(choose(3, 9, 1), [0, 1, 2]);
        assert_eq!(choose(0, 9, 1), [0; 0]);
    }
}
