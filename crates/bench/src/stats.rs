//! The statistics of a row, as plain functions over numbers.

use ponder_figures::{Random, percentile};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// How values spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // They are what they are called.
pub struct Spread {
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub stddev: f64,
    /// The 95 % interval of the median, by bootstrap.
    pub p50_ci95: [f64; 2],
}

impl Spread {
    /// The spread of values; `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let [min, max] = [*sorted.first()?, *sorted.last()?];
        Some(Self {
            min,
            p50: percentile(&sorted, 0.5),
            p90: percentile(&sorted, 0.9),
            p99: percentile(&sorted, 0.99),
            max,
            stddev: stddev(&sorted),
            p50_ci95: median_interval(&sorted),
        })
    }
}

/// The standard deviation of a sample, with `n - 1`; 0 of fewer than two.
fn stddev(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}

/// The 95 % percentile bootstrap (Efron 1979) of the median of sorted values.
fn median_interval(sorted: &[f64]) -> [f64; 2] {
    let n = sorted.len();
    // The same values always have the same interval.
    let mut random = Random::new(n as u64);
    let mut ranks = vec![0; n];
    let middle = n.div_ceil(2).saturating_sub(1);
    let mut medians: Vec<usize> = (0..RESAMPLES)
        .map(|_| {
            ranks.fill_with(|| random.below(n));
            *ranks.select_nth_unstable(middle).1
        })
        .collect();
    medians.sort_unstable();
    let at = |share: f64| sorted[medians[(share * (RESAMPLES - 1) as f64).round() as usize]];
    [at(0.025), at(0.975)]
}

/// The probability that two samples of one distribution differ as much as these or more, by the sum
/// of ranks (Mann and Whitney 1947), two-sided: counted for small samples without ties, else by the
/// normal distribution with a correction for ties.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (n_a, n_b) = (a.len(), b.len());
    if n_a == 0 || n_b == 0 {
        return 1.0;
    }
    let mut all: Vec<(f64, bool)> = a.iter().map(|&value| (value, true)).collect();
    all.extend(b.iter().map(|&value| (value, false)));
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0);
    for equal in all.chunk_by(|x, y| x.0 == y.0) {
        let n = equal.len() as f64;
        let rank = before as f64 + (n + 1.0) / 2.0;
        rank_sum += rank * equal.iter().filter(|one| one.1).count() as f64;
        ties += n.powi(3) - n;
        before += equal.len();
    }
    let u = rank_sum - (n_a * (n_a + 1)) as f64 / 2.0;
    let product = (n_a * n_b) as f64;
    let far = (u - product / 2.0).abs();
    if ties == 0.0 && n_a * n_b <= 400 {
        return exact_p(n_a, n_b, far);
    }
    let n = (n_a + n_b) as f64;
    let variance = product / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (far - 0.5).max(0.0) / variance.sqrt();
    (2.0 * Normal::standard().sf(z)).min(1.0)
}

/// The least that [`mann_whitney`] can say of samples of these sizes: what it says where all values of
/// one are above all of the other.
pub(crate) fn least_p(n_a: usize, n_b: usize) -> f64 {
    // Two of the ways to choose which ranks are those of `a`.
    let (few, all) = (n_a.min(n_b), n_a + n_b);
    let choices = (0..few).map(|i| (all - i) as f64 / (i + 1) as f64);
    (2.0 / choices.product::<f64>()).min(1.0)
}

/// What is left of probabilities as evidence where so many were looked at: for each the share of false
/// ones among those that are as small, at most (Benjamini and Hochberg 1995).
pub(crate) fn false_discovery_rates(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let (mut rates, mut least) = (vec![1.0; p.len()], 1.0f64);
    for (i, &index) in order.iter().enumerate() {
        let rank = p.len() - i;
        least = least.min(p[index] * p.len() as f64 / rank as f64);
        rates[index] = least;
    }
    rates
}

