//! From what a model's files say to a [`Tokenizer`](crate::Tokenizer).
//!
//! - [`pieces`]: the id → text table that decoding works on; [`spelling`]: how a piece is
//!   spelled in bytes
//! - [`encoder`]: text to ids, with the tokenizers library or with [`sentencepiece`]
//! - [`folder`]: a Hugging Face folder, whose heart is [`tokenizer_json`]
//! - [`gguf`]: GGUF metadata, with the table of [`pre`]-tokenizers

pub(crate) mod encoder;
pub(crate) mod folder;
pub(crate) mod gguf;
pub(crate) mod pieces;
pub(crate) mod spelling;
pub(crate) mod template;

mod around;
mod bpe;
mod charsmap;
mod decoder;
mod json_fields;
mod pre;
mod sentencepiece;
mod tokenizer_json;
