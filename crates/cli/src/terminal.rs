//! What the standard streams are: terminals or pipes, with styles or without.

use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice};

use crate::args::ColorWhen;
use crate::render::style::Styles;

/// The facts on the three standard streams that rendering depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Someone types.
    pub(crate) stdin: bool,
    /// Someone reads the output.
    pub(crate) stdout: bool,
    /// Someone reads progress and errors.
    pub(crate) stderr: bool,
    /// Styles of standard output.
    pub(crate) out: Styles,
    /// Styles of standard error.
    pub(crate) err: Styles,
}

impl Terminal {
    /// Looks at the streams and the environment (`NO_COLOR`, `CLICOLOR`, `TERM`).
    pub(crate) fn detect(when: ColorWhen) -> Self {
        let choice = match when {
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Always => ColorChoice::Always,
            ColorWhen::Never => ColorChoice::Never,
        };
        choice.write_global();
        Self {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            out: Styles::new(AutoStream::choice(&io::stdout()) != ColorChoice::Never),
            err: Styles::new(AutoStream::choice(&io::stderr()) != ColorChoice::Never),
        }
    }
}
