//! What can go wrong while a tokenizer is built or used.

use std::path::PathBuf;

/// Why a tokenizer could not be built, or could not encode or decode.
///
/// Every message is one line that says what is wrong and where; where a reader can do
/// something about it, it ends in `hint: ...`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file of the model's folder cannot be read.
    #[error(
        "cannot read {path}: {source}; hint: a tokenizer needs at least tokenizer.json in the model's folder"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the model's folder is not the JSON that it should be.
    #[error("{path} is not valid: {source}; hint: download the file again")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },
    /// The vocabulary contradicts itself: duplicates, lengths that differ, ids out of range.
    #[error("the tokenizer's vocabulary is broken: {0}; hint: download or convert the model again")]
    Vocabulary(String),
    /// A part of the tokenizer that this crate does not know.
    #[error("unsupported tokenizer: {what} `{value}`; hint: {hint}")]
    Unsupported {
        /// The part, for example `tokenizer.ggml.pre`.
        what: &'static str,
        /// The value that was found.
        value: String,
        /// What the user can do.
        hint: &'static str,
    },
    /// The tokenizer library refused a part that it was given.
    #[error("cannot build the tokenizer's {part}: {message}")]
    Build {
        /// Normalizer, pre-tokenizer, model or added tokens.
        part: &'static str,
        /// The library's own message.
        message: String,
    },
    /// Encoding a text failed.
    #[error("cannot encode the text: {0}")]
    Encode(String),
    /// A token id that the vocabulary does not hold.
    #[error(
        "token {id} is outside of the vocabulary, which ends at {vocab_size}; hint: the tokenizer and the weights may belong to different models"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// One more than the largest known id.
        vocab_size: usize,
    },
}

impl TokenizerError {
    /// A [`TokenizerError::Vocabulary`] from anything that can be shown.
    pub(crate) fn vocabulary(message: impl Into<String>) -> Self {
        Self::Vocabulary(message.into())
    }

    /// A [`TokenizerError::Build`] for `part` from the library's boxed error.
    pub(crate) fn build(part: &'static str, source: impl std::fmt::Display) -> Self {
        Self::Build {
            part,
            message: source.to_string(),
        }
    }
}
