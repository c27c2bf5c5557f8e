//! The one forward pass.
//!
//! 1. [`Decoder::load`] turns an [`ArchSpec`] and a checkpoint into layers of
//!    a backend's weights; each tensor that is expected must be there with its shape, and each one
//!    that is there must be expected.
//! 2. [`Model::open`] opens a sequence for a prompt, [`Model::start`] one that keeps to itself.
//! 3. [`Model::forward`] runs a list of [`Step`]s, any mix of prefill and decode, and returns the
//!    logits of the rows that asked for them; [`Model::step`] leaves them where tokens can be drawn from
//!    them.

mod layer;
mod load;
mod stage;

use thiserror::Error;

use crate::{
    backend::{Backend, BackendError, Batch, KeptLogits, Span, StepInputs, StepOutput},
    cache::{Cache, CacheCopy, CacheError, Opened, SeqId},
    spec::{ArchSpec, RopeTable},
    weights::{Checkpoint, WeightsError},
};
use stage::{Pass, Stage};

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
pub enum DecoderError {
    /// A tensor that the architecture needs is absent.
    #[error(
        "tensor \"{name}\" is missing (hint: the file is incomplete, or of another architecture than {family})"
    )]
    MissingTensor {
        /// Name.
        name: String,
        /// Family.
        family: String,
    },
    /// A tensor has another shape than the architecture needs.
    #[error(
        "tensor \"{name}\" has shape {found:?}, expected {expected:?} (hint: the weights do not fit the configuration beside them)"
    )]
    Shape {
        /// Name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// Tensors that no part of the architecture claims.
    #[error(
        "{count} tensors are not part of a {family} model, among them \"{first}\" (hint: running without them would give wrong answers)"
    )]
    UnclaimedTensors {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
        /// Family.
        family: String,
    },
    /// A token id that the embedding does not have.
    #[error("token id {id} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// Id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A sequence would outgrow the positions that the model knows.
    #[error("{len} tokens do not fit the model's context of {context_len}")]
    ContextExceeded {
        /// Tokens after the step.
        len: usize,
        /// Positions.
        context_len: usize,
    },
    /// From the cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// From the device.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// From the files.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl DecoderError {
    /// Whether the device had no memory left for what was to be done at a time.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Backend(BackendError::OutOfMemory(_)))
    }

    /// Whether the device is of no more use.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Backend(BackendError::Lost(_)))
    }
}

/// Tokens to append to one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The sequence.
    pub sequence: SeqId,
    /// One token (decode) or many (prefill).
    pub tokens: &'a [u32],
    /// Which of them want logits.
    pub logits: LogitsFor,
}

/// Rows that want logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsFor {
    /// None: a chunk of a prompt before its last.
    None,
    /// The last token.
    Last,
    /// Every token.
    All,
}

