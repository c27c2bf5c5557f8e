//! Logits chain and sampler over plain `&mut [f32]` and token ids.
//!
//! No tensor, no file and no tokenizer is seen here; [`StopStrings`] alone works on text.
//!
//! 1. Merge what the model recommends with what the user asked for: [`SamplingParams::merge`].
//! 2. Make one [`Sampler`] for each sequence, from the parameters and the prompt's ids.
//! 3. For each row of logits call [`Sampler::sample`]: grammar mask → penalties → effort
//!    [`Decision`] → temperature, top-k, top-p, min-p → draw.
//! 4. Push the decoded text through [`StopStrings`].
//!
//! How long a model thinks is decided by a [`control::Controller`]: it says what it wants of each
//! token, and is told which one it became.
#![forbid(unsafe_code)]

mod sampler;
pub use sampler::{Decision, Draw, Drawn, Plan, Sampler, Steer};

pub mod control;

pub mod exit;

pub mod votes;

mod params;
pub use params::{DryParams, SamplingOverrides, SamplingParams};

mod penalties;

mod dry;

mod filter;

mod logprobs;
pub use logprobs::{Chances, TokenLogprob};

mod stop;
pub use stop::{Emitted, StopStrings};

mod stream;

mod math;

mod error;
pub use error::EffortError;
