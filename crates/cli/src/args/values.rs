//! Parsers of single argument values: what clap hands over as text becomes a checked value here.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use ponder_engine::KvFormat;
use serde::{Deserialize, Serialize};

/// When styles (colour, dim, bold) are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` says otherwise
    #[default]
    Auto,
    /// Also where standard error, tables and reports are not a terminal
    Always,
    /// Never
    Never,
}

/// What happens to the model's reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowThinking {
    /// Dimmed on a terminal, left out where the output is piped
    #[default]
    Auto,
    /// Always: dimmed on a terminal, to standard error where the output is piped
    Full,
    /// Never: a spinner says that the model is thinking
    Hide,
}

/// What a vote counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VoteBy {
    /// One
    #[default]
    Majority,
    /// How sure the model was where it was least sure
    Confidence,
}

/// How hard the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EffortLevel {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl EffortLevel {
    /// All levels, from the least thinking to the most.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// The level's name, as typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// The device as typed; whether this build has it is decided later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    /// A GPU where there is one that holds the model, else the CPU.
    Auto,
    /// candle operations in float32 on the CPU.
    Reference,
    /// The CPU backend.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "reference" => Ok(Self::Reference),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda, cuda:N, metal or reference".to_owned()),
        }
    }
}

/// `--gpu-layers`: a number, or as many as fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GpuLayers(pub(crate) Option<usize>);

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            _ => at_least_one(text).map(|n| Self(Some(n))),
        }
    }
}

/// One `--logit-bias ID=BIAS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogitBias {
    /// The token id.
    pub(crate) token: u32,
    /// What is added to its logit.
    pub(crate) bias: f32,
}

impl FromStr for LogitBias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (token, bias) = text
            .split_once('=')
            .ok_or("expected ID=BIAS, for example 42=-5")?;
        let token = token
            .trim()
            .parse()
            .map_err(|_| format!("`{token}` is not a token id"))?;
        let bias = finite(bias.trim()).map_err(|_| format!("`{bias}` is not a number"))?;
        Ok(Self { token, bias })
    }
}

/// How keys and values are stored, by name.
pub(crate) fn cache_type(text: &str) -> Result<KvFormat, String> {
    let found = KvFormat::ALL.into_iter().find(|ty| ty.name() == text);
    found.ok_or_else(|| format!("expected {}", KvFormat::ALL.map(KvFormat::name).join(", ")))
}

/// A share in percent, with or without the sign.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse();
    match number {
        Ok(number) if (0.0..f64::INFINITY).contains(&number) => Ok(number / 100.0),
        _ => Err("expected a share such as 5%".to_owned()),
    }
}

/// So many in a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (1e-3..=1e6).contains(&rate) => Ok(rate),
        _ => Err("expected requests per second, from 0.001 to a million".to_owned()),
    }
}

/// The name of a picture, which has no other form than SVG.
pub(crate) fn svg_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(ending) if !ending.eq_ignore_ascii_case("svg") => Err(format!(
            "pictures are written as SVG: name it {}",
            path.with_extension("svg").display()
        )),
        _ => Ok(path),
    }
}

/// A finite number of at least 0.
pub(crate) fn non_negative(text: &str) -> Result<f32, String> {
    finite(text).and_then(|value| match value {
        value if value >= 0.0 => Ok(value),
        _ => Err("must not be negative".to_owned()),
    })
}

/// A finite number greater than 0.
pub(crate) fn positive(text: &str) -> Result<f32, String> {
    finite(text).and_then(|value| match value {
        value if value > 0.0 => Ok(value),
        _ => Err("must be greater than 0".to_owned()),
    })
}

/// A number from 0 to 1.
pub(crate) fn fraction(text: &str) -> Result<f32, String> {
    finite(text).and_then(|value| match value {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must lie between 0 and 1".to_owned()),
    })
}

/// From where on a thought is landed: `off`, `on`, or a share of its budget.
pub(crate) fn landing(text: &str) -> Result<f32, String> {
    match text {
        "off" => Ok(1.0),
        "on" => Ok(0.8),
        share => fraction(share).map_err(|_| "expected on, off or a share like 0.8".to_owned()),
    }
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|value: &f32| value.is_finite())
        .ok_or_else(|| "expected a number".to_owned())
}

/// A whole number of at least 1.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(value) => Ok(value),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// A local time without a zone, `2026-01-15T12:34:56`.
///
/// Only the form is checked here; a day that the calendar does not have is refused where
/// the time is used.
pub(crate) fn local_time(text: &str) -> Result<String, String> {
    let digits_where_expected = text.len() == 19
        && text.bytes().enumerate().all(|(i, byte)| match i {
            4 | 7 => byte == b'-',
            10 => byte == b'T' || byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    match digits_where_expected {
        true => Ok(text.replace(' ', "T")),
        false => Err("expected a time like 2026-01-15T12:34:56".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_layers_parse() {
        assert_eq!("auto".parse(), Ok(GpuLayers(None)));
        assert_eq!("12".parse(), Ok(GpuLayers(Some(12))));
        for wrong in ["0", "all", "-1"] {
            wrong.parse::<GpuLayers>().expect_err(wrong);
        }
    }

    #[test]
    fn devices_parse() {
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceName::Cuda(3)));
        assert_eq!("reference".parse(), Ok(DeviceName::Reference));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(DeviceName::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cache_types_have_their_usual_names() {
        assert_eq!(cache_type("q8_0"), Ok(KvFormat::Q8_0));
        assert_eq!(cache_type("bf16"), Ok(KvFormat::BF16));
        assert_eq!(cache_type("fp8"), Ok(KvFormat::Fp8));
        let error = cache_type("q5_1").expect_err("no such type");
        assert_eq!(error, "expected f32, f16, bf16, fp8, q8_0, q4_0");
    }

    #[test]
    fn logit_bias_parses() {
        let expected = LogitBias {
            token: 42,
            bias: -5.0,
        };
        assert_eq!("42=-5".parse(), Ok(expected));
        for wrong in ["42", "x=1", "1=x", "1=nan", "1=-inf", "-1=1"] {
            assert!(wrong.parse::<LogitBias>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(fraction("1"), Ok(1.0));
        assert!(fraction("1.01").is_err());
        assert!(fraction("nan").is_err());
        assert!(non_negative("-0.1").is_err());
        assert!(non_negative("inf").is_err());
        assert!(positive("0").is_err());
        assert!(at_least_one("0").is_err());
        assert_eq!(at_least_one("7"), Ok(7));
    }

    #[test]
    fn times_have_one_form() {
        assert!(local_time("2026-01-15T12:34:56").is_ok());
        assert!(local_time("2026-01-15").is_err());
        assert!(local_time("2026-01-15T12:34:5x").is_err());
    }
}
