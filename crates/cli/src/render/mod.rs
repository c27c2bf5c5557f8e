//! Everything that people see: from the engine's events to characters on a terminal.
//!
//! - [`events::follow`] drives an [`events::AnswerView`] with the events of one answer and
//!   collects what was said.
//! - The views are [`TerminalView`] (dimmed reasoning, Markdown, a spinner), [`PipeView`]
//!   (the content's bytes and nothing else) and [`SilentView`] (for JSON, which is printed
//!   when the answer is complete).
//! - [`clean`] keeps escape sequences of a model or a file away from the terminal.

mod downloads;
pub(crate) mod events;
mod human;
mod json;
mod markdown;
mod pipe_view;
pub(crate) mod progress;
mod sanitize;
mod stats;
pub(crate) mod style;
pub(crate) mod table;
mod terminal_view;
mod waiting;

pub(crate) use downloads::Downloads;
pub(crate) use human::{bytes, count};
pub(crate) use json::{AnswerJson, print_json};
pub(crate) use pipe_view::{PipeView, ReasoningSink, SilentView};
pub(crate) use sanitize::clean;
pub(crate) use stats::{Totals, stats_line};
pub(crate) use terminal_view::TerminalView;
pub(crate) use waiting::Waiting;
