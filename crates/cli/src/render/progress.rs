//! Spinners and bars on standard error, only where someone watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// One line on standard error that says what is going on.
///
/// indicatif draws nothing where standard error is no terminal. The line is removed when
/// this is dropped, so that an error never stands behind half a bar.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_bar: bool,
}

impl Progress {
    /// A spinner with a message, or nothing where it is not wanted.
    pub(crate) fn spinner(is_wanted: bool, message: &str) -> Self {
        let target = match is_wanted {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(spinner_style());
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar, is_bar: false }
    }

    /// Turns the spinner into a bar of tokens.
    pub(crate) fn tokens(&mut self, message: &str, done: usize, total: usize) {
        self.fill(message, done as u64, total as u64, tokens_style);
    }

    /// Turns the spinner into a bar of answers.
    pub(crate) fn answers(&mut self, message: &str, done: usize, total: usize) {
        self.fill(message, done as u64, total as u64, answers_style);
    }

    /// Turns the spinner into a bar of runs.
    pub(crate) fn runs(&mut self, message: &str, done: usize, total: usize) {
        self.fill(message, done as u64, total as u64, runs_style);
    }

    /// Turns the spinner into a bar of bytes.
    pub(crate) fn bytes(&mut self, message: &str, done: u64, total: u64) {
        self.fill(message, done, total, bytes_style);
    }

    fn fill(&mut self, message: &str, done: u64, total: u64, style: fn() -> ProgressStyle) {
        if !std::mem::replace(&mut self.is_bar, true) {
            self.bar.set_style(style());
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.bar.message() != message {
            self.bar.set_message(message.to_owned());
        }
    }

    /// Turns the bar back into a spinner.
    pub(crate) fn spin(&mut self, message: String) {
        if std::mem::take(&mut self.is_bar) {
            self.bar.set_style(spinner_style());
        }
        self.bar.set_message(message);
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The style of a spinner; an invalid template would show the default style instead.
pub(super) fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The style of a bar that counts tokens.
fn tokens_style() -> ProgressStyle {
    bar_style("{pos}/{len} tokens")
}

/// The style of a bar that counts answers.
fn answers_style() -> ProgressStyle {
    bar_style("{pos}/{len} answers, {eta} left")
}

/// The style of a bar that counts runs.
fn runs_style() -> ProgressStyle {
    bar_style("{pos}/{len} runs, {eta} left")
}

/// The style of a bar that counts bytes.
pub(super) fn bytes_style() -> ProgressStyle {
    bar_style("{decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}")
}

/// The style of a bar that counts in `unit`.
fn bar_style(unit: &str) -> ProgressStyle {
    let template = format!("{{spinner}} {{msg}} {{wide_bar}} {unit}");
    ProgressStyle::with_template(&template)
        .map(|style| style.progress_chars("━╸ "))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
