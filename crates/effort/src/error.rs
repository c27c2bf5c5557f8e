//! What can be wrong with parameters, logits, masks and stop strings.

/// Everything this crate refuses, one line each.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EffortError {
    /// A parameter outside its range, NaN included.
    #[error("{field} is {value}, but must lie in {range}; hint: {hint}")]
    OutOfRange {
        /// The parameter's name.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The allowed interval, in interval notation.
        range: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// A DRY sequence breaker without a token.
    #[error("dry.breakers[{index}] is empty; hint: drop it, or give at least one token id")]
    EmptyBreaker {
        /// Its place in the list.
        index: usize,
    },
    /// A token id that the model has no logit for.
    #[error(
        "token id {token} in {place} is not below the vocabulary size {vocab_size}; \
         hint: were the ids made by another model's tokenizer?"
    )]
    UnknownToken {
        /// Where the id stood.
        place: &'static str,
        /// The id.
        token: u32,
        /// Number of logits.
        vocab_size: usize,
    },
    /// The vocabulary is empty or does not fit 32-bit token ids.
    #[error("vocabulary size {vocab_size} is not in [1, 2^32); hint: check the model's config")]
    VocabSize {
        /// What was given.
        vocab_size: usize,
    },
    /// A row of logits or a mask of another length than the vocabulary asks for.
    #[error("{what} has length {found}, expected {expected}; hint: pass one row of one position")]
    Length {
        /// `logits` or `grammar mask`.
        what: &'static str,
        /// The length that the vocabulary asks for.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// The model computed NaN or an infinity.
    #[error(
        "model produced non-finite logits ({value} for token {token}); \
         hint: the weights may be damaged or overflow in this precision"
    )]
    NonFiniteLogits {
        /// The first such token.
        token: usize,
        /// Its logit.
        value: f32,
    },
    /// The grammar mask allows no token.
    #[error("grammar mask allows no token; hint: the grammar cannot be continued from here")]
    AllMasked,
    /// [`Decision::Bias`](crate::Decision::Bias) with an amount that is not finite.
    #[error("effort bias {amount} for token {token} is not finite; hint: use Force to insist")]
    BiasNotFinite {
        /// The token.
        token: u32,
        /// The amount.
        amount: f32,
    },
    /// A stop string without a character.
    #[error("stop[{index}] is empty; hint: an empty stop string would end every answer at once")]
    EmptyStop {
        /// Its place in the list.
        index: usize,
    },
}
