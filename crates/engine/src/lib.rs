//! The embeddable API of ponder: load a model, ask it, read its answer as it comes.
//!
//! ```no_run
//! use ponder_engine::{Engine, Event, LoadOptions, Message, Request};
//!
//! # fn main() -> Result<(), ponder_engine::EngineError> {
//! let engine = Engine::load("qwen3:0.6b", &LoadOptions::default(), &mut |_| {})?;
//! let request = Request { messages: vec![Message::new("user", "What is 17 * 23?")], ..Request::default() };
//! for event in engine.generate(request)? {
//!     match event? {
//!         Event::Reasoning(text) => eprint!("{text}"),
//!         Event::Content(text) => print!("{text}"),
//!         Event::Done(summary) => eprintln!("\n{} tokens", summary.usage.completion_tokens),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An [`Engine`] owns one model and one thread that runs it. Requests are answered side by side, each
//! step of the model serving all of them; what a prompt shares with anything that was computed
//! before, and is still in memory, is not computed again. [`Engine::generate_many`] gives several
//! answers to one prompt, [`Engine::vote`] lets them vote, [`Generation::fork`] gives a second one from
//! any point.

#![forbid(unsafe_code)]

mod answer;
mod device;
mod draft;
mod driver;
mod effort;
mod embedding;
mod engine;
mod error;
mod event;
#[cfg(test)]
mod fake;
mod fingerprint;
mod footprint;
mod grammar;
mod info;
mod load;
mod memory;
mod occupancy;
mod outlet;
mod party;
mod placement;
mod probe;
mod prompt;
mod request;
mod sampling;
mod schedule;
mod stream;
mod vocab;
mod votes;
mod work;
mod worker;

pub mod inspect;
pub mod quantize;
pub mod store;

pub use device::Device;
pub use effort::{EarlyExit, Effort, EffortOverrides, ResolvedEffort, parse_duration};
pub use embedding::Pooling;
pub use engine::{Engine, Generation};
pub use error::EngineError;
pub use event::{
    DeviceTimes, Event, FinishReason, FirstToken, ReasoningEnd, Summary, Timings, TokenChance,
    TokenReport, Usage,
};
pub use footprint::{Footprint, MemoryPlace, Shortage};
pub use info::{Accelerator, ModelInfo};
pub use inspect::Rendered;
pub use load::LoadProgress;
pub use occupancy::Occupancy;
pub use outlet::Canceller;
pub use ponder_effort::{SamplingOverrides, votes::Weighing};
pub use ponder_runtime::backend::{DeviceFacts, DeviceMeter, KvFormat};
pub use ponder_tokenizer::chat::{Content, FunctionCall, Message, ToolCall};
pub use request::{Format, LoadOptions, RawPrompt, Request, ToolChoice};
pub use vocab::gguf_vocab;
pub use votes::{AnswerKind, VoteCount, VoteSummary, Voting};
pub use work::Work;
