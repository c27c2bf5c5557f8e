//! Splitting what a model writes into reasoning, content and tool calls.
//!
//! 1. [`ChatFormat::detect`] picks the family's markers (`models/chat/*.toml`) by what stands
//!    in its template or vocabulary.
//! 2. [`Splitter::new`] takes the format, the prompt's text and the tools on offer.
//! 3. [`Splitter::push`] takes each token with its text, markers included, and returns the
//!    [`Part`]s that are certain; [`Splitter::finish`] gives the rest.
//!
//! Rules, the same for every format:
//! * A thought starts at an open marker before which the turn holds only white space, thoughts
//!   and tool calls. Behind the first words of the answer the same marker is text: an answer
//!   may explain `<think>`. Formats whose markers are control tokens take them anywhere.
//! * A thought ends at the first close marker, or with the turn.
//! * Markers, and the white space at the inner and outer edge of a thought and of a tool call,
//!   are layout and belong to no part.
//! * What looks like a tool call and cannot be read is content, verbatim.

mod format;
mod headers;
mod scan;
mod splitter;
mod window;

pub use format::{ChatFormat, HeaderFormat, ReasoningFormat, ThoughtMarkers, ToolFormat};
pub use splitter::{Part, Position, Splitter};

#[cfg(test)]
mod tests;
