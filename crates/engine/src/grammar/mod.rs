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

mod calls;
mod compile;
mod constraint;
mod digits;
mod lark;
mod lead;
mod leads;
mod machine;
mod marker;
mod mask;
mod recent;
mod rules;
mod schema;
mod words;

use ponder_tokenizer::tools::ToolSyntax;
use serde_json::json;

use crate::{EngineError, Format, Request, ToolChoice, load::TextParts};

use compile::Compiler;
use digits::{DigitTokens, Where};
use leads::Leads;
use machine::Machine;
use mask::Mask;
use rules::{Calls, Rules};
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
        // What follows a raw prompt is the answer, whatever the model's template would put there.
        let is_raw = request.raw_prompt.is_some();
        let with_tools = !request.tools.is_empty() && !is_raw;
        let must_call = request.tool_choice == ToolChoice::Required;
        if request.format == Format::Text && !with_tools && !must_call {
            return Ok(None);
        }
        let grammars = self.grammars()?;
        let calls = match request.tool_choice {
            ToolChoice::Required => Some(self.calls(request)?),
            ToolChoice::Auto if with_tools => self.calls_if_any(request)?,
            ToolChoice::Auto | ToolChoice::None => None,
        };
        let document = match must_call {
            true => None,
            false => grammars.compiler.format(&request.format, &grammars.words)?,
        };
        let rules = Rules {
            is_free: document.is_none() && !must_call,
            bans_calls: request.tool_choice == ToolChoice::None,
            document,
            calls,
        };
        if rules.document.is_none() && rules.calls.is_none() && !rules.bans_calls {
            return Ok(None);
        }
        let prompt = (!is_raw).then_some(prompt);
        Ok(Some(Constraint::new(grammars, rules, prompt, in_thought)))
    }

    /// The calls that may come; `None` where the family's are not known well enough to be held to
    /// anything, and nobody insists.
    fn calls_if_any(&self, request: &Request) -> Result<Option<Calls>, EngineError> {
        let is_strict = |tool: &serde_json::Value| {
            let strict = [&tool["strict"], &tool["function"]["strict"]];
            strict.iter().any(|strict| strict.as_bool() == Some(true))
        };
        let insists = !request.allowed_tools.is_empty() || request.tools.iter().any(is_strict);
        match self.calls(request) {
            Ok(calls) => Ok(Some(calls)),
            Err(error) if insists => Err(error),
            Err(error) => {
                tracing::warn!(%error, "calls are not held to their tools");
                Ok(None)
            }
        }
    }

    fn calls(&self, request: &Request) -> Result<Calls, EngineError> {
        let grammars = self.grammars()?;
        let (words, compiler) = (&grammars.words, &grammars.compiler);
        let syntax = self.format.tools.as_ref().map(|tools| &tools.syntax);
        let kind = calls::Kind {
            is_one: request.one_tool_call,
            // A document may begin with a brace too.
            is_bare: request.format == Format::Text,
        };
        let key = json!([
            request.tools,
            request.allowed_tools,
            kind.is_one,
            kind.is_bare
        ]);
        let grammar = compiler.calls(&key.to_string(), words, || {
            let tools = calls::declared(&request.tools, &request.allowed_tools, compiler)?;
            calls::grammar(&self.format, words, &tools, kind)
        })?;
        Ok(Calls {
            grammar,
            is_bare: kind.is_bare && self.format.tools.as_ref().is_some_and(|tools| tools.bare),
            numbers: match syntax {
                Some(
                    ToolSyntax::FunctionXml | ToolSyntax::InvokeXml { .. } | ToolSyntax::ArgPairs,
                ) => Where::Anywhere,
                Some(ToolSyntax::Braces { .. }) => Where::Anywhere,
                _ => Where::Json,
            },
        })
    }
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
