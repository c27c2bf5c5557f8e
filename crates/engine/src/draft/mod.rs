//! Speculation without a second model: a text that repeats itself says what comes next.
//!
//! [`Lookup`] drafts tokens from what followed earlier; the model computes the logits of all of them
//! in one step; the sampler draws at each place as it would without drafts, and as long as it draws
//! what was drafted, the next logits are there already. So every token is drawn from the same
//! distribution with the same random number, and drafts change nothing but the time. [`Gate`] says
//! whether they save any.

mod gate;
mod lookup;

pub(crate) use gate::{Gate, MAX_DRAFTS, Rows, StepTimes};
pub(crate) use lookup::Lookup;
