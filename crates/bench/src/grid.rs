//! What is compared: every combination of these lists is a row.

use std::fmt;

use ponder_engine::Effort;
use serde::{Deserialize, Serialize};

/// The lists.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Tokens of the prompt that are computed.
    pub prompt_tokens: Vec<usize>,
    /// Tokens before them that are in the cache already.
    pub depths: Vec<usize>,
    /// Requests side by side.
    pub concurrencies: Vec<usize>,
    /// Levels of thinking; `None`: as the model does by itself.
    pub efforts: Vec<Option<Effort>>,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Tokens of the prompt that are computed.
    pub prompt_tokens: usize,
    /// Tokens before them that are in the cache already.
    pub depth: usize,
    /// Requests side by side.
    pub concurrency: usize,
    /// Level of thinking.
    pub effort: Option<Effort>,
}

impl Grid {
    /// All combinations, the prompt changing fastest.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for &effort in &self.efforts {
            for &concurrency in &self.concurrencies {
                for &depth in &self.depths {
                    for &prompt_tokens in &self.prompt_tokens {
                        cases.push(Case {
                            prompt_tokens,
                            depth,
                            concurrency,
                            effort,
                        });
                    }
                }
            }
        }
        cases
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.prompt_tokens)?;
        if self.depth > 0 {
            write!(f, " after {}", self.depth)?;
        }
        if self.concurrency > 1 {
            write!(f, ", {} at a time", self.concurrency)?;
        }
        match self.effort {
            Some(effort) => write!(f, ", effort {}", effort.name()),
            None => Ok(()),
        }
    }
}
