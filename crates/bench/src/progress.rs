//! How far a measurement is.

use crate::{Case, Plan, Start};

/// How far a measurement is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Rounds of all rows that were made.
    pub done: usize,
    /// Rounds that there will be, of this target.
    pub total: usize,
    /// What the present row is.
    pub row: String,
}

/// Who hears of it.
pub type Watcher<'a> = &'a mut dyn FnMut(&Progress);

/// Tells the watcher of rounds.
pub(crate) struct Rounds<'a> {
    watch: Watcher<'a>,
    progress: Progress,
    before: usize,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(
        plan: &Plan,
        (index, n_cases): (usize, usize),
        case: &Case,
        start: Start,
        watch: Watcher<'a>,
    ) -> Self {
        let per_case = plan.warmup + plan.runs;
        let progress = Progress {
            done: index * per_case,
            total: n_cases * per_case,
            row: format!("{case}, {start}"),
        };
        watch(&progress);
        Self {
            watch,
            before: progress.done,
            progress,
        }
    }

    pub(crate) fn done(&mut self, n: usize) {
        self.progress.done = self.before + n;
        (self.watch)(&self.progress);
    }
}
