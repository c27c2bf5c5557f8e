//! Messages → token ids, and what an answer to them is held to.

use std::borrow::Cow;
use std::sync::Arc;

use ponder_effort::{
    Sampler, StopStrings,
    control::{Controller, Limits, Place},
};
use ponder_tokenizer::chat::{Content, Message, PromptOptions, template_vars};
use serde_json::{Map, Value, json};

use crate::{
    EarlyExit, EngineError, RawPrompt, Request, ResolvedEffort, ToolChoice, grammar::Constraint,
    load::TextParts, schedule::Turn,
};

/// What is added to the logit of a token that is not to come.
const NEVER: f32 = -100.0;

/// A request that is ready to run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) prompt: Vec<u32>,
    /// The rendered prompt; its end says whether the template has opened a thought.
    pub(crate) text: String,
    pub(crate) tools: Vec<Value>,
    pub(crate) sampler: Sampler,
    pub(crate) controller: Controller,
    /// What holds the answer to a format.
    pub(crate) constraint: Option<Constraint>,
    pub(crate) stop: StopStrings,
    pub(crate) max_tokens: usize,
    pub(crate) with_drafts: bool,
    pub(crate) with_prefix_cache: bool,
    pub(crate) early_exit: EarlyExit,
    pub(crate) turn: Turn,
    pub(crate) report_tokens: bool,
    /// Nothing in it is read as thinking or as a call.
    pub(crate) is_raw: bool,
}

impl TextParts {
    /// Renders, encodes and checks a request.
    pub(crate) fn prepare(
        &self,
        request: Request,
        context: usize,
    ) -> Result<Prepared, EngineError> {
        let effort = self
            .profile
            .resolve(request.effort, request.effort_overrides);
        let (text, prompt) = self.prompt(&request, &effort, context)?;
        if prompt.len() >= context {
            return Err(EngineError::PromptTooLong {
                prompt: prompt.len(),
                context,
            });
        }
        let mut params =
            self.sampling
                .merge(&effort.sampling, effort.sampling_wins, &request.sampling)?;
        if request.ignore_eos {
            let known = |token: &&u32| (**token as usize) < self.vocab_size;
            let ends = self.stop_tokens.iter().filter(known);
            params.logit_bias.extend(ends.map(|&token| (token, NEVER)));
        }
        if request.report_tokens {
            params.logprobs.get_or_insert(0);
        }
        let max_tokens = max_tokens(&request, context, prompt.len());
        let is_raw = request.raw_prompt.is_some();
        let start = Place {
            in_thought: !is_raw && self.format.starts_in_reasoning(&text),
            ..Place::default()
        };
        let constraint = self.constraint(&request, &text, start.in_thought)?;
        let limits = self.limits(&request, &effort, max_tokens);
        let tables = match is_raw {
            true => Arc::default(),
            false => Arc::clone(self.tables()),
        };
        Ok(Prepared {
            sampler: Sampler::new(&params, self.vocab_size, &prompt)?,
            controller: Controller::new(tables, limits, start),
            constraint,
            stop: StopStrings::new(&request.stop)?,
            max_tokens,
            with_drafts: request.prompt_lookup.unwrap_or(true),
            with_prefix_cache: request.prefix_cache.unwrap_or(true),
            early_exit: effort.early_exit,
            turn: Turn {
                is_background: request.is_background,
                client: request.client,
            },
            report_tokens: request.report_tokens,
            is_raw,
            prompt,
            text,
            tools: match request.tool_choice {
                ToolChoice::None => Vec::new(),
                ToolChoice::Auto | ToolChoice::Required => request.tools,
            },
        })
    }

    /// The rendered text of a request, of a raw one nothing, and its tokens.
    pub(crate) fn prompt(
        &self,
        request: &Request,
        effort: &ResolvedEffort,
        context: usize,
    ) -> Result<(String, Vec<u32>), EngineError> {
        match &request.raw_prompt {
            Some(raw) => Ok((String::new(), self.raw_ids(raw)?)),
            None if request.messages.is_empty() => Err(EngineError::NoMessages),
            None => {
                let text = self.without_thought(self.render(request, effort)?, effort);
                self.with_room_to_answer(text, request, effort, context)
            }
        }
    }

    fn raw_ids(&self, raw: &RawPrompt) -> Result<Vec<u32>, EngineError> {
        let ids = match raw {
            RawPrompt::Ids(ids) => ids.clone(),
            RawPrompt::Text(text) => self.tokenizer.encode(text, true)?,
        };
        match ids.is_empty() {
            true => Err(EngineError::EmptyPrompt),
            false => Ok(ids),
        }
    }

    /// The tokens of a text that is not to be continued.
    pub(crate) fn text_ids(
        &self,
        text: &RawPrompt,
        context: usize,
    ) -> Result<Vec<u32>, EngineError> {
        let ids = self.raw_ids(text)?;
        match ids.len() {
            prompt if prompt > context => Err(EngineError::PromptTooLong { prompt, context }),
            _ => Ok(ids),
        }
    }

