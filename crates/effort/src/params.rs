//! What a sequence is sampled with: checked parameters, and the overrides they are merged from.

use crate::EffortError;

/// Checked parameters of one sequence; the default is the model's own distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Logits are divided by it, `[0, 100]`; 0 is greedy: the largest logit, the lowest id of
    /// equal ones.
    pub temperature: f32,
    /// Keep the `top_k` likeliest tokens, the lowest ids of equal ones; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens whose probability reaches `top_p`, `[0, 1]`, at
    /// least one token (Holtzman et al. 2019). Counted within what top-k kept.
    pub top_p: f32,
    /// Keep tokens at least `min_p` times as likely as the likeliest, `[0, 1]` (Nguyen et al.
    /// 2024).
    pub min_p: f32,
    /// Divides a positive, multiplies a negative logit of each token in prompt or answer once,
    /// `(0, 10]` (CTRL, Keskar et al. 2019, as transformers does it); 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once for a token in the answer, `[-2, 2]` (OpenAI).
    pub presence_penalty: f32,
    /// Subtracted for each time that a token is in the answer, `[-2, 2]` (OpenAI).
    pub frequency_penalty: f32,
    /// Penalty on continuing a sequence that is already in the context.
    pub dry: DryParams,
    /// `(token, amount)` added after the penalties, amount in `[-100, 100]` (OpenAI).
    pub logit_bias: Vec<(u32, f32)>,
    /// Same seed, same tokens, on every platform that computes the same logits. `None`: from the
    /// operating system.
    pub seed: Option<u64>,
    /// `Some(n)`: report log-probabilities, with the `n` likeliest tokens, `[0, 20]` (OpenAI).
    pub logprobs: Option<usize>,
}

/// DRY, "don't repeat yourself" (p-e-w 2024), with the meaning it has in koboldcpp and llama.cpp.
///
/// A token that would continue a repetition of `n >= allowed_length` tokens loses
/// `multiplier · base^(n − allowed_length)`.
#[derive(Debug, Clone, PartialEq)]
pub struct DryParams {
    /// `[0, 100]`; 0 is off, 0.8 is usual.
    pub multiplier: f32,
    /// `[1, 10]`.
    pub base: f32,
    /// Tokens that may be repeated freely, `[1, 2^32)`.
    pub allowed_length: usize,
    /// How many of the last tokens are looked at; 0 is the whole context.
    pub range: usize,
    /// Token sequences that a repetition does not reach across. A breaker of one token is never
    /// penalized itself.
    pub breakers: Vec<Vec<u32>>,
}

/// What a file or a user asks for; `None` leaves the default. `do_sample: false` of a
/// `generation_config.json` is temperature 0.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)] // Each field is the one of the same name in `SamplingParams`.
pub struct SamplingOverrides {
    pub temperature: Option<f32>,
    pub top_k: Option<usize>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<usize>,
    pub dry_range: Option<usize>,
    pub dry_breakers: Option<Vec<Vec<u32>>>,
    pub logit_bias: Option<Vec<(u32, f32)>>,
    pub seed: Option<u64>,
    pub logprobs: Option<usize>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            dry: DryParams::default(),
            logit_bias: Vec::new(),
            seed: None,
            logprobs: None,
        }
    }
}

impl Default for DryParams {
    fn default() -> Self {
        Self {
            multiplier: 0.0,
            base: 1.75,
            allowed_length: 2,
            range: 0,
            breakers: Vec::new(),
        }
    }
}

