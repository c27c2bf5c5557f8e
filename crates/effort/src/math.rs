//! Reductions over a row of logits, written so that they vectorize and give the same bits on
//! every platform: fixed lanes, fixed order, no fused multiply-add, no libm.

/// Accumulators of each reduction; wide enough for AVX-512, harmless for less.
const LANES: usize = 16;

/// Elements summed in `f32` before they join an `f64` total.
pub(crate) const BLOCK: usize = 1024;

/// True when no element is NaN or infinite: `0 · x` is 0 for a finite `x`, else NaN.
pub(crate) fn all_finite(row: &[f32]) -> bool {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * 0.0;
        }
    }
    lanes.iter().all(|lane| !lane.is_nan()) && rest.iter().all(|x| x.is_finite())
}

/// The largest element; `-inf` for an empty row. The row holds no NaN.
pub(crate) fn max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
}

/// `e^x` for `x <= 0` with a relative error below 2e-7; 0 below −87, where `f32` turns subnormal.
///
/// Range reduction by ln 2 in two parts (Cody and Waite), then the Taylor polynomial of degree 7
/// on `|r| <= ln 2 / 2`, whose remainder is below 6e-9.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MIN: f32 = -87.0;
    // Adding 1.5 · 2^23 rounds to an integer that then stands in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let inside = if x > MIN { x } else { MIN };
    let shifted = inside * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (inside - n * LN2_HI) - n * LN2_LO;
    let mut p = 1.0 / 5040.0;
    for c in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + c;
    }
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127);
    let value = p * f32::from_bits(exponent << 23);
    if x > MIN { value } else { 0.0 }
}

/// `Σ e^((x − max) · scale)`.
pub(crate) fn sum_exp(row: &[f32], max: f32, scale: f32) -> f64 {
    let mut total = 0.0;
    for block in row.chunks(BLOCK) {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = block.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane += exp((x - max) * scale);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += exp((x - max) * scale);
        }
        total += f64::from(lanes.iter().sum::<f32>());
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        let worst = (0..870_000)
            .map(|i| {
                let x = -(i as f32) * 1e-4;
                let want = f64::from(x).exp();
                ((f64::from(exp(x)) - want) / want).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 2e-7, "{worst}");
    }

    #[test]
    fn reductions_agree_with_plain_loops_at_odd_lengths() {
        for len in [
            0usize, 1, 15, 16, 17, 31, 63, 64, 65, 1023, 1024, 1025, 5000,
        ] {
            let mut row: Vec<f32> = (0..len)
                .map(|i| ((i * 7919) % 1000) as f32 / 50.0 - 10.0)
                .collect();
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&row), top);
            let want: f64 = row.iter().map(|x| f64::from((x - top) * 0.7).exp()).sum();
            assert!((sum_exp(&row, top, 0.7) - want).abs() <= 1e-6 * want);
            assert!(all_finite(&row));
            for at in [0, len / 2, len.saturating_sub(1)] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    if at < len {
                        let good = std::mem::replace(&mut row[at], bad);
                        assert!(!all_finite(&row));
                        row[at] = good;
                    }
                }
            }
        }
    }
}
