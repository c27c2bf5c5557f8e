//! Logs on standard error for those who ask for them.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::terminal::Terminal;

/// Shows ponder's own logs: none by default, `-v` info, `-vv` debug, `-vvv` trace.
///
/// Other crates are heard from warnings on, one `v` later in more detail.
pub(crate) fn init(verbose: u8, terminal: Terminal) {
    let (own, others) = match verbose {
        0 => return,
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        2 => (LevelFilter::DEBUG, LevelFilter::INFO),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(terminal.err.are_on());
    // A name is a prefix here, so that this is every crate of the workspace.
    let targets = Targets::new()
        .with_default(others)
        .with_target("ponder", own);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}
