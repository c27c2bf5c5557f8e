//! Messages → token ids.

use ponder_effort::{Sampler, SamplingParams, StopStrings};
use ponder_tokenizer::chat::{PromptOptions, template_vars};
use serde_json::{Map, Value, json};

use crate::{Effort, EngineError, Request, load::TextParts};

/// A request that is ready to run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) prompt: Vec<u32>,
    /// The rendered prompt; its end says whether the template has opened a thought.
    pub(crate) text: String,
    pub(crate) tools: Vec<Value>,
    pub(crate) sampler: Sampler,
    pub(crate) stop: StopStrings,
    pub(crate) max_tokens: usize,
    pub(crate) with_drafts: bool,
}

impl TextParts {
    /// Renders, encodes and checks a request.
    pub(crate) fn prepare(
        &self,
        request: Request,
        context: usize,
    ) -> Result<Prepared, EngineError> {
        if request.messages.is_empty() {
            return Err(EngineError::NoMessages);
        }
        let mut extra = self.special_tokens();
        extra.extend(
            request
                .effort
                .map(|effort| self.effort_vars(effort))
                .unwrap_or_default(),
        );
        extra.extend(request.template_vars);
        let options = PromptOptions {
            extra,
            ..PromptOptions::default()
        };
        let vars = template_vars(&self.template, &request.messages, &request.tools, &options);
        let text = self.template.render(&vars, None)?;
        let prompt = self.encode_prompt(&text)?;
        if prompt.len() >= context {
            return Err(EngineError::PromptTooLong {
                prompt: prompt.len(),
                context,
            });
        }
        let params = SamplingParams::merge(&self.sampling, &request.sampling)?;
        Ok(Prepared {
            sampler: Sampler::new(&params, self.vocab_size, &prompt)?,
            stop: StopStrings::new(&request.stop)?,
            max_tokens: request
                .max_tokens
                .unwrap_or(usize::MAX)
                .min(context - prompt.len()),
            with_drafts: request.prompt_lookup.unwrap_or(true),
            prompt,
            text,
            tools: request.tools,
        })
    }

    /// Encodes rendered text. Templates of most models write the BOS themselves; where one does not
    /// and the tokenizer would, it is added, and never twice.
    pub(crate) fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let add_special = self.tokenizer.adds_bos() && !self.tokenizer.starts_with_bos(text);
        let mut ids = self.tokenizer.encode(text, false)?;
        if let (true, Some(bos)) = (add_special, self.tokenizer.bos()) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// The template variables that a level means: `reasoning_effort` for templates with levels, and
    /// the family's own switch.
    pub(crate) fn effort_vars(&self, effort: Effort) -> Map<String, Value> {
        let mut vars = Map::new();
        vars.insert("reasoning_effort".to_owned(), json!(effort.of_three()));
        if let Some(reasoning) = &self.format.reasoning {
            vars.extend(if effort == Effort::None {
                reasoning.off.clone()
            } else {
                reasoning.on.clone()
            });
        }
        vars
    }

    /// The variables `bos_token`, `eos_token` and so on, as transformers passes them.
    pub(crate) fn special_tokens(&self) -> Map<String, Value> {
        let tokenizer = &self.tokenizer;
        let tokens = [
            ("bos_token", tokenizer.bos()),
            ("eos_token", tokenizer.eos()),
            ("pad_token", tokenizer.pad()),
            ("unk_token", tokenizer.unk()),
        ];
        let named = tokens
            .into_iter()
            .filter_map(|(name, id)| Some((name.to_owned(), json!(tokenizer.piece(id?)))));
        named.collect()
    }
}
