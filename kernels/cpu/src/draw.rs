//! How a token is drawn from logits, in the words that devices share. On the processor the sampler itself
//! does it.

/// How a token is drawn from a row of logits: what is done to them, in the order of the fields.
///
/// Everything is in float32, each operation rounded by itself, but for sums of weights and what is
/// compared with them: a device that draws gives the token that anybody gets who does the same.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Which of the step's rows of logits.
    pub row: usize,
    /// Bit `t % 32` of word `t / 32` is set where token `t` may come, which one at least may; the
    /// logits of others become `-inf`, and stay so.
    pub mask: Option<&'a [u32]>,
    /// Divides positive and multiplies other logits of the tokens in `seen`; then
    /// `frequency` × count is subtracted, and `presence` where the count is not 0.
    pub repetition: f32,
    /// See `repetition`.
    pub presence: f32,
    /// See `repetition`.
    pub frequency: f32,
    /// Tokens with their counts, each once.
    pub seen: &'a [(u32, u32)],
    /// Tokens and what is added to their logits, in turn where a token has several, which are side by
    /// side.
    pub added: &'a [(u32, f32)],
    /// A token whose logit moves towards the largest one by a share of the way.
    pub raised: Option<(u32, f32)>,
    /// What differences to the largest logit are multiplied with; infinite: the largest logit wins, the
    /// lowest token of equal ones.
    pub sharpness: f32,
    /// Likeliest tokens that are kept, the lowest of equal ones; 0: all.
    pub top_k: usize,
    /// Share of their probability that is kept, beginning with the likeliest; 1: all.
    pub top_p: f32,
    /// Tokens are kept that are as likely, in proportion to the likeliest.
    pub min_p: f32,
    /// In `[0, 1)`: which part of what is kept the token is to have. Tokens lie in the order of their
    /// probability, or where nothing is left out in their own.
    pub number: f64,
    /// So many of the likeliest tokens are wanted too, by the logits as they were, with what all tokens
    /// weigh; `None`: nothing of the kind.
    pub likeliest: Option<usize>,
}

/// Likeliest tokens of a row at most.
pub const MAX_LIKELIEST: usize = 20;

/// A token that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnToken {
    /// The token.
    pub token: u32,
    /// Its logit as it was.
    pub logit: f32,
    /// The largest logit as they were, where [`Draw::likeliest`] wants more than a token.
    pub max: f32,
    /// Σ e^(logit − max), likewise: sums of 1024 tokens in float32, which are added in float64.
    pub mass: f64,
    /// The likeliest tokens with their logits, likewise, likeliest first; `n_likeliest` of them.
    pub likeliest: [(u32, f32); MAX_LIKELIEST],
    /// See `likeliest`.
    pub n_likeliest: usize,
}
