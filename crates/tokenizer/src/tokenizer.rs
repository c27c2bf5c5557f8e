//! The tokenizer of one model: encode, decode, and the facts on its vocabulary.

use std::path::Path;
use std::sync::Arc;

use crate::decode::{self, DecodeStream};
use crate::vocab::encoder::Encoder;
use crate::vocab::pieces::{Kind, Pieces};
use crate::vocab::template::ChatTemplates;
use crate::vocab::{folder, gguf};
use crate::{GgufVocab, TokenizerError};

/// Text to token ids and back, as one model was trained for.
///
/// 1. [`from_folder`](Self::from_folder) or [`from_gguf`](Self::from_gguf).
/// 2. [`encode`](Self::encode) the prompt.
/// 3. [`decode_stream`](Self::decode_stream) the ids that the model generates, until one of
///    the [`stop_tokens`](Self::stop_tokens).
#[derive(Debug)]
pub struct Tokenizer {
    parts: Parts,
}

/// What a tokenizer consists of, whatever it was read from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) encoder: Encoder,
    pub(crate) pieces: Arc<Pieces>,
    /// Ids that go before and after a text encoded with special tokens.
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) unk: Option<u32>,
    /// Sorted, without duplicates.
    pub(crate) stop: Vec<u32>,
    pub(crate) templates: ChatTemplates,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where they exist, `tokenizer_config.json`,
    /// `special_tokens_map.json`, `generation_config.json`, `config.json` and the chat
    /// template's file from a folder in Hugging Face layout. Weights are not needed.
    ///
    /// # Errors
    /// When `tokenizer.json` is missing, a file is not valid, or the tokenizer has a part
    /// that is not supported.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        Ok(Self {
            parts: folder::load(folder)?,
        })
    }

    /// Builds the tokenizer that GGUF metadata describes.
    ///
    /// # Errors
    /// When `model` or `pre` are unknown, or the vocabulary contradicts itself.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        Ok(Self {
            parts: gguf::build(vocab)?,
        })
    }

    /// The token ids of `text`. Added and control tokens written in the text become their
    /// ids. With `add_special`, what the model's tokenizer puts around a text (often a BOS)
    /// goes around it, even where the text writes it already: for a rendered chat template
    /// pass `false`, as templates write it themselves, or ask
    /// [`starts_with_bos`](Self::starts_with_bos).
    ///
    /// # Errors
    /// When the tokenizer library refuses the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let ids = self.parts.encoder.encode(text)?;
        if !add_special || (self.parts.prefix.is_empty() && self.parts.suffix.is_empty()) {
            return Ok(ids);
        }
        Ok([self.parts.prefix.as_slice(), &ids, &self.parts.suffix].concat())
    }

    /// Whether the text begins with the BOS token's own text, as the output of most chat
    /// templates of models with a BOS does: such a text must not get another one.
    pub fn starts_with_bos(&self, text: &str) -> bool {
        self.bos().is_some_and(|bos| {
            let piece = self.parts.pieces.text(bos);
            !piece.is_empty() && text.starts_with(piece)
        })
    }

    /// Whether [`encode`](Self::encode) with `add_special` puts a BOS before the text.
    pub fn adds_bos(&self) -> bool {
        self.bos()
            .is_some_and(|bos| self.parts.prefix.contains(&bos))
    }

    /// The text of `ids`, without control tokens if `skip_special`. Bytes that are no UTF-8
    /// come out as U+FFFD, and so does an id outside of the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        decode::decode(&self.parts.pieces, ids, skip_special)
    }

    /// A decoder for ids that arrive one by one; it shows control tokens too. What it
    /// returns adds up to [`decode`](Self::decode)`(ids, false)`.
    pub fn decode_stream(&self) -> DecodeStream {
        DecodeStream::new(Arc::clone(&self.parts.pieces), false)
    }

    /// As [`decode_stream`](Self::decode_stream), without the text of control tokens.
    pub fn decode_stream_skipping_special(&self) -> DecodeStream {
        DecodeStream::new(Arc::clone(&self.parts.pieces), true)
    }

    /// The token as readable text on its own: its bytes, with U+FFFD for what is only a part
    /// of a character. Empty for an id outside of the vocabulary.
    pub fn piece(&self, id: u32) -> String {
        String::from_utf8_lossy(&self.token_bytes(id)).into_owned()
    }

    /// The bytes that the token adds to a text. Empty for an id outside of the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.parts.pieces.append_bytes(id, &mut bytes);
        bytes
    }

    /// The id of a piece as the vocabulary writes it: `<think>`, `Ġthe`, `▁the`.
    pub fn token_id(&self, piece: &str) -> Option<u32> {
        self.parts.encoder.token_id(piece)
    }

    /// One more than the largest id, so holes in the numbering count. The model's logits
    /// may be wider.
    pub fn vocab_size(&self) -> usize {
        self.parts.pieces.len()
    }

    /// Whether the vocabulary holds this id.
    pub fn contains(&self, id: u32) -> bool {
        self.parts.pieces.kind(id).is_some()
    }

    /// Whether `skip_special` leaves this token out of a decoded text: control tokens such
    /// as `<|im_end|>` and the unknown token, but not `<think>` where it is text.
    pub fn is_special(&self, id: u32) -> bool {
        self.parts.pieces.kind(id) == Some(Kind::Special)
    }

    /// Whether the token is matched as a whole in a text: control tokens, and added ones
    /// like `<think>`.
    pub fn is_added(&self, id: u32) -> bool {
        matches!(
            self.parts.pieces.kind(id),
            Some(Kind::Added | Kind::Special)
        )
    }

    /// The token that begins a text, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.parts.bos
    }

    /// The main token that ends a text. Generation ends at any of the
    /// [`stop_tokens`](Self::stop_tokens).
    pub fn eos(&self) -> Option<u32> {
        self.parts.eos
    }

    /// The token that fills up batches.
    pub fn pad(&self) -> Option<u32> {
        self.parts.pad
    }

    /// The token for what the vocabulary cannot express.
    pub fn unk(&self) -> Option<u32> {
        self.parts.unk
    }

    /// All tokens that end generation, sorted: the union of what the model's files name and
    /// of the well-known end-of-turn tokens that its vocabulary holds.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.parts.stop
    }

    /// The chat template's Jinja source.
    pub fn chat_template(&self) -> Option<&str> {
        self.parts.templates.main()
    }

    /// A chat template by name, such as `tool_use`, where the model has several.
    pub fn chat_template_named(&self, name: &str) -> Option<&str> {
        self.parts.templates.get(name)
    }
}
