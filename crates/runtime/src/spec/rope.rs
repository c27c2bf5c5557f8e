//! Rotary position encoding: how far each pair of elements turns per position.
//!
//! Source of the scalings: the `modeling_rope_utils` module of Hugging Face transformers, which
//! checkpoints are trained and published against.

/// How the frequencies of a model that was trained on short texts reach longer ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// All frequencies divided by a factor.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, a ramp between (Llama 3.1).
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are kept.
        high_freq_factor: f64,
        /// Positions before the extension.
        original_context: usize,
    },
    /// YaRN (arXiv 2309.00071).
    Yarn {
        /// Divisor of low frequencies.
        factor: f64,
        /// Turns within the original context from which on a frequency is kept.
        beta_fast: f64,
        /// Turns below which it is divided whole.
        beta_slow: f64,
        /// Positions before the extension.
        original_context: usize,
        /// Whether the ramp's ends are rounded to whole elements.
        truncate: bool,
        /// Factor on cosine and sine; `None`: `0.1 ln(factor) + 1`.
        attention_factor: Option<f64>,
    },
    /// A factor per frequency, one set for short texts and one for long ones (Phi-3).
    LongRope {
        /// Divisors while the text fits the original context.
        short: Vec<f32>,
        /// Divisors beyond it.
        long: Vec<f32>,
        /// Positions before the extension.
        original_context: usize,
        /// Factor on cosine and sine.
        attention_factor: f64,
    },
    /// A divisor per frequency that the file brings along (GGUF `rope_freqs`).
    Divisors(Vec<f32>),
}

/// The position encoding of some layers.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Elements of a head that turn, from the first on; even.
    pub dims: usize,
    /// Base of the geometric series of frequencies.
    pub theta: f64,
    /// Element `2i` pairs with `2i + 1`, not `i` with `i + dims / 2`.
    pub interleaved: bool,
    /// Scaling.
    pub scaling: RopeScaling,
}

/// Frequencies, ready to be multiplied by positions.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeTable {
    /// Radians per position for each pair. `[dims / 2]`
    pub inv_freq: Vec<f32>,
    /// The same for texts longer than `original_context`, where that differs.
    pub long: Option<(usize, Vec<f32>)>,
    /// Factor on cosine and sine.
    pub attention_factor: f32,
    /// See [`RopeSpec::interleaved`].
    pub interleaved: bool,
}

impl RopeTable {
    /// Computes the frequencies of `spec`.
    pub fn new(spec: &RopeSpec) -> Self {
        let half = spec.dims / 2;
        let base: Vec<f64> = (0..half)
            .map(|i| spec.theta.powf(-((2 * i) as f64) / spec.dims as f64))
            .collect();
        let mut table = Self {
            inv_freq: Vec::new(),
            long: None,
            attention_factor: 1.0,
            interleaved: spec.interleaved,
        };
        table.inv_freq = match &spec.scaling {
            RopeScaling::None => to_f32(&base),
            RopeScaling::Linear { factor } => base.iter().map(|f| (f / factor) as f32).collect(),
            RopeScaling::Divisors(divisors) => divide(&base, divisors),
            &RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                let scale = |f: &f64| {
                    llama3(
                        *f,
                        factor,
                        low_freq_factor,
                        high_freq_factor,
                        original_context as f64,
                    ) as f32
                };
                base.iter().map(scale).collect()
            }
            RopeScaling::Yarn {
                factor,
                attention_factor,
                ..
            } => {
                table.attention_factor =
                    attention_factor.unwrap_or_else(|| yarn_mscale(*factor, 1.0)) as f32;
                yarn(spec, &base)
            }
            RopeScaling::LongRope {
                short,
                long,
                original_context,
                attention_factor,
            } => {
                table.attention_factor = *attention_factor as f32;
                table.long = Some((*original_context, divide(&base, long)));
                divide(&base, short)
            }
        };
        table
    }

    /// The frequencies for a text that is planned to have `planned_len` tokens.
    pub fn for_length(&self, planned_len: usize) -> &[f32] {
        match &self.long {
            Some((original, long)) if planned_len > *original => long,
            _ => &self.inv_freq,
        }
    }
}

/// YaRN's factor on cosine and sine, `0.1 * weight * ln(factor) + 1`.
pub(crate) fn yarn_mscale(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * weight * factor.ln() + 1.0
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn divide(base: &[f64], divisors: &[f32]) -> Vec<f32> {
    base.iter()
        .zip(divisors)
        .map(|(f, divisor)| (f / f64::from(*divisor)) as f32)
        .collect()
}

fn llama3(freq: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * std::f64::consts::PI / freq;
    if wavelength < original / high {
        freq
    } else if wavelength > original / low {
        freq / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * freq / factor + smooth * freq
    }
}

fn yarn(spec: &RopeSpec, base: &[f64]) -> Vec<f32> {
    let RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        original_context,
        truncate,
        ..
    } = spec.scaling
    else {
        unreachable!("called for YaRN only")
    };
    let dims = spec.dims as f64;
    // The element whose frequency turns `turns` times within the original context.
    let element = |turns: f64| {
        dims * (original_context as f64 / (turns * 2.0 * std::f64::consts::PI)).ln()
            / (2.0 * spec.theta.ln())
    };
    let (mut low, mut high) = (element(beta_fast), element(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let low = low.max(0.0);
    let mut high = high.min(dims - 1.0);
    if low == high {
        high += 0.001; // Avoids a division by zero where the ramp has no width.
    }
    let kept = |i: usize| 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
    base.iter()
        .enumerate()
        .map(|(i, f)| (f / factor * (1.0 - kept(i)) + f * kept(i)) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scaling: RopeScaling) -> RopeSpec {
        RopeSpec {
            dims: 8,
            theta: 10_000.0,
            interleaved: false,
            scaling,
        }
    }

    #[test]
    fn plain_frequencies_are_a_geometric_series() {
        let table = RopeTable::new(&spec(RopeScaling::None));
        assert_eq!(table.inv_freq, [1.0, 0.1, 0.01, 0.001]);
        assert_eq!(table.attention_factor, 1.0);
    }

    #[test]
    fn llama3_keeps_high_and_divides_low_frequencies() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 128,
        };
        let table = RopeTable::new(&spec(scaling));
        assert_eq!(
            table.inv_freq[0], 1.0,
            "wavelength 6.3 is far below 128 / 4"
        );
        assert_eq!(
            table.inv_freq[3],
            0.001 / 8.0,
            "wavelength 6283 is far above 128"
        );
        assert!(
            table.inv_freq[1] > 0.1 / 8.0 && table.inv_freq[1] < 0.1,
            "wavelength 62.8 lies on the ramp"
        );
    }

    #[test]
    fn yarn_without_a_ramp_does_not_divide_by_zero() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 1.0,
            beta_slow: 1.0,
            original_context: 1,
            truncate: true,
            attention_factor: None,
        };
        let table = RopeTable::new(&spec(scaling));
        assert!(table.inv_freq.iter().all(|f| f.is_finite()));
        assert!((f64::from(table.attention_factor) - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-6);
    }

    #[test]
    fn long_texts_choose_the_long_factors_by_their_planned_length() {
        let scaling = RopeScaling::LongRope {
            short: vec![1.0; 4],
            long: vec![2.0; 4],
            original_context: 10,
            attention_factor: 1.0,
        };
        let table = RopeTable::new(&spec(scaling));
        assert_eq!(table.for_length(10)[0], 1.0);
        assert_eq!(table.for_length(11)[0], 0.5);
    }
}