/// The logits of a step, `[rows, vocab_size]` in the order of the steps.
pub enum Logits<'a> {
    /// To be read, and changed, at once.
    Here(&'a mut [f32]),
    /// On a device that draws from them.
    Kept(&'a dyn KeptLogits),
}

/// A loaded model, whatever device it runs on.
pub trait Model: Send {
    /// What it is.
    fn spec(&self) -> &ArchSpec;
    /// Sequences and blocks.
    fn cache(&self) -> &Cache;
    /// Tokens of prompts that belong in a step at a time, where it runs.
    fn prefill_rows(&self) -> usize;
    /// Opens a sequence for a prompt, of which the cache may have a beginning already, that is
    /// expected to grow to `planned_len` tokens. What the cache has not is to be appended.
    fn open(&mut self, prompt: &[u32], planned_len: usize) -> Result<Opened, DecoderError>;
    /// Opens an empty sequence that neither uses what others have computed nor leaves anything.
    fn start(&mut self, planned_len: usize) -> Result<SeqId, DecoderError>;
    /// A second sequence with the same past, at the cost of no copy.
    fn fork(&mut self, sequence: SeqId) -> Result<SeqId, DecoderError>;
    /// Keeps the recurrent state of a sequence, so that [`Model::truncate`] can come back to here.
    /// Returns `false` where there is no room for it.
    fn save(&mut self, sequence: SeqId) -> Result<bool, DecoderError>;
    /// Forgets the tokens of a sequence from `len` on, of a model with recurrent state from where it
    /// was saved last. Returns the tokens that are left.
    fn truncate(&mut self, sequence: SeqId, len: usize) -> Result<usize, DecoderError>;
    /// Ends a sequence.
    fn free(&mut self, sequence: SeqId) -> Result<(), DecoderError>;
    /// Appends tokens and returns logits, `[rows, vocab_size]` in the order of the steps.
    ///
    /// The caller may change the logits in place. On an error of the device the sequences of the
    /// failed steps have their new tokens, which are not computed: free them, or
    /// [truncate](Model::truncate) them to where they were. All other errors are found before
    /// anything has changed.
    fn forward(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError>;
    /// As [`Model::forward`], with the logits left where they are if tokens can be drawn from them there.
    /// An error of the device may then come as late as that is done.
    fn step(&mut self, steps: &[Step<'_>]) -> Result<Logits<'_>, DecoderError> {
        self.forward(steps).map(Logits::Here)
    }
    /// As [`Model::forward`], with what the logits are made from in their place: the states behind
    /// the last norm, `[rows, hidden_size]`.
    fn hidden(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError>;
}

/// A model on the backend `B`, or, where it was [split](Decoder::load_split), its first layers there
/// and the last ones on the backend `C`.
pub struct Decoder<B: Backend, C: Backend = B> {
    first: Stage<B>,
    last: Option<Stage<C>>,
    /// What goes from the first stage to the last: `[n, hidden]`.
    between: Vec<f32>,
    spec: ArchSpec,
    ropes: Vec<RopeTable>,
    cache: Cache,
    copies: Vec<CacheCopy>,
    plan: StepPlan,
    /// What the last step gave.
    output: Vec<f32>,
}

/// The rows of a forward pass. Kept between passes for its memory.
#[derive(Debug, Default)]
struct StepPlan {
    tokens: Vec<u32>,
    spans: Vec<Span>,
    logits_rows: Vec<usize>,
}

impl<B: Backend> Decoder<B> {
    /// Loads a model with room for `max_tokens` tokens in `max_sequences` sequences.
    pub fn load(
        backend: B,
        spec: ArchSpec,
        checkpoint: &Checkpoint,
        max_tokens: usize,
        max_sequences: usize,
    ) -> Result<Self, DecoderError> {
        load::load(backend, None, spec, checkpoint, (max_tokens, max_sequences))
    }
}

impl<B: Backend, C: Backend> Decoder<B, C> {
    /// Loads a model whose first `n_first` layers, and the embedding, are on the one backend, and all
    /// others, and the head, on the other: activations go over once in a step.
    pub fn load_split(
        (first, n_first): (B, usize),
        last: C,
        spec: ArchSpec,
        checkpoint: &Checkpoint,
        max_tokens: usize,
        max_sequences: usize,
    ) -> Result<Self, DecoderError> {
        let last = Some((last, n_first));
        load::load(first, last, spec, checkpoint, (max_tokens, max_sequences))
    }

    /// Checks the steps and makes room in the cache.
    fn plan(&mut self, steps: &[Step<'_>]) -> Result<(), DecoderError> {
        let plan = &mut self.plan;
        plan.tokens.clear();
        plan.spans.clear();
        plan.logits_rows.clear();
        for step in steps {
            let position = self.cache.sequence(step.sequence)?.len();
            let len = position + step.tokens.len();
            if len > self.spec.context_len {
                return Err(DecoderError::ContextExceeded {
                    len,
                    context_len: self.spec.context_len,
                });
            }
            let vocab_size = self.spec.vocab_size;
            if let Some(&id) = step.tokens.iter().find(|&&id| id as usize >= vocab_size) {
                return Err(DecoderError::TokenOutOfRange { id, vocab_size });
            }
            let first_row = plan.tokens.len();
            plan.tokens.extend_from_slice(step.tokens);
            plan.spans.push(Span {
                sequence: step.sequence,
                first_row,
                len: step.tokens.len(),
                position,
            });
            match step.logits {
                LogitsFor::None => {}
                LogitsFor::Last => plan
                    .logits_rows
                    .extend((first_row..plan.tokens.len()).next_back()),
                LogitsFor::All => plan.logits_rows.extend(first_row..plan.tokens.len()),
            }
        }
        plan.spans.retain(|span| span.len > 0);
        for (done, span) in plan.spans.iter().enumerate() {
            if let Err(full) = self.cache.append(span.sequence, span.len, &mut self.copies) {
                for undo in &plan.spans[..done] {
                    // Only what was appended a moment ago is taken back, which no window has lost.
                    self.cache.truncate(undo.sequence, undo.position).ok();
                }
                return Err(full.into());
            }
        }
        Ok(())
    }

    fn run(&mut self, output: StepOutput) -> Result<(), BackendError> {
        // Whatever becomes of the step, they are done once.
        self.first.copy(&self.copies)?;
        if let Some(last) = &mut self.last {
            last.copy(&self.copies)?;
        }
        self.copies.clear();
        let pass = Pass {
            spec: &self.spec,
            ropes: &self.ropes,
            step: StepInputs {
                tokens: &self.plan.tokens,
                rows: &self.plan.logits_rows,
                output,
                batch: Batch {
                    spans: &self.plan.spans,
                    cache: &self.cache,
                },
            },
        };
        match &mut self.last {
            None => self.first.run(&pass, &[], &mut self.output)?,
            Some(last) => {
                self.between.clear();
                self.first.run(&pass, &[], &mut self.between)?;
                last.run(&pass, &self.between, &mut self.output)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, steps: &[Step<'_>], output: StepOutput) -> Result<&mut [f32], DecoderError> {
        self.output.clear();
        self.plan(steps)?;
        if !self.plan.spans.is_empty() {
            self.run(output)?;
        }
        for span in &self.plan.spans {
            let tokens = &self.plan.tokens[span.first_row..][..span.len];
            self.cache.commit(span.sequence, tokens, &mut self.copies)?;
        }
        Ok(&mut self.output)
    }
}

impl<B, C> Model for Decoder<B, C>
where
    B: Backend<Buffer: Send, Weight: Send, State: Send> + Send,
    C: Backend<Buffer: Send, Weight: Send, State: Send> + Send,
{
    fn spec(&self) -> &ArchSpec {
        &self.spec
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn prefill_rows(&self) -> usize {
        let first = self.first.backend.prefill_rows();
        let last = self.last.as_ref().map(|last| last.backend.prefill_rows());
        last.map_or(first, |last| last.min(first))
    }

    fn open(&mut self, prompt: &[u32], planned_len: usize) -> Result<Opened, DecoderError> {
        Ok(self.cache.open(prompt, planned_len, &mut self.copies)?)
    }

    fn start(&mut self, planned_len: usize) -> Result<SeqId, DecoderError> {
        Ok(self.cache.start(planned_len, &mut self.copies)?)
    }

    fn fork(&mut self, sequence: SeqId) -> Result<SeqId, DecoderError> {
        Ok(self.cache.fork(sequence, &mut self.copies)?)
    }

    fn save(&mut self, sequence: SeqId) -> Result<bool, DecoderError> {
        Ok(self.cache.save(sequence, &mut self.copies)?)
    }

    fn truncate(&mut self, sequence: SeqId, len: usize) -> Result<usize, DecoderError> {
        Ok(self.cache.truncate(sequence, len)?)
    }

    fn free(&mut self, sequence: SeqId) -> Result<(), DecoderError> {
        Ok(self.cache.free(sequence)?)
    }

    fn forward(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        self.pass(steps, StepOutput::Logits)
    }

    fn step(&mut self, steps: &[Step<'_>]) -> Result<Logits<'_>, DecoderError> {
        self.pass(steps, StepOutput::Kept)?;
        let kept = match &self.last {
            None => self.first.backend.kept(),
            Some(last) => last.backend.kept(),
        };
        Ok(match kept {
            Some(kept) => Logits::Kept(kept),
            None => Logits::Here(&mut self.output),
        })
    }

    fn hidden(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        self.pass(steps, StepOutput::Hidden)
    }
}
