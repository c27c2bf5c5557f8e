//! Who makes an answer of what the driver has.

use ponder_runtime::backend::{DrawnToken, KeptLogits};

use crate::{EngineError, FinishReason, schedule::Turn};

/// What makes an answer of logits.
pub(crate) trait Consumer: Sized {
    /// Whether nobody wants the answer any more.
    fn is_cancelled(&self) -> bool;
    /// Whether nobody takes what was said, so that no more should be.
    fn is_paused(&self) -> bool;
    /// Whether what others have computed may be used.
    fn uses_prefix_cache(&self) -> bool {
        true
    }
    /// When it is its turn.
    fn turn(&self) -> Turn {
        Turn::default()
    }
    /// So many tokens of the prompt are computed, of which so many were there.
    fn prompt_progress(&mut self, done: usize, cached: usize);
    /// Draws the next token from a row of logits, which it may change.
    fn draw(&mut self, logits: &mut [f32]) -> Result<Drawn, EngineError>;
    /// Says how its next token is to come to be, of a row of logits that a device keeps; what is to be
    /// drawn there was pushed. Then [`Consumer::take`] gets the token, or [`Consumer::draw`] the row, also
    /// where nothing could be drawn.
    fn ask(&mut self, row: usize, logits: &dyn KeptLogits) -> Result<Asked, EngineError>;
    /// Takes the next token. `None`, and nothing has changed, where it needs the logits after all.
    fn take(&mut self, token: Taken<'_>) -> Result<Option<Drawn>, EngineError>;
    /// Tokens that may still be drawn; 0: no drafts are wanted.
    fn max_drafts(&self) -> usize;
    /// Appends tokens that come next whatever the logits say; none where nothing is known.
    fn forced(&self, tokens: &mut Vec<u32>);
    /// Somebody who looks ahead, with the tokens that are appended to `lead` in place of the last so
    /// many, none or one; `None` where nobody is to.
    fn look_ahead(&mut self, lead: &mut Vec<u32>) -> Option<(Self, usize)>;
    /// The end, whatever it is.
    fn finish(self, end: Result<FinishReason, EngineError>);
}

/// A token, and the reason if it was the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) token: u32,
    pub(crate) end: Option<FinishReason>,
}

/// How a token comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It is this one.
    Known(u32),
    /// The device draws it.
    Pushed,
    /// From the row of logits.
    Logits,
}

/// What a token came from that needed no logits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Taken<'a> {
    /// The consumer knew it.
    Known(u32),
    /// The device has drawn it.
    Drawn(&'a DrawnToken),
}
