//! How much a model is to think: OpenAI's `reasoning_effort`, and what this engine knows beyond it.

use std::time::Duration;

use ponder_engine::{EarlyExit, Effort, EffortOverrides, Weighing};

use crate::http::{ApiError, Fields};

/// Answers that may vote.
const MAX_VOTES: usize = 64;

/// Seconds that a limit may be.
const MAX_SECONDS: f64 = 86_400.0;

/// What a body says about thinking.
#[derive(Debug, Default)]
pub(crate) struct Thinking {
    pub(crate) effort: Option<Effort>,
    pub(crate) overrides: EffortOverrides,
    pub(crate) weighing: Option<Weighing>,
}

/// Reads `reasoning_effort`, `thinking` and `deadline_seconds`.
pub(crate) fn read(body: &mut Fields) -> Result<Thinking, ApiError> {
    let effort = effort(body, "reasoning_effort")?;
    let mut thinking = match body.object("thinking")? {
        Some(fields) => limits(fields)?,
        None => Thinking::default(),
    };
    thinking.overrides.deadline = seconds(body, "deadline_seconds")?;
    if thinking.effort.is_some() && effort.is_some_and(|effort| effort != Effort::None) {
        return Err(ApiError::invalid(
            "thinking.type",
            "'thinking.type' is 'disabled', but 'reasoning_effort' asks for thinking.",
        ));
    }
    thinking.effort = thinking.effort.or(effort);
    Ok(thinking)
}

/// A level by its name.
pub(crate) fn effort(body: &mut Fields, name: &str) -> Result<Option<Effort>, ApiError> {
    body.one_of(name, &Effort::ALL.map(|level| (level.name(), level)))
}

/// The object `thinking`.
pub(crate) fn limits(mut fields: Fields) -> Result<Thinking, ApiError> {
    let types = [
        ("enabled", None),
        ("auto", None),
        ("disabled", Some(Effort::None)),
    ];
    let effort = fields.one_of("type", &types)?.flatten();
    let budget = fields.count("budget_tokens", 0..=usize::MAX)?;
    if effort.is_some() && budget.is_some_and(|budget| budget > 0) {
        return Err(ApiError::invalid(
            fields.path_of("budget_tokens"),
            "'thinking.type' is 'disabled', so there is nothing to spend a budget on.",
        ));
    }
    let early_exit = EarlyExit::ALL.map(|exit| (exit.name(), exit));
    let weighings = [
        ("majority", Weighing::Majority),
        ("confidence", Weighing::Confidence),
    ];
    let landing = fields.number("landing", 0.0..=1.0)?;
    let thinking = Thinking {
        effort,
        overrides: EffortOverrides {
            think_tokens: budget,
            think_time: seconds(&mut fields, "budget_seconds")?,
            think_min: fields.count("min_tokens", 0..=usize::MAX)?,
            early_exit: fields.one_of("early_exit", &early_exit)?,
            landing: landing.map(|share| share as f32),
            loop_guard: fields.boolean("loop_guard")?,
            votes: fields.count("votes", 1..=MAX_VOTES)?,
            ..EffortOverrides::default()
        },
        weighing: fields.one_of("vote_by", &weighings)?,
    };
    fields.finish()?;
    Ok(thinking)
}

fn seconds(fields: &mut Fields, name: &str) -> Result<Option<Duration>, ApiError> {
    let least = 0.001;
    let seconds = fields.number(name, least..=MAX_SECONDS)?;
    Ok(seconds.map(Duration::from_secs_f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read_json(body: Value) -> Result<Thinking, ApiError> {
        let mut fields = Fields::new(body, "")?;
        let thinking = read(&mut fields)?;
        fields.finish()?;
        Ok(thinking)
    }

    #[test]
    fn every_level_has_its_name() {
        for level in Effort::ALL {
            let thinking = read_json(json!({"reasoning_effort": level.name()}));
            assert_eq!(thinking.expect("a level").effort, Some(level));
        }
        let error = read_json(json!({"reasoning_effort": "huge"})).expect_err("no level");
        assert_eq!(error.param.as_deref(), Some("reasoning_effort"));
        assert!(error.message.contains("'xhigh'"));
    }

    #[test]
    fn limits_are_read() {
        let thinking = read_json(json!({
            "thinking": {"type": "enabled", "budget_tokens": 100, "budget_seconds": 1.5,
                         "early_exit": "entropy", "votes": 3, "landing": 0.8},
            "deadline_seconds": 20,
        }));
        let limits = thinking.expect("limits").overrides;
        assert_eq!(limits.think_tokens, Some(100));
        assert_eq!(limits.think_time, Some(Duration::from_millis(1500)));
        assert_eq!(limits.deadline, Some(Duration::from_secs(20)));
        assert_eq!(limits.early_exit, Some(EarlyExit::Entropy));
        assert_eq!((limits.votes, limits.landing), (Some(3), Some(0.8)));
    }

    #[test]
    fn contradictions_are_refused() {
        for (body, param) in [
            (
                json!({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}),
                "thinking.type",
            ),
            (
                json!({"thinking": {"type": "disabled", "budget_tokens": 5}}),
                "thinking.budget_tokens",
            ),
            (json!({"thinking": {"budget": 5}}), "thinking.budget"),
            (json!({"thinking": {"votes": 0}}), "thinking.votes"),
            (json!({"thinking": {"type": "on"}}), "thinking.type"),
            (json!({"deadline_seconds": 0}), "deadline_seconds"),
        ] {
            let error = read_json(body.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
        let off = read_json(json!({"thinking": {"type": "disabled"}, "reasoning_effort": "none"}));
        assert_eq!(off.expect("agree").effort, Some(Effort::None));
    }
}