impl SamplingParams {
    /// `defaults` with every field that `overrides` has. Merge twice to lay a user's wishes over
    /// a model's `generation_config.json`.
    ///
    /// # Errors
    /// As [`SamplingParams::validate`].
    pub fn merge(defaults: &Self, overrides: &SamplingOverrides) -> Result<Self, EffortError> {
        let (d, o) = (defaults, overrides);
        let merged = Self {
            temperature: o.temperature.unwrap_or(d.temperature),
            top_k: o.top_k.unwrap_or(d.top_k),
            top_p: o.top_p.unwrap_or(d.top_p),
            min_p: o.min_p.unwrap_or(d.min_p),
            repetition_penalty: o.repetition_penalty.unwrap_or(d.repetition_penalty),
            presence_penalty: o.presence_penalty.unwrap_or(d.presence_penalty),
            frequency_penalty: o.frequency_penalty.unwrap_or(d.frequency_penalty),
            dry: DryParams {
                multiplier: o.dry_multiplier.unwrap_or(d.dry.multiplier),
                base: o.dry_base.unwrap_or(d.dry.base),
                allowed_length: o.dry_allowed_length.unwrap_or(d.dry.allowed_length),
                range: o.dry_range.unwrap_or(d.dry.range),
                breakers: o
                    .dry_breakers
                    .clone()
                    .unwrap_or_else(|| d.dry.breakers.clone()),
            },
            logit_bias: o.logit_bias.clone().unwrap_or_else(|| d.logit_bias.clone()),
            seed: o.seed.or(d.seed),
            logprobs: o.logprobs.or(d.logprobs),
        };
        merged.validate()?;
        Ok(merged)
    }

    /// # Errors
    /// [`EffortError::OutOfRange`] names the first field outside its range (NaN always is),
    /// [`EffortError::EmptyBreaker`] an empty DRY breaker.
    pub fn validate(&self) -> Result<(), EffortError> {
        let greedy = "0 is greedy, 1 the model's own distribution";
        check(
            "temperature",
            self.temperature,
            0.0,
            100.0,
            "[0, 100]",
            greedy,
        )?;
        check("top_p", self.top_p, 0.0, 1.0, "[0, 1]", "1 is off")?;
        check("min_p", self.min_p, 0.0, 1.0, "[0, 1]", "0 is off")?;
        // The smallest normal number stands for the open end of (0, 10].
        let smallest = f32::MIN_POSITIVE;
        check(
            "repetition_penalty",
            self.repetition_penalty,
            smallest,
            10.0,
            "(0, 10]",
            "1 is off",
        )?;
        check(
            "presence_penalty",
            self.presence_penalty,
            -2.0,
            2.0,
            "[-2, 2]",
            "0 is off",
        )?;
        check(
            "frequency_penalty",
            self.frequency_penalty,
            -2.0,
            2.0,
            "[-2, 2]",
            "0 is off",
        )?;
        check(
            "dry.multiplier",
            self.dry.multiplier,
            0.0,
            100.0,
            "[0, 100]",
            "0 is off",
        )?;
        check(
            "dry.base",
            self.dry.base,
            1.0,
            10.0,
            "[1, 10]",
            "1.75 is usual",
        )?;
        let length = self.dry.allowed_length;
        if length == 0 || u32::try_from(length).is_err() {
            return Err(out_of_range(
                "dry.allowed_length",
                length as f64,
                "[1, 2^32)",
                "2 is usual",
            ));
        }
        if let Some(index) = self.dry.breakers.iter().position(Vec::is_empty) {
            return Err(EffortError::EmptyBreaker { index });
        }
        for &(_, amount) in &self.logit_bias {
            let hint = "-100 bans a token, 100 all but forces it";
            check("logit_bias", amount, -100.0, 100.0, "[-100, 100]", hint)?;
        }
        match self.logprobs {
            Some(n) if n > 20 => Err(out_of_range(
                "logprobs",
                n as f64,
                "[0, 20]",
                "ask for at most 20 alternatives",
            )),
            _ => Ok(()),
        }
    }
}

fn check(
    field: &'static str,
    value: f32,
    min: f32,
    max: f32,
    range: &'static str,
    hint: &'static str,
) -> Result<(), EffortError> {
    if value >= min && value <= max {
        return Ok(());
    }
    Err(out_of_range(field, f64::from(value), range, hint))
}

