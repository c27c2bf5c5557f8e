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
//! An [`Engine`] owns one model and one thread that runs it. Requests are answered in the order
//! they came; what a new prompt shares with the one before is not computed again.

#![forbid(unsafe_code)]

mod engine;
mod error;
mod event;
mod generate;
mod info;
mod load;
mod prompt;
mod request;
mod sampling;
mod stream;
mod vocab;
mod worker;

pub mod inspect;
pub mod store;

pub use engine::{Canceller, Engine, Generation};
pub use error::EngineError;
pub use event::{Event, FinishReason, ReasoningEnd, Summary, Timings, Usage};
pub use info::ModelInfo;
pub use load::LoadProgress;
pub use ponder_effort::SamplingOverrides;
pub use ponder_tokenizer::chat::{Content, FunctionCall, Message, ToolCall};
pub use request::{Device, Effort, LoadOptions, Request};
pub use vocab::gguf_vocab;
