//! How long a model takes: to its first token, to its first useful one, and from there on.
//!
//! 1. A [`Job`] says what is compared ([`Grid`]), how ([`Plan`]) and how warm things are ([`Start`]).
//! 2. A [`Session`] measures an engine through the interface that serves requests, cold starts of the
//!    whole program ([`child`]), and servers over HTTP; all by the same clock and the same rules.
//! 3. The [`Report`] is JSON by itself; its methods are it for people and for
//!    other programs.
//!
//! `benches/README.md` has the method.

#![forbid(unsafe_code)]

mod cold;
mod compare;
mod endpoint;
mod error;
mod formats;
mod grid;
mod local;
mod machine;
mod measure;
mod plot;
mod prompt;
mod report;
mod roofline;
mod sample;
mod session;
mod start;
mod stats;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod vs;

pub use cold::{Restart, child};
pub use compare::{Change, changes_table, compare};
pub use error::BenchError;
pub use grid::{Case, Grid};
pub use machine::{Build, Machine, Noise};
pub use measure::Plan;
pub use plot::plot;
pub use report::{DEFINITIONS, Model, Report, Row};
pub use roofline::{Limits, Share};
pub use sample::{Figures, Outcome, Parts, Sample};
pub use session::{Job, Progress, Session, Watcher};
pub use start::Start;
pub use stats::{Spread, mann_whitney};
pub use vs::Pair;
