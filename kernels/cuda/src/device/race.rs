//! [`Race`]: which of two ways to do the same is faster.

use super::Mark;
use crate::CudaError;

/// How often each way is timed; the shortest time counts.
const ROUNDS: usize = 8;

/// One of two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Fused,
}

/// Both are gone in turn, and then the one that was faster.
#[derive(Debug)]
pub(super) struct Race {
    /// Milliseconds of each way.
    best: [f64; 2],
    n_timed: usize,
    /// When the latest one began and ended.
    latest: Option<[Mark; 2]>,
}

impl Default for Race {
    fn default() -> Self {
        Self {
            best: [f64::INFINITY; 2],
            n_timed: 0,
            latest: None,
        }
    }
}

impl Race {
    /// Goes one of the ways. A time is looked at when the next one is gone, by when it has passed.
    pub(super) fn go(
        &mut self,
        mark: impl Fn() -> Result<Mark, CudaError>,
        go: impl FnOnce(Way) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        if let Some([from, to]) = self.latest.take() {
            let best = &mut self.best[self.n_timed % 2];
            *best = best.min(to.milliseconds_since(&from)?);
            self.n_timed += 1;
        }
        if let Some([plain, fused]) = self.best() {
            return go(if fused < plain {
                Way::Fused
            } else {
                Way::Plain
            });
        }
        let way = match self.n_timed % 2 {
            0 => Way::Plain,
            _ => Way::Fused,
        };
        let from = mark()?;
        go(way)?;
        self.latest = Some([from, mark()?]);
        Ok(())
    }

    /// Milliseconds that each way takes, once it is known.
    pub(super) fn best(&self) -> Option<[f64; 2]> {
        (self.n_timed == 2 * ROUNDS).then_some(self.best)
    }
}
