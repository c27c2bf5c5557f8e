//! What is shown before there is text to show.

use super::progress::Progress;

/// The spinner of one answer, used by every view.
pub(crate) struct Waiting {
    progress: Progress,
    /// Pieces that came without being shown, about one per token.
    hidden_pieces: usize,
}

impl Waiting {
    /// A spinner until the first text, or nothing where it is not wanted.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            progress: Progress::spinner(is_wanted, "reading the prompt"),
            hidden_pieces: 0,
        }
    }

    /// `done` of `total` tokens of the prompt have been read.
    pub(super) fn prompt(&mut self, done: usize, total: usize) {
        if done < total {
            self.progress.tokens("reading the prompt", done, total);
        } else {
            self.progress.spin("waiting for the first token".to_owned());
        }
    }

    /// A piece of text came that is not shown.
    pub(super) fn hidden(&mut self, what: &str) {
        self.hidden_pieces += 1;
        let message = format!("{what}, about {} tokens", self.hidden_pieces);
        self.progress.spin(message);
    }

    /// Removes the spinner, since text follows.
    pub(super) fn over(&self) {
        self.progress.clear();
    }
}
