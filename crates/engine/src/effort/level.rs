//! Levels, what can be changed of them, and what comes out.

use std::str::FromStr;
use std::time::Duration;

use ponder_effort::SamplingOverrides;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// How much a model is to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The names say it.
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// All levels, least first.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Minimal,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Xhigh,
        Self::Max,
    ];

    /// The level's name.
    pub fn name(self) -> &'static str {
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

impl FromStr for Effort {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.name() == name);
        found.ok_or_else(|| {
            format!(
                "\"{name}\" is no effort level: {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

/// How it is found out during a thought that the answer is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyExit {
    /// Not at all.
    #[default]
    Off,
    /// By the entropy behind a close marker, which falls and stays low (EAT, arXiv 2509.26522).
    Entropy,
    /// By the confidence of a trial answer (DEER, arXiv 2504.15895).
    Confidence,
    /// By trial answers that stay the same (Dynasor, arXiv 2412.20993).
    Agreement,
}

impl EarlyExit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Entropy, Self::Confidence, Self::Agreement];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Entropy => "entropy",
            Self::Confidence => "confidence",
            Self::Agreement => "agreement",
        }
    }
}

impl FromStr for EarlyExit {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|exit| exit.name() == name);
        found.ok_or_else(|| format!("expected {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What is asked for beside a level; `None` leaves what the level says.
///
/// As text (TOML, JSON) the names are these; durations are written like `1.5s`, `200ms`, `2m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffortOverrides {
    /// Tokens of all thoughts of a turn, their markers included.
    pub think_tokens: Option<usize>,
    /// Tokens of thought before the model may end it.
    pub think_min: Option<usize>,
    /// Time of all thoughts.
    #[serde(deserialize_with = "duration")]
    pub think_time: Option<Duration>,
    /// When the whole answer is to be complete, since the request.
    #[serde(deserialize_with = "duration")]
    pub deadline: Option<Duration>,
    /// Share of `max_tokens`, and of a deadline, that thinking leaves for the answer, `[0, 1]`.
    pub answer_share: Option<f32>,
    /// Tokens that this share is at most.
    pub answer_tokens: Option<usize>,
    /// Share of the budget from which on closing is favoured, `[0, 1]`; 1: nowhere.
    pub landing: Option<f32>,
    /// Whether repetition ends thoughts and answers.
    pub loop_guard: Option<bool>,
    /// How it is found out that the answer is settled.
    pub early_exit: Option<EarlyExit>,
    /// Answers that vote.
    pub votes: Option<usize>,
}

impl EffortOverrides {
    /// These where they say something, else those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            think_tokens: self.think_tokens.or(other.think_tokens),
            think_min: self.think_min.or(other.think_min),
            think_time: self.think_time.or(other.think_time),
            deadline: self.deadline.or(other.deadline),
            answer_share: self.answer_share.or(other.answer_share),
            answer_tokens: self.answer_tokens.or(other.answer_tokens),
            landing: self.landing.or(other.landing),
            loop_guard: self.loop_guard.or(other.loop_guard),
            early_exit: self.early_exit.or(other.early_exit),
            votes: self.votes.or(other.votes),
        }
    }
}

/// What a level means for a model, with everything that was asked for beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedEffort {
    /// The level; `None`: as the model does by itself.
    pub level: Option<Effort>,
    /// Template variables.
    pub vars: Map<String, Value>,
    /// Text before the system message.
    pub system: Option<String>,
    /// Tokens of all thoughts of a turn; `None`: what the answer's share leaves.
    pub think_tokens: Option<usize>,
    /// Tokens of thought before the model may end it.
    pub think_min: usize,
    /// Seconds of all thoughts.
    #[serde(rename = "think_time_s", serialize_with = "seconds")]
    pub think_time: Option<Duration>,
    /// Seconds from the request to the whole answer.
    #[serde(rename = "deadline_s", serialize_with = "seconds")]
    pub deadline: Option<Duration>,
    /// Share of all tokens that thinking leaves for the answer.
    pub answer_share: f32,
    /// Tokens that this share is at most.
    pub answer_tokens: usize,
    /// Share of the budget from which on closing is favoured.
    pub landing: f32,
    /// Whether repetition ends thoughts and answers.
    pub loop_guard: bool,
    /// How it is found out that the answer is settled.
    pub early_exit: EarlyExit,
    /// Answers that vote.
    pub votes: usize,
    /// Sampling that the family recommends for this mode, where the model's files do not.
    #[serde(skip)]
    pub(crate) sampling: SamplingOverrides,
    /// Whether it wins over the model's files, which speak of another mode.
    #[serde(skip)]
    pub(crate) sampling_wins: bool,
}

/// Reads `1.5s`, `200ms`, `2m`, or a number of seconds.
///
/// # Errors
/// What is no such duration, or not above 0.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let with_unit = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)));
    let (number, scale) = with_unit.unwrap_or((text, 1.0));
    let seconds = number
        .trim()
        .parse::<f64>()
        .ok()
        .map(|number| number * scale);
    seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("`{text}` is no duration; expected one like 5s, 1.5m or 800ms"))
}

fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(source)?;
    let parsed = text.as_deref().map(parse_duration);
    parsed.transpose().map_err(serde::de::Error::custom)
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let ms = |text: &str| parse_duration(text).map(|time| time.as_millis());
        assert_eq!(
            (ms("5s"), ms("1.5"), ms("200ms")),
            (Ok(5000), Ok(1500), Ok(200))
        );
        assert_eq!((ms(" 2m"), ms("1h")), (Ok(120_000), Ok(3_600_000)));
        for wrong in ["", "s", "0", "-1s", "5d", "nan", "1e300h"] {
            assert!(ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn overrides_win_field_by_field() {
        let first = EffortOverrides {
            think_tokens: Some(1),
            ..EffortOverrides::default()
        };
        let second = EffortOverrides {
            think_tokens: Some(2),
            votes: Some(3),
            ..EffortOverrides::default()
        };
        let both = first.or(second);
        assert_eq!((both.think_tokens, both.votes), (Some(1), Some(3)));
    }
}
