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
mod cold_rows;
mod compare;
mod definitions;
mod endpoint;
mod error;
mod formats;
mod grid;
mod job;
mod local;
mod machine;
mod measure;
mod pairs;
mod peer;
mod plot;
mod process;
mod progress;
mod prompt;
mod report;
mod roofline;
mod sample;
mod session;
mod start;
mod stats;
mod stop;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub use cold::{Restart, child};
pub use compare::{Change, Comparison, compare};
pub use definitions::DEFINITIONS;
pub use endpoint::Server;
pub use error::BenchError;
pub use grid::{Case, Grid};
pub use job::{Job, Plan};
pub use machine::{Build, Machine, Noise};
pub use pairs::Pair;
pub use peer::Peer;
pub use plot::plot;
pub use progress::{Progress, Watcher};
pub use report::{Model, Report, Row};
pub use roofline::{CpuLimits, DeviceLimits, Limits, Share};
pub use sample::{Figures, Outcome, Parts, Sample};
pub use session::Session;
pub use start::Start;
pub use stats::{Spread, mann_whitney};
pub use stop::Stop;
