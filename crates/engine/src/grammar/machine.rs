//! A compiled grammar at some place of a text.

use llguidance::{Matcher, api::StopReason};

use super::Mask;
use crate::EngineError;

/// Follows a text token by token. A clone goes on by itself, and shares nothing.
pub(super) struct Machine(Matcher);

impl Clone for Machine {
    fn clone(&self) -> Self {
        Self(self.0.deep_clone())
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Machine")
            .field(&self.0.stop_reason())
            .finish()
    }
}

impl Machine {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self(matcher)
    }

    /// Adds the tokens that may come next, and those that end the turn where the text is complete.
    pub(super) fn allow(&mut self, mask: &mut Mask) -> Result<(), EngineError> {
        let allowed = self.0.compute_mask_or_eos().map_err(|error| {
            let message = error.to_string();
            // An error leaves only its name here.
            match message.starts_with(&StopReason::NoExtensionBias.to_string()) {
                true => stuck(),
                false => failed(&message),
            }
        })?;
        mask.union(allowed.as_slice());
        Ok(())
    }

    /// Takes a token if it may come next.
    pub(super) fn try_accept(&mut self, token: u32) -> Result<bool, EngineError> {
        let n = self.0.try_consume_tokens(&[token]);
        Ok(n.map_err(|error| failed(&error.to_string()))? == 1)
    }

    /// Whether the text is complete and nothing can follow it.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_stopped() && self.0.stop_reason().is_ok()
    }
}

fn failed(error: &str) -> EngineError {
    EngineError::Format(format!(
        "the grammar cannot be followed any further: {}",
        first_line(error)
    ))
}

/// No token goes on with a text that is not complete.
pub(super) fn stuck() -> EngineError {
    EngineError::Format(
        "the text so far is right, but no token of the model can go on with it (hint: the grammar or \
         schema contradicts itself there)"
            .to_owned(),
    )
}

/// What a library says, without what it adds for its own developers.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}
