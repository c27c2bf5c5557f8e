//! The statistics of a row, as plain functions over numbers.

/// The two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval (1927) of a share that was seen in `n` independent trials; unlike the usual
/// one it lies within `[0, 1]` and is right for few trials and for shares near 0 and 1.
pub(crate) fn wilson(share: f64, n: f64) -> [f64; 2] {
    if n <= 0.0 {
        return [0.0, 1.0];
    }
    let z2n = Z * Z / n;
    let middle = share + z2n / 2.0;
    let half = Z * (share * (1.0 - share) / n + z2n / (4.0 * n)).sqrt();
    [middle - half, middle + half].map(|end| (end / (1.0 + z2n)).clamp(0.0, 1.0))
}

/// The 95 % interval of the mean of shares, one share per question, each out of `n_samples` answers.
///
/// Answers to one question are not independent, so they count as fewer (clustered errors, arXiv
/// 2411.00640): as many as would make the mean vary as much as the shares say, between one per
/// question, which is Wilson's interval then, and all.
pub(crate) fn clustered(shares: &[f64], n_samples: usize) -> [f64; 2] {
    let n = shares.len() as f64;
    let share = mean(shares);
    let variance = mean_of(shares.iter().map(|one| (one - share).powi(2)));
    let alone = share * (1.0 - share);
    let effect = if alone > 0.0 { variance / alone } else { 1.0 };
    let effect = effect.clamp(1.0 / n_samples.max(1) as f64, 1.0);
    wilson(share, n / effect)
}

/// The 95 % interval of a mean, by the normal distribution.
pub(crate) fn mean_interval(values: &[f64]) -> [f64; 2] {
    let (n, middle) = (values.len() as f64, mean(values));
    if n < 2.0 {
        return [middle; 2];
    }
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    let half = Z * (squares / (n - 1.0) / n).sqrt();
    [middle - half, middle + half]
}

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    mean_of(values.iter().copied())
}

fn mean_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}

/// How likely at least one of `k` answers is right, where `n_right` of `n` were: the unbiased
/// estimate, `1 - C(n - n_right, k) / C(n, k)` (Codex, arXiv 2107.03374).
pub(crate) fn pass_at_k(n: usize, n_right: usize, k: usize) -> f64 {
    let n_wrong = n - n_right;
    if n_wrong < k {
        return 1.0;
    }
    let all_wrong = (0..k).map(|i| (n_wrong - i) as f64 / (n - i) as f64);
    1.0 - all_wrong.product::<f64>()
}

/// How likely the most frequent of `k` answers is right: the mean over the `n` runs of `k` answers in
/// a row, around the end, in which every answer is as often and as early as any other.
///
/// Answers are what they say, and whether that is right; those that say nothing do not vote, and of
/// equally frequent ones the first wins.
pub(crate) fn majority_at_k(answers: &[(Option<&str>, bool)], k: usize) -> f64 {
    let n = answers.len();
    let run_is_right = |start: usize| {
        let votes: Vec<_> = (start..start + k)
            .map(|i| answers[i % n])
            .filter_map(|(said, is_right)| Some((said?, is_right)))
            .collect();
        let count = |said: &str| votes.iter().filter(|vote| vote.0 == said).count();
        // `max_by_key` takes the last of equals, so the first comes last.
        let winner = votes.iter().rev().max_by_key(|vote| count(vote.0));
        f64::from(winner.is_some_and(|winner| winner.1))
    };
    mean_of((0..n).map(run_is_right))
}

/// 1, 2, 4 … up to `n`.
pub(crate) fn powers_of_two(n: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |k| Some(k * 2)).take_while(move |&k| k <= n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: &[f64], expected: &[f64]) {
        let is_near = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(
            is_near && found.len() == expected.len(),
            "{found:?}, not {expected:?}"
        );
    }

    #[test]
    fn wilson_is_as_published() {
        // statsmodels: proportion_confint(count, nobs, method="wilson").
        near(&wilson(0.0, 10.0), &[0.0, 0.277_533]);
        near(&wilson(0.5, 10.0), &[0.236_593, 0.763_407]);
        near(&wilson(0.8, 50.0), &[0.669_630, 0.887_576]);
        near(&wilson(1.0, 1.0), &[0.206_543, 1.0]);
        near(&wilson(0.0, 0.0), &[0.0, 1.0]);
    }

    #[test]
    fn answers_to_one_question_count_as_what_they_are_worth() {
        let alone = [1.0, 0.0, 1.0, 1.0, 0.0];
        near(&clustered(&alone, 1), &wilson(0.6, 5.0));
        near(&clustered(&alone, 8), &wilson(0.6, 5.0));
        near(&clustered(&[0.5; 10], 4), &wilson(0.5, 40.0));
        near(&clustered(&[1.0; 10], 4), &wilson(1.0, 10.0));
        let [low, high] = clustered(&[0.25, 0.5, 0.75, 1.0], 4);
        let [[a, b], [c, d]] = [wilson(0.625, 4.0), wilson(0.625, 16.0)];
        assert!(a < low && low < c && d < high && high < b);
        near(&clustered(&[], 4), &[0.0, 1.0]);
    }

    #[test]
    fn means_have_an_interval() {
        near(&mean_interval(&[1.0, 2.0, 3.0]), &[0.868_414, 3.131_586]);
        assert_eq!(mean_interval(&[7.0]), [7.0, 7.0]);
    }

    /// All sets of `k` of `n` answers, as bits.
    fn sets(n: usize, k: usize) -> impl Iterator<Item = u32> {
        (0..1u32 << n).filter(move |set| set.count_ones() as usize == k)
    }

    #[test]
    fn pass_at_k_is_the_mean_over_all_sets() {
        for n in 1..=9 {
            for n_right in 0..=n {
                for k in 1..=n {
                    let right = (1u32 << n_right) - 1;
                    let hits = sets(n, k).filter(|set| set & right != 0).count();
                    let share = hits as f64 / sets(n, k).count() as f64;
                    near(&[pass_at_k(n, n_right, k)], &[share]);
                }
            }
        }
    }

    #[test]
    fn majorities_are_counted_in_every_run() {
        let of = |text: &'static str| -> Vec<(Option<&'static str>, bool)> {
            let word = |i| (&text[i..=i] != "-").then_some(&text[i..=i]);
            (0..text.len())
                .map(|i| (word(i), word(i) == Some("r")))
                .collect()
        };
        assert_eq!(majority_at_k(&of("rrw"), 3), 1.0);
        assert_eq!(majority_at_k(&of("rwww"), 4), 0.0);
        assert_eq!(majority_at_k(&of("r---"), 4), 1.0, "silence does not vote");
        assert_eq!(majority_at_k(&of("----"), 2), 0.0);
        // Of equals the first wins, and each is first as often as the other.
        assert_eq!(majority_at_k(&of("rw"), 2), 0.5);
        assert_eq!(majority_at_k(&of("rwrx"), 2), 0.5);
        for text in ["rwwr", "r", "ww-r-", "wwr"] {
            let answers = of(text);
            let n_right = answers.iter().filter(|answer| answer.1).count();
            let share = n_right as f64 / answers.len() as f64;
            assert_eq!(majority_at_k(&answers, 1), share);
        }
        assert_eq!(powers_of_two(9).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(powers_of_two(1).collect::<Vec<_>>(), [1]);
    }
}
