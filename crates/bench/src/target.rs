//! Who is measured: an engine, a server, or in tests something that waits as it is told.

use ponder_engine::{Effort, Timings};
use serde::{Deserialize, Serialize};

use crate::{BenchError, Case, prompt::Prompt};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) text: String,
    pub(crate) max_tokens: usize,
    pub(crate) effort: Option<Effort>,
    pub(crate) uses_prefix_cache: bool,
}

/// A piece of text that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Seconds since the request.
    pub(crate) at_s: f64,
    /// Whether any of it was no thinking.
    pub(crate) is_output: bool,
}

/// What a server says about the time that it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerTimes {
    pub(crate) prefill_ms: f64,
    pub(crate) tpot_ms: f64,
    /// Tokens of the prompt that it has found in its cache.
    pub(crate) cached_tokens: Option<usize>,
}

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    /// In order; pieces that came together are one.
    pub(crate) arrivals: Vec<Arrival>,
    /// Seconds until the end.
    pub(crate) latency_s: f64,
    pub(crate) prompt_tokens: usize,
    /// Where that is said.
    pub(crate) cached_tokens: Option<usize>,
    pub(crate) completion_tokens: usize,
    pub(crate) reasoning_tokens: usize,
    /// The engine's own account.
    pub(crate) engine: Option<Timings>,
    /// A server's own account.
    pub(crate) server: Option<ServerTimes>,
}

/// Who is measured.
pub(crate) trait Target: Sync {
    /// A prompt for a case; those of one number are the same, those of one `slot` have the same
    /// beginning, as long as the case is deep.
    fn prompt(&self, case: &Case, slot: usize, number: u64) -> Result<Prompt, BenchError>;

    /// Called just before each request, outside of what is timed.
    fn ready(&self) {}

    /// Whether the measurement was stopped; what is asked then fails soon.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Asks and waits for the whole answer. What goes wrong is one failed request, said in a line.
    fn ask(&self, ask: &Ask) -> Result<Answered, String>;
}
