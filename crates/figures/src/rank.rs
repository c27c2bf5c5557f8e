//! Percentiles.

/// The least of all sorted values that a share of them does not exceed (nearest rank): a value that
/// occurred; 0 of nothing.
#[must_use]
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    // 0.9 × 10 is more than 9 in binary.
    let rank = (share * sorted.len() as f64 - 1e-9).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let at = |share| percentile(&values, share);
        assert_eq!(
            [at(0.0), at(0.5), at(0.95), at(1.0)],
            [1.0, 50.0, 95.0, 100.0]
        );
        assert_eq!(percentile(&values[..10], 0.9), 9.0, "not the tenth");
        assert_eq!(percentile(&values[..10], 0.901), 10.0);
        assert_eq!(percentile(&[3.0], 0.95), 3.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
