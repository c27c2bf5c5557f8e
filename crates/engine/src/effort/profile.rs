//! [`Profile`]: what a model's family was trained for, as data.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ponder_effort::SamplingOverrides;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Effort, EffortOverrides, ResolvedEffort};

/// Of all tokens, the share that thinking leaves for the answer where nothing is said.
const ANSWER_SHARE: f32 = 0.25;

/// Tokens that this share is at most.
const ANSWER_TOKENS: usize = 2048;

/// A file of `models/effort`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(default)]
    detect: Detect,
    /// What follows the prompt where there is to be no thought.
    #[serde(default)]
    pub(crate) none_prefill: String,
    cue: Option<String>,
    breaks: Option<Vec<String>>,
    answer_cue: Option<String>,
    look_every: Option<usize>,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    sampling_none: Sampling,
    #[serde(default)]
    levels: BTreeMap<Effort, Level>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detect {
    /// All of these stand in the template.
    template: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sampling {
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    presence_penalty: Option<f32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Level {
    vars: Map<String, Value>,
    system: Option<String>,
    #[serde(flatten)]
    limits: EffortOverrides,
}

impl Profile {
    /// The first profile that fits the template's text.
    pub(crate) fn detect(template: Option<&str>) -> &'static Self {
        let text = template.unwrap_or_default();
        let fits = |profile: &&Self| {
            profile
                .detect
                .template
                .iter()
                .all(|piece| text.contains(piece))
        };
        Self::all().iter().find(fits).unwrap_or(Self::common())
    }

    /// A level of this family, or the model's own way, with what was asked for beside it.
    pub(crate) fn resolve(&self, level: Option<Effort>, asked: EffortOverrides) -> ResolvedEffort {
        // No tokens of thought are no thought: the model is told so as well.
        let level = match asked.think_tokens {
            Some(0) => Some(Effort::None),
            _ => level,
        };
        let own = level.and_then(|level| self.levels.get(&level));
        let common = level.and_then(|level| Self::common().levels.get(&level));
        let limits_of = |level: Option<&Level>| level.map(|level| level.limits).unwrap_or_default();
        let limits = asked.or(limits_of(own)).or(limits_of(common));
        let is_none = level == Some(Effort::None);
        let sampling = if is_none {
            self.sampling_none
        } else {
            self.sampling
        };
        ResolvedEffort {
            level,
            vars: own.map(|level| level.vars.clone()).unwrap_or_default(),
            system: own.and_then(|level| level.system.clone()),
            think_tokens: limits.think_tokens,
            think_min: limits.think_min.unwrap_or(0),
            think_time: limits.think_time,
            deadline: limits.deadline,
            answer_share: limits.answer_share.unwrap_or(ANSWER_SHARE),
            answer_tokens: limits.answer_tokens.unwrap_or(ANSWER_TOKENS),
            landing: limits.landing.unwrap_or(1.0),
            loop_guard: limits.loop_guard.unwrap_or(true),
            early_exit: limits.early_exit.unwrap_or_default(),
            votes: limits.votes.unwrap_or(1),
            sampling: sampling.overrides(),
            sampling_wins: is_none,
        }
    }

    /// Words that go on with a thought that would be too short.
    pub(crate) fn cue(&self) -> &str {
        let common = || Self::common().cue.as_deref();
        self.cue.as_deref().or_else(common).unwrap_or_default()
    }

    /// Words that begin a new thought.
    pub(crate) fn breaks(&self) -> &[String] {
        let common = || Self::common().breaks.as_deref();
        self.breaks.as_deref().or_else(common).unwrap_or_default()
    }

    /// Words that lead from a closed thought to its result.
    pub(crate) fn answer_cue(&self) -> &str {
        let common = || Self::common().answer_cue.as_deref();
        self.answer_cue
            .as_deref()
            .or_else(common)
            .unwrap_or_default()
    }

    /// Tokens between two looks ahead.
    pub(crate) fn look_every(&self) -> usize {
        let common = || Self::common().look_every;
        self.look_every.or_else(common).unwrap_or_default()
    }

    /// What every family has in common.
    fn common() -> &'static Self {
        static COMMON: OnceLock<Profile> = OnceLock::new();
        COMMON.get_or_init(|| Self::parse("levels", ponder_models::LEVELS))
    }

    fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Profile>> = OnceLock::new();
        ALL.get_or_init(|| {
            let files = ponder_models::EFFORT.iter();
            files.map(|(name, text)| Self::parse(name, text)).collect()
        })
    }

    fn parse(name: &str, text: &str) -> Self {
        let profile: Self = toml::from_str(text)
            .unwrap_or_else(|error| panic!("models/effort/{name}.toml: {error}"));
        Self {
            name: name.to_owned(),
            ..profile
        }
    }
}

