//! What is compared: every combination of the values in a [`Grid`] is a row.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ponder_engine::{EarlyExit, Effort, EffortOverrides, ModelInfo};
use serde_json::Value;

/// How much may be thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// As much as the level says.
    Own,
    /// So many tokens.
    Tokens(usize),
    /// A share of the tokens that the same level took on the mean with [`Budget::Own`], one answer
    /// per question, no landing and no early exit. That row is part of the run.
    Share(f64),
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let share = text.strip_suffix('%').and_then(number);
        match (text, share, text.parse()) {
            ("own", ..) => Ok(Self::Own),
            (_, Some(percent), _) if percent > 0.0 && percent <= 1000.0 => {
                Ok(Self::Share(percent / 100.0))
            }
            (_, None, Ok(tokens)) => Ok(Self::Tokens(tokens)),
            _ => Err("expected a number of tokens, a share like 50%, or `own`".to_owned()),
        }
    }
}

/// The values that are combined. No list is empty; `None` leaves to the level what it says.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names say it.
pub struct Grid {
    pub efforts: Vec<Option<Effort>>,
    pub budgets: Vec<Budget>,
    pub landings: Vec<Option<f32>>,
    pub early_exits: Vec<Option<EarlyExit>>,
    pub votes: Vec<Option<usize>>,
}

/// One combination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) effort: Option<Effort>,
    pub(crate) budget: Budget,
    /// What a request asks for beside the level; without the tokens of a share.
    pub(crate) overrides: EffortOverrides,
    /// Tokens that may be thought; of a share, what the level says.
    pub(crate) think_tokens: Option<usize>,
    /// Share of the budget from which on closing is favoured; 1: nowhere.
    pub(crate) landing: f32,
    pub(crate) early_exit: EarlyExit,
    pub(crate) votes: usize,
    /// Everything that the level and the overrides mean for the model.
    pub(crate) meaning: Value,
}

impl Grid {
    /// All combinations, each once, with the rows that shares refer to before these.
    ///
    /// `levels` says what levels mean to the user.
    pub(crate) fn settings(
        &self,
        model: &ModelInfo,
        levels: &BTreeMap<Effort, EffortOverrides>,
    ) -> Vec<Setting> {
        let resolve = |effort: Option<Effort>, budget: Budget, asked: EffortOverrides| {
            let own = effort.and_then(|level| levels.get(&level));
            let overrides = asked.or(own.copied().unwrap_or_default());
            let resolved = model.effort(effort, overrides);
            Setting {
                effort,
                budget,
                overrides,
                think_tokens: resolved.think_tokens,
                landing: resolved.landing,
                early_exit: resolved.early_exit,
                votes: resolved.votes.max(1),
                meaning: serde_json::to_value(&resolved).unwrap_or_default(),
            }
        };
        let mut settings = Vec::new();
        for (effort, budget, asked) in self.combinations() {
            let setting = resolve(effort, budget, asked);
            // What was typed in two ways may mean the same.
            let is_same = |other: &Setting| {
                (other.budget, &other.meaning) == (setting.budget, &setting.meaning)
            };
            if !settings.iter().any(is_same) {
                settings.push(setting);
            }
        }
        settings
    }

    fn combinations(&self) -> Vec<(Option<Effort>, Budget, EffortOverrides)> {
        let has_shares = self
            .budgets
            .iter()
            .any(|one| matches!(one, Budget::Share(_)));
        let natural = EffortOverrides {
            landing: Some(1.0),
            early_exit: Some(EarlyExit::Off),
            votes: Some(1),
            ..EffortOverrides::default()
        };
        let mut all = Vec::new();
        for &effort in &self.efforts {
            all.extend(has_shares.then_some((effort, Budget::Own, natural)));
            for &budget in &self.budgets {
                for &landing in &self.landings {
                    for &early_exit in &self.early_exits {
                        for &votes in &self.votes {
                            let asked = EffortOverrides {
                                think_tokens: match budget {
                                    Budget::Tokens(tokens) => Some(tokens),
                                    Budget::Own | Budget::Share(_) => None,
                                },
                                landing,
                                early_exit,
                                votes,
                                ..EffortOverrides::default()
                            };
                            all.push((effort, budget, asked));
                        }
                    }
                }
            }
        }
        all
    }
}

impl Setting {
    /// Whether shares of the same level refer to this row.
    pub(crate) fn is_natural(&self) -> bool {
        self.budget == Budget::Own
            && self.votes == 1
            && self.landing >= 1.0
            && self.early_exit == EarlyExit::Off
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.effort.map_or("own effort", Effort::name))?;
        match self.budget {
            Budget::Own => {}
            Budget::Tokens(tokens) => write!(f, ", {tokens} tokens")?,
            Budget::Share(share) => write!(f, ", {:.0} % of the tokens", share * 100.0)?,
        }
        if self.landing < 1.0 {
            write!(f, ", landing {}", self.landing)?;
        }
        if self.early_exit != EarlyExit::Off {
            write!(f, ", exit by {}", self.early_exit.name())?;
        }
        match self.votes {
            1 => Ok(()),
            votes => write!(f, ", {votes} votes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_have_three_forms() {
        assert_eq!("own".parse(), Ok(Budget::Own));
        assert_eq!("256".parse(), Ok(Budget::Tokens(256)));
        assert_eq!("0".parse(), Ok(Budget::Tokens(0)));
        assert_eq!("50%".parse(), Ok(Budget::Share(0.5)));
        assert_eq!("12.5 %".parse(), Ok(Budget::Share(0.125)));
        for wrong in [
            "", "x", "-1", "0%", "-5%", "nan%", "1e9%", "%", "1.5", "50 % ",
        ] {
            assert!(wrong.parse::<Budget>().is_err(), "{wrong}");
        }
    }

    fn grid(budgets: Vec<Budget>) -> Grid {
        Grid {
            efforts: vec![Some(Effort::Low), None],
            budgets,
            landings: vec![None, Some(0.8)],
            early_exits: vec![None],
            votes: vec![Some(1), Some(3)],
        }
    }

    #[test]
    fn every_combination_is_there() {
        let plain = grid(vec![Budget::Own, Budget::Tokens(9)]).combinations();
        assert_eq!(plain.len(), 2 * 2 * 2 * 2);
        let (effort, budget, asked) = plain[7];
        assert_eq!((effort, budget), (Some(Effort::Low), Budget::Tokens(9)));
        assert_eq!(
            (asked.think_tokens, asked.landing, asked.votes),
            (Some(9), Some(0.8), Some(3))
        );
        let shared = grid(vec![Budget::Share(0.5)]).combinations();
        assert_eq!(shared.len(), 2 * (1 + 4));
        for first in [shared[0], shared[5]] {
            assert_eq!((first.1, first.2.votes), (Budget::Own, Some(1)));
        }
        assert_eq!(shared[1].2.think_tokens, None);
    }
}
