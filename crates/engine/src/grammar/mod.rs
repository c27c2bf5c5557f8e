//! Answers that keep to a format: which tokens may come next.
//!
//! 1. [`Grammars`] knows a model's vocabulary and markers; it is made when it is first asked for.
//! 2. [`TextParts::constraint`] compiles what a request asks for, in the thread of whoever asks.
//!    What is too large or cannot be kept to is refused here.
//! 3. [`Constraint`] follows one answer: [`Constraint::mask`] before a token is drawn,
//!    [`Constraint::accept`] and [`Constraint::stand`] behind it, until [`Constraint::is_over`].
//!
//! A thought is free. The grammar begins where the thought ends, whoever ended it; before that only
//! what the family writes between the two may come: white space, a header, another thought. Inside
//! the answer the turn ends only where the grammar is at an end, so that an answer is whole unless
//! its tokens, its time or its reader run out: a guard against loops does not cut it.

mod compile;
mod constraint;
mod digits;
mod lark;
mod lead;
mod leads;
mod machine;
mod mask;
mod recent;
mod schema;
mod words;

use crate::{EngineError, Format, Request, load::TextParts};

use compile::Compiler;
use digits::DigitTokens;
use leads::Leads;
use machine::Machine;
use mask::Mask;
use words::Words;

pub(crate) use constraint::Constraint;

/// What grammars must know of a model.
pub(crate) struct Grammars {
    words: Words,
    leads: Leads,
    digits: DigitTokens,
    compiler: Compiler,
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl Grammars {
    /// Looks at each token of a model's vocabulary.
    pub(crate) fn new(text: &TextParts) -> Result<Self, EngineError> {
        let words = Words::new(
            &text.tokenizer,
            &text.format,
            &text.stop_tokens,
            text.vocab_size,
        );
        Ok(Self {
            leads: Leads::new(&text.format, &text.tokenizer, &words),
            digits: DigitTokens::new(&words),
            compiler: Compiler::new(&words)?,
            words,
        })
    }
}

impl TextParts {
    /// What holds an answer to a request behind a prompt to its format; `None` where it is free.
    ///
    /// # Errors
    /// [`EngineError::Format`] where the format cannot be read, is too large, or asks for what a
    /// grammar cannot promise.
    pub(crate) fn constraint(
        &self,
        request: &Request,
        prompt: &str,
        in_thought: bool,
    ) -> Result<Option<Constraint>, EngineError> {
        if request.format == Format::Text {
            return Ok(None);
        }
        let grammars = self.grammars()?;
        let document = grammars.compiler.format(&request.format, &grammars.words)?;
        // What follows a raw prompt is the answer, whatever the model's template would put there.
        let prompt = request.raw_prompt.is_none().then_some(prompt);
        Ok(document.map(|document| Constraint::new(grammars, document, prompt, in_thought)))
    }
}

#[cfg(test)]
mod tests;
