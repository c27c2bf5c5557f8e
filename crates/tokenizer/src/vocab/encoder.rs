//! The two ways of encoding: the tokenizers library, and SentencePiece's merging by score,
//! which the library cannot express.

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, DecoderWrapper, PostProcessorWrapper, TokenizerImpl};

use super::sentencepiece::SentencePiece;
use crate::TokenizerError;

type Pipeline<M> =
    TokenizerImpl<M, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Added tokens, normalizer, pre-tokenizer and model. What goes around a text, and
/// decoding, are this crate's own.
#[derive(Debug)]
pub(crate) enum Encoder {
    Library(Box<Pipeline<ModelWrapper>>),
    SentencePiece(Box<Pipeline<SentencePiece>>),
}

/// What stands before the model in an [`Encoder`].
#[derive(Debug, Default)]
pub(crate) struct Front {
    pub(crate) normalizer: Option<NormalizerWrapper>,
    pub(crate) pre_tokenizer: Option<PreTokenizerWrapper>,
    pub(crate) added: Vec<AddedToken>,
}

impl Encoder {
    pub(crate) fn library(
        model: impl Into<ModelWrapper>,
        front: Front,
    ) -> Result<Self, TokenizerError> {
        Ok(Self::Library(Box::new(pipeline(model.into(), front)?)))
    }

    pub(crate) fn sentencepiece(
        model: SentencePiece,
        front: Front,
    ) -> Result<Self, TokenizerError> {
        Ok(Self::SentencePiece(Box::new(pipeline(model, front)?)))
    }

    /// The ids of `text`, with nothing around it.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = match self {
            Self::Library(pipeline) => pipeline.encode_fast(text, false),
            Self::SentencePiece(pipeline) => pipeline.encode_fast(text, false),
        };
        let encoding = encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub(crate) fn token_id(&self, piece: &str) -> Option<u32> {
        match self {
            Self::Library(pipeline) => pipeline.token_to_id(piece),
            Self::SentencePiece(pipeline) => pipeline.token_to_id(piece),
        }
    }
}

/// The normalizer goes in before the added tokens, which are matched in normalized text.
fn pipeline<M: tokenizers::Model>(model: M, front: Front) -> Result<Pipeline<M>, TokenizerError> {
    let mut pipeline = Pipeline::new(model);
    pipeline
        .with_normalizer(front.normalizer)
        .map_err(|error| TokenizerError::build("normalizer", error))?
        .with_pre_tokenizer(front.pre_tokenizer);
    pipeline
        .add_tokens(front.added)
        .map_err(|error| TokenizerError::build("added tokens", error))?;
    Ok(pipeline)
}