fn out_of_range(
    field: &'static str,
    value: f64,
    range: &'static str,
    hint: &'static str,
) -> EffortError {
    EffortError::OutOfRange {
        field,
        value,
        range,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(overrides: SamplingOverrides) -> String {
        SamplingParams::merge(&SamplingParams::default(), &overrides)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn overrides_win_field_by_field() {
        let model = SamplingOverrides {
            temperature: Some(0.6),
            top_p: Some(0.95),
            dry_base: Some(2.0),
            ..Default::default()
        };
        let user = SamplingOverrides {
            temperature: Some(0.0),
            seed: Some(3),
            dry_multiplier: Some(0.8),
            ..Default::default()
        };
        let params = SamplingParams::merge(&SamplingParams::default(), &model).unwrap();
        let params = SamplingParams::merge(&params, &user).unwrap();
        let dry = DryParams {
            multiplier: 0.8,
            base: 2.0,
            ..Default::default()
        };
        let want = SamplingParams {
            temperature: 0.0,
            top_p: 0.95,
            seed: Some(3),
            dry,
            ..Default::default()
        };
        assert_eq!(params, want);
    }

    #[test]
    fn errors_name_field_value_and_range() {
        let none = SamplingOverrides::default;
        for (overrides, field, range) in [
            (
                SamplingOverrides {
                    temperature: Some(-0.5),
                    ..none()
                },
                "temperature is -0.5",
                "[0, 100]",
            ),
            (
                SamplingOverrides {
                    temperature: Some(f32::NAN),
                    ..none()
                },
                "temperature is NaN",
                "[0, 100]",
            ),
            (
                SamplingOverrides {
                    top_p: Some(1.5),
                    ..none()
                },
                "top_p is 1.5",
                "[0, 1]",
            ),
            (
                SamplingOverrides {
                    min_p: Some(f32::INFINITY),
                    ..none()
                },
                "min_p is inf",
                "[0, 1]",
            ),
            (
                SamplingOverrides {
                    repetition_penalty: Some(0.0),
                    ..none()
                },
                "repetition_penalty is 0",
                "(0, 10]",
            ),
            (
                SamplingOverrides {
                    presence_penalty: Some(3.0),
                    ..none()
                },
                "presence_penalty is 3",
                "[-2, 2]",
            ),
            (
                SamplingOverrides {
                    frequency_penalty: Some(-3.0),
                    ..none()
                },
                "frequency_penalty is -3",
                "[-2, 2]",
            ),
            (
                SamplingOverrides {
                    dry_multiplier: Some(-1.0),
                    ..none()
                },
                "dry.multiplier is -1",
                "[0, 100]",
            ),
            (
                SamplingOverrides {
                    dry_base: Some(0.5),
                    ..none()
                },
                "dry.base is 0.5",
                "[1, 10]",
            ),
            (
                SamplingOverrides {
                    dry_allowed_length: Some(0),
                    ..none()
                },
                "dry.allowed_length is 0",
                "[1, 2^32)",
            ),
            (
                SamplingOverrides {
                    logit_bias: Some(vec![(1, 101.0)]),
                    ..none()
                },
                "logit_bias is 101",
                "[-100, 100]",
            ),
            (
                SamplingOverrides {
                    logprobs: Some(21),
                    ..none()
                },
                "logprobs is 21",
                "[0, 20]",
            ),
        ] {
            let message = refused(overrides);
            assert!(
                message.contains(field) && message.contains(range),
                "{message}"
            );
            assert!(
                message.contains("hint: ") && !message.contains('\n'),
                "{message}"
            );
        }
        let breakers = SamplingOverrides {
            dry_breakers: Some(vec![vec![1], vec![]]),
            ..none()
        };
        assert!(refused(breakers).contains("dry.breakers[1]"));
    }
}