    fn render(&self, request: &Request, effort: &ResolvedEffort) -> Result<String, EngineError> {
        let messages = with_system(&request.messages, effort.system.as_deref());
        let mut extra = self.special_tokens();
        extra.extend(effort.vars.clone());
        extra.extend(request.template_vars.clone());
        let options = PromptOptions {
            extra,
            ..PromptOptions::default()
        };
        let tools = match request.tool_choice {
            ToolChoice::None => &[][..],
            ToolChoice::Auto | ToolChoice::Required => &request.tools,
        };
        let vars = template_vars(&self.template, &messages, tools, &options);
        Ok(self.template.render(&vars, None)?)
    }

    /// A prompt behind which no thought begins, where that is what is asked for: one that its
    /// template has opened is closed, and where the template has no switch the family's empty thought
    /// follows.
    pub(crate) fn without_thought(&self, prompt: String, effort: &ResolvedEffort) -> String {
        let Some(reasoning) = self.format.reasoning.as_ref() else {
            return prompt;
        };
        if effort.think_tokens != Some(0) {
            return prompt;
        }
        let prefill = self.profile.none_prefill.as_str();
        if self.format.starts_in_reasoning(&prompt) {
            let opened = prefill.strip_prefix(reasoning.open.as_str());
            let own = format!("\n{}{}", reasoning.close, reasoning.after_close);
            let rest = opened
                .filter(|_| !reasoning.open.is_empty())
                .unwrap_or(&own);
            let is_new_line = prompt.ends_with('\n');
            let rest = rest
                .strip_prefix('\n')
                .filter(|_| is_new_line)
                .unwrap_or(rest);
            // A family's words need not end as its template does.
            return prompt + rest;
        }
        match prompt.trim_end().ends_with(reasoning.close.trim_end()) {
            true => prompt,
            false => prompt + prefill,
        }
    }

    /// The tokens of a prompt. Where its template has opened a thought that there is no room for, the
    /// thought is closed.
    fn with_room_to_answer(
        &self,
        text: String,
        request: &Request,
        effort: &ResolvedEffort,
        context: usize,
    ) -> Result<(String, Vec<u32>), EngineError> {
        let prompt = self.encode_prompt(&text)?;
        let Some(reasoning) = self.format.reasoning.as_ref() else {
            return Ok((text, prompt));
        };
        let budget = effort.think_tokens.unwrap_or(usize::MAX);
        let left = budget.saturating_sub(self.think_used(request));
        let room = left.min(max_tokens(request, context, prompt.len()).saturating_sub(1));
        if room >= self.tables().least_close() || !self.format.starts_in_reasoning(&text) {
            return Ok((text, prompt));
        }
        let text = text + &reasoning.close + &reasoning.after_close;
        let prompt = self.encode_prompt(&text)?;
        Ok((text, prompt))
    }

    fn limits(&self, request: &Request, effort: &ResolvedEffort, max_tokens: usize) -> Limits {
        let share = (max_tokens as f64 * f64::from(effort.answer_share)) as usize;
        Limits {
            max_tokens,
            answer_tokens: share.min(effort.answer_tokens),
            think_tokens: effort.think_tokens,
            used_tokens: self.think_used(request),
            think_min: effort.think_min,
            think_time: effort.think_time,
            deadline: effort.deadline,
            answer_share: effort.answer_share,
            landing: effort.landing,
            loop_guard: effort.loop_guard && !request.ignore_eos,
        }
    }

    /// Tokens that earlier rounds of this turn have thought: what stands behind the last message of
    /// the user.
    fn think_used(&self, request: &Request) -> usize {
        let count = || {
            let rounds = request.messages.iter().rev();
            let rounds = rounds.take_while(|message| message.role != "user");
            let thoughts = rounds.filter_map(|message| message.reasoning.as_deref());
            let tokens = thoughts.filter_map(|text| self.tokenizer.encode(text, false).ok());
            // Both markers of each thought count too.
            tokens.map(|tokens| tokens.len() + 2).sum()
        };
        request.think_used.unwrap_or_else(count)
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

/// The tokens that an answer may have.
fn max_tokens(request: &Request, context: usize, prompt: usize) -> usize {
    let asked = request.max_tokens.unwrap_or(usize::MAX);
    asked.min(context.saturating_sub(prompt))
}

/// The messages with a text before the system message, or as one.
pub(crate) fn with_system<'a>(messages: &'a [Message], text: Option<&str>) -> Cow<'a, [Message]> {
    let Some(text) = text else {
        return Cow::Borrowed(messages);
    };
    let mut messages = messages.to_vec();
    match messages.first_mut().filter(|first| first.role == "system") {
        Some(first) => first.content = Some(Content::Text(format!("{text}\n\n{}", first.text()))),
        None => messages.insert(0, Message::new("system", text)),
    }
    Cow::Owned(messages)
}
