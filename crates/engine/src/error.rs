//! Everything that can go wrong between a model's name and its answer.

use std::path::PathBuf;

use ponder_effort::EffortError;
use ponder_runtime::{
    decoder::DecoderError, hub::HubError, quantize::QuantizeError, spec::SpecError,
    weights::WeightsError,
};
use ponder_tokenizer::{TokenizerError, chat::TemplateError};
use thiserror::Error;

use crate::Shortage;

/// Why the engine could not do what was asked.
#[derive(Debug, Error)]
#[allow(missing_docs)] // Each message says it.
pub enum EngineError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("chat template: {0}")]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Sampling(#[from] EffortError),
    #[error(
        "the model `default` is part of the program (hint: it needs no files; -m default runs it)"
    )]
    Embedded,
    #[error("{}: {message}", path.display())]
    File { path: PathBuf, message: String },
    #[error(
        "the prompt has {prompt} tokens, the context holds {context} with at least one for the answer (hint: shorten the prompt, or raise --context if `ponder show` says that the model was trained for more)"
    )]
    PromptTooLong { prompt: usize, context: usize },
    #[error("the request has no messages")]
    NoMessages,
    #[error(
        "the model {0} is not made to give texts as vectors: its files name no pooling (hint: use one that is, such as Qwen3-Embedding)"
    )]
    NoEmbeddings(String),
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error("{waiting} answers wait already (hint: try again later)")]
    Busy { waiting: usize },
    #[error("the answer's format: {0}")]
    Format(String),
    #[error("the request cannot be read: {0}")]
    Request(String),
    #[error("--context {wanted} is more than the {model} positions that the model was trained for")]
    ContextTooLarge { wanted: usize, model: usize },
    #[error("the answer has ended already, so there is nothing to fork")]
    Ended,
    #[error("the model failed in a step that this answer shared with others: {0}")]
    Step(String),
    #[error(
        "the cache holds {cache} tokens, too few for a context of {context} (hint: load with more cache tokens or a shorter context)"
    )]
    CacheTooSmall { cache: usize, context: usize },
    #[error(
        "the reference stores keys and values as f32, not as {0} (hint: leave --cache-type out, or use --device cpu)"
    )]
    CacheType(&'static str),
    #[error(
        "this build of ponder has no CUDA backend (hint: build with --features cuda, or run with --device cpu)"
    )]
    NoCuda,
    #[error("the model {0} ({hint})", hint = .0.advice)]
    NoRoomOnDevice(Shortage),
    #[error(
        "the thread that runs the model has ended (hint: this is a bug; start again with -v and report what it prints)"
    )]
    WorkerGone,
}
