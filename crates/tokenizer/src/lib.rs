//! Text for reasoning models: encoding, decoding token by token, what a vocabulary says about
//! itself, chat templates, and splitting what a model writes.
//!
//! - [`Tokenizer`]: from a folder in Hugging Face layout or from GGUF metadata ([`GgufVocab`])
//! - [`DecodeStream`]: ids to text as they arrive, never half a character
//! - [`chat`]: messages to prompt text, by the model's own template
//! - [`split`]: what the model writes into reasoning, content and tool calls
//!
//! ```no_run
//! # fn main() -> Result<(), ponder_tokenizer::TokenizerError> {
//! let tokenizer = ponder_tokenizer::Tokenizer::from_folder("Qwen3-0.6B".as_ref())?;
//! let ids = tokenizer.encode("How are you?", true)?;
//! let mut stream = tokenizer.decode_stream();
//! for id in ids {
//!     print!("{}", stream.push(id)?);
//! }
//! println!("{}", stream.finish());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod chat;
mod decode;
mod error;
pub mod split;
mod stop;
mod tokenizer;
pub mod tools;
mod vocab;

pub use decode::DecodeStream;
pub use error::TokenizerError;
pub use tokenizer::Tokenizer;
pub use vocab::gguf::GgufVocab;
