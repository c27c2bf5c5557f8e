//! The reasoning controller: how long a model thinks, and that it answers.
//!
//! It sees token ids and decides on token ids. Where a text stands (inside a thought, inside a
//! marker) is known by whoever splits it, and comes with each token as a [`Place`]; so what is
//! limited here is exactly what is reported there.
//!
//! 1. Make the [`Tables`] of a model once: [`Classes`] of its tokens, its [`Marker`]s, its
//!    [`Scripts`].
//! 2. Make a [`Controller`] for each answer, with its [`Limits`].
//! 3. For each token ask [`Controller::decide`], draw as it wants, tell it [`Controller::accept`],
//!    and end the answer where [`Controller::end`] says so.
//!
//! A thought goes from [`Phase::Thinking`] through [`Phase::Landing`], where its close marker is
//! favoured, to [`Phase::Closing`], where words of hand-over and the marker are forced, and to
//! [`Phase::Answer`]. Promises:
//! * The budget is for the whole turn and never exceeded by a token: a free token is drawn only
//!   while what it takes to close the thought from whatever it leads to still fits.
//! * Nothing is forced inside a character or between the tokens of a marker.
//! * The turn does not end inside a thought, nor behind one without an answer.

mod classes;
mod controller;
mod limits;
mod pace;
mod repeat;
mod tables;

pub use classes::{Classes, TokenClass};
pub use controller::Controller;
pub use limits::Limits;
pub use repeat::MAX_PERIOD;
pub use tables::{Marker, Scripts, Tables};

/// Where a text stands after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Inside a thought.
    pub in_thought: bool,
    /// Tokens of thoughts so far, of which the last may not be decided yet.
    pub thought_tokens: usize,
    /// Bytes at the end that may become the close marker, inside a thought, or else the open marker.
    pub marker_bytes: usize,
    /// Outside of a thought: tokens at the end that would belong to one if it opens.
    pub marker_tokens: usize,
    /// Something of the answer is there: text, or a tool call, complete or not.
    pub answered: bool,
}

/// What the controller is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model thinks freely.
    Thinking,
    /// It is being favoured that the thought ends.
    Landing,
    /// The thought is being closed.
    Closing,
    /// The model answers, or has not begun to think.
    Answer,
}

/// What ended the thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingEnd {
    /// The model.
    Model,
    /// The budget, or the share of all tokens that is the answer's.
    Budget,
    /// The time for thinking, or a deadline.
    Deadline,
    /// The answer was settled before the thought was over.
    EarlyExit,
    /// The thought repeated itself.
    Loop,
    /// Whoever asked.
    User,
}

/// Why an answer has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// It repeats itself.
    Loop,
    /// Its time is up.
    Deadline,
}
