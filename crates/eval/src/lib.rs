//! How often a model is right, and what that costs, over effort levels, votes and budgets.
//!
//! 1. A [`Task`] is read from a file, every line of it checked, or made by the generator.
//! 2. A [`Grid`] says what is compared; every combination is a row.
//! 3. [`evaluate`] asks every question in every row, several side by side if that is wanted, and
//!    with a log goes on where an earlier run was stopped.
//! 4. The [`Report`] is JSON by itself; its tables are for people, [`plot`] is it as a
//!    picture.

#![forbid(unsafe_code)]

mod check;
mod error;
mod grid;
mod job;
mod log;
mod plot;
mod record;
mod report;
mod run;
mod seed;
mod stats;
mod table;
mod task;

pub use error::EvalError;
pub use grid::{Budget, Grid};
pub use job::{Job, evaluate};
pub use plot::plot;
pub use report::{Group, Report, Row};
pub use run::Progress;
pub use task::{Item, Task};