impl Sampling {
    fn overrides(self) -> SamplingOverrides {
        SamplingOverrides {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            presence_penalty: self.presence_penalty,
            ..SamplingOverrides::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name(template: &str) -> &'static str {
        &Profile::detect(Some(template)).name
    }

    #[test]
    fn every_file_is_read_and_found() {
        assert!(Profile::all().len() > 12);
        for profile in Profile::all() {
            let template = profile.detect.template.join(" ");
            assert_eq!(name(&template), profile.name, "an earlier file hides it");
            for level in Effort::ALL {
                let resolved = profile.resolve(Some(level), EffortOverrides::default());
                assert_eq!(resolved.think_tokens == Some(0), level == Effort::None);
                assert_eq!(resolved.think_tokens.is_none(), level == Effort::Max);
            }
            let tokens = Effort::ALL.map(|level| {
                let resolved = profile.resolve(Some(level), EffortOverrides::default());
                resolved.think_tokens.unwrap_or(usize::MAX)
            });
            assert!(tokens.is_sorted(), "{}: {tokens:?}", profile.name);
        }
        assert_eq!(Profile::detect(None).name, "silent");
    }

    #[test]
    fn levels_have_no_fields_that_nobody_reads() {
        let known = [
            "vars",
            "system",
            "think_tokens",
            "think_min",
            "think_time",
            "deadline",
        ];
        let more = [
            "answer_share",
            "answer_tokens",
            "landing",
            "loop_guard",
            "early_exit",
            "votes",
        ];
        let files = ponder_models::EFFORT.iter().map(|(_, text)| *text);
        for text in files.chain([ponder_models::LEVELS]) {
            let file: toml::Table = text.parse().expect("TOML");
            let levels = file.get("levels").and_then(toml::Value::as_table);
            for level in levels.into_iter().flat_map(toml::Table::values) {
                for field in level.as_table().expect("fields").keys() {
                    let field = field.as_str();
                    assert!(known.contains(&field) || more.contains(&field), "{field}");
                }
            }
        }
    }

    #[test]
    fn families_are_told_what_they_know() {
        let var = |template: &str, level, var: &str| {
            let resolved =
                Profile::detect(Some(template)).resolve(Some(level), EffortOverrides::default());
            resolved.vars.get(var).cloned()
        };
        let glm = "<arg_key> {%- set e = 'high' if reasoning_effort == 'high' else 'max' -%} enable_thinking";
        assert_eq!(
            var(glm, Effort::Low, "reasoning_effort"),
            Some(json!("high"))
        );
        assert_eq!(
            var(glm, Effort::None, "enable_thinking"),
            Some(json!(false))
        );
        let qwen = "enable_thinking reasoning_effort in ['low', 'medium', 'xhigh']";
        assert_eq!(
            var(qwen, Effort::High, "reasoning_effort"),
            Some(json!("xhigh"))
        );
        let seed = "<seed:think> thinking_budget";
        assert_eq!(var(seed, Effort::Max, "thinking_budget"), Some(json!(-1)));
        assert_eq!(var("<think>", Effort::Low, "reasoning_effort"), None);
    }

    #[test]
    fn what_is_asked_for_wins() {
        let profile = Profile::detect(Some("enable_thinking <think>"));
        let asked = EffortOverrides {
            think_tokens: Some(7),
            votes: Some(3),
            ..EffortOverrides::default()
        };
        let resolved = profile.resolve(Some(Effort::High), asked);
        assert_eq!((resolved.think_tokens, resolved.votes), (Some(7), 3));
        let none = EffortOverrides {
            think_tokens: Some(0),
            ..asked
        };
        let resolved = profile.resolve(Some(Effort::High), none);
        assert_eq!(resolved.vars.get("enable_thinking"), Some(&json!(false)));
        let own = profile.resolve(None, EffortOverrides::default());
        assert_eq!((own.think_tokens, own.vars.len()), (None, 0));
    }
}