/// The share of all orders of two samples whose U is at least `far` from its middle.
fn exact_p(n_a: usize, n_b: usize, far: f64) -> f64 {
    // ways[i][u]: orders of i values of `a` and j of `b` with that U, for growing j.
    let n_u = n_a * n_b + 1;
    let mut ways = vec![vec![0.0; n_u]; n_a + 1];
    ways.iter_mut().for_each(|row| row[0] = 1.0);
    for j in 1..=n_b {
        for i in 1..=n_a {
            // The largest value is of `a`, and above j values of `b`, or it is of `b`.
            for u in (0..n_u).rev() {
                let of_a = if u >= j { ways[i - 1][u - j] } else { 0.0 };
                ways[i][u] += of_a;
            }
        }
    }
    let total: f64 = ways[n_a].iter().sum();
    let middle = (n_a * n_b) as f64 / 2.0;
    let extreme = ways[n_a].iter().enumerate();
    let extreme = extreme.filter(|(u, _)| (*u as f64 - middle).abs() >= far - 1e-9);
    extreme.map(|(_, ways)| ways).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let spread = Spread::of(&values).expect("values");
        assert_eq!(
            [spread.min, spread.p50, spread.p90, spread.p99, spread.max],
            [1.0, 50.0, 90.0, 99.0, 100.0]
        );
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        let spread = Spread::of(&ten).expect("values");
        assert_eq!([spread.p50, spread.p90, spread.p99], [5.0, 9.0, 10.0]);
        assert!((spread.stddev - 3.027_650_354).abs() < 1e-6);
        let one = Spread::of(&[7.0]).expect("a value");
        assert_eq!((one.p50, one.stddev, one.p50_ci95), (7.0, 0.0, [7.0, 7.0]));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_median_of_the_distribution() {
        let mut random = Random::new(1);
        let mut held = 0;
        for _ in 0..200 {
            let values: Vec<f64> = (0..25).map(|_| random.share()).collect();
            let [low, high] = Spread::of(&values).expect("values").p50_ci95;
            held += usize::from(low <= 0.5 && 0.5 <= high);
        }
        assert!((180..=199).contains(&held), "{held} of 200");
    }

    #[test]
    fn many_comparisons_need_more_evidence() {
        // R: p.adjust(p, method = "BH").
        let rates = false_discovery_rates(&[0.005, 0.011, 0.02, 0.04, 0.13]);
        for (rate, expected) in rates.iter().zip([0.025, 0.0275, 0.1 / 3.0, 0.05, 0.13]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        assert_eq!(false_discovery_rates(&[0.04, 0.03]), [0.04, 0.04]);
        assert_eq!(false_discovery_rates(&[1.0, 0.9]), [1.0, 1.0]);
        assert_eq!(false_discovery_rates(&[]), [0.0; 0]);
        // No chance makes more than one discovery in twenty of what is all the same.
        let mut random = Random::new(2);
        let mut found = 0;
        for _ in 0..400 {
            let p: Vec<f64> = (0..64).map(|_| random.share()).collect();
            let rates = false_discovery_rates(&p);
            found += usize::from(rates.iter().any(|&rate| rate < 0.05));
        }
        assert!(found < 40, "{found} of 400");
    }

    #[test]
    fn small_samples_can_say_little() {
        for [n_a, n_b] in [[1, 1], [3, 3], [5, 5], [2, 7], [7, 2], [12, 9]] {
            let a: Vec<f64> = (0..n_a).map(|i| i as f64).collect();
            let b: Vec<f64> = (0..n_b).map(|i| 100.0 + i as f64).collect();
            let p = mann_whitney(&a, &b);
            assert!((least_p(n_a, n_b) - p).abs() < 1e-12, "{n_a}, {n_b}: {p}");
        }
    }

    #[test]
    fn ranks_are_compared_as_published() {
        // scipy.stats.mannwhitneyu(a, b): the exact values.
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        let b = [6.0, 7.0, 8.0, 9.0, 10.0];
        assert!((mann_whitney(&a, &b) - 2.0 / 252.0).abs() < 1e-12);
        let near = [0.5, 2.5, 3.5, 4.5, 5.5];
        let p = mann_whitney(&a, &near);
        assert!((p - 0.841_269_841).abs() < 1e-6, "{p}");
        assert_eq!(mann_whitney(&a, &a), 1.0);
        assert_eq!(mann_whitney(&a, &[]), 1.0);
        // Many values: by the normal distribution.
        let many: Vec<f64> = (0..60).map(f64::from).collect();
        let shifted: Vec<f64> = many.iter().map(|value| value + 0.5).collect();
        assert!(mann_whitney(&many, &shifted) > 0.8);
        let apart: Vec<f64> = many.iter().map(|value| value + 30.0).collect();
        assert!(mann_whitney(&many, &apart) < 1e-8);
    }
}
