//! The JSON of continued texts, whole or as they come.

use futures_util::StreamExt;
use ponder_engine::{Event, Summary, TokenReport};
use serde_json::{Map, Value, json};

use crate::chat::finish_reason;
use crate::chat::logprobs::{logprob, text};
use crate::chat::request::StreamOptions;
use crate::chat::response::{Cost, Header, timings};
use crate::generate::Answers;
use crate::http::ApiError;
use crate::http::sse::{self, Outbox, Speaker};

/// The answers to all prompts.
pub(super) struct Texts {
    header: Header,
    /// What goes before the answers to each prompt.
    echoes: Vec<String>,
    /// Answers to each prompt.
    n: usize,
    states: Vec<State>,
    options: StreamOptions,
}

/// One answer.
#[derive(Debug, Default)]
struct State {
    /// Characters said so far, the echo included.
    length: usize,
    pending: Vec<TokenReport>,
    summary: Option<Summary>,
}

impl Texts {
    pub(super) fn new(header: Header, echoes: Vec<String>, n: usize) -> Self {
        let lengths = echoes.iter().map(|echo| echo.chars().count());
        let states = lengths.flat_map(|length| {
            (0..n).map(move |_| State {
                length,
                ..State::default()
            })
        });
        Self {
            header,
            states: states.collect(),
            echoes,
            n,
            options: StreamOptions::default(),
        }
    }

    pub(super) fn streamed(self, options: StreamOptions) -> Self {
        Self { options, ..self }
    }

    /// Reads all answers to their end.
    pub(super) async fn whole(mut self, mut answers: Answers) -> Result<Value, ApiError> {
        let echoes = (0..self.states.len()).map(|i| self.echoes[i / self.n].clone());
        let mut texts: Vec<String> = echoes.collect();
        let mut logprobs: Vec<Option<Logprobs>> = Vec::new();
        logprobs.resize_with(texts.len(), || None);
        while let Some((i, event)) = answers.next().await {
            match event? {
                Event::Content(text) => {
                    if let Some(new) = self.states[i].take_tokens() {
                        logprobs[i].get_or_insert_default().extend(new);
                    }
                    self.states[i].length += text.chars().count();
                    texts[i].push_str(&text);
                }
                other => self.states[i].note(other),
            }
        }
        let all = texts.into_iter().zip(logprobs).enumerate();
        let choices = all.map(|(i, (text, logprobs))| {
            self.choice(i, &text, logprobs.map_or(Value::Null, Logprobs::json))
        });
        let mut object = self.header.object("text_completion", choices.collect());
        object.insert("usage".to_owned(), self.usage());
        let times = self.states[0].summary.as_ref().map(timings);
        object.insert("timings".to_owned(), json!(times));
        Ok(Value::Object(object))
    }

    fn choice(&self, index: usize, text: &str, logprobs: Value) -> Value {
        let summary = &self.states[index].summary;
        let reason = summary.map(|summary| summary.finish_reason);
        let mut choice = json!({
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": reason.map(finish_reason),
        });
        if let Some(reason) = reason {
            choice["ended_by"] = json!(reason);
        }
        choice
    }

    fn chunk(&self, choices: Vec<Value>, usage: Value) -> Value {
        let mut object = self.header.object("text_completion", choices);
        if self.options.include_usage {
            object.insert("usage".to_owned(), usage);
        }
        Value::Object(object)
    }

    fn usage(&self) -> Value {
        let mut all = Cost::default();
        for answers in self.states.chunks(self.n) {
            let mut cost = Cost::default();
            let summaries = answers.iter().filter_map(|state| state.summary);
            summaries.for_each(|summary| cost.add(&summary.usage));
            all.add_prompt(cost);
        }
        all.json()
    }
}

impl State {
    fn note(&mut self, event: Event) {
        match event {
            Event::Token(report) => self.pending.push(report),
            Event::Done(summary) => self.summary = Some(summary),
            _ => {}
        }
    }

    /// The tokens of the text that comes next.
    fn take_tokens(&mut self) -> Option<Logprobs> {
        let mut logprobs = Logprobs::default();
        let mut offset = self.length;
        for report in self.pending.drain(..) {
            let token = text(&report.token);
            logprobs.offsets.push(offset);
            offset += token.chars().count();
            logprobs.tokens.push(token);
            logprobs.logprobs.push(logprob(&report.token));
            let top = report
                .top
                .iter()
                .map(|one| (text(one), json!(logprob(one))));
            logprobs.top.push(top.collect());
        }
        (!logprobs.tokens.is_empty()).then_some(logprobs)
    }
}

/// Columns of tokens, as this endpoint has always had them.
#[derive(Debug, Default)]
struct Logprobs {
    tokens: Vec<String>,
    logprobs: Vec<f32>,
    top: Vec<Map<String, Value>>,
    offsets: Vec<usize>,
}

impl Logprobs {
    fn extend(&mut self, other: Self) {
        self.tokens.extend(other.tokens);
        self.logprobs.extend(other.logprobs);
        self.top.extend(other.top);
        self.offsets.extend(other.offsets);
    }

    fn json(self) -> Value {
        json!({
            "tokens": self.tokens,
            "token_logprobs": self.logprobs,
            "top_logprobs": self.top,
            "text_offset": self.offsets,
        })
    }
}

impl Speaker for Texts {
    fn begin(&mut self, out: &mut Outbox) {
        for index in 0..self.states.len() {
            let echo = &self.echoes[index / self.n];
            if !echo.is_empty() {
                let choice = self.choice(index, echo, Value::Null);
                out.push_back(sse::data(&self.chunk(vec![choice], Value::Null)));
            }
        }
    }

    fn take(&mut self, index: usize, event: Event, out: &mut Outbox) {
        let choice = match event {
            Event::Content(text) => {
                let tokens = self.states[index].take_tokens();
                self.states[index].length += text.chars().count();
                self.choice(index, &text, tokens.map_or(Value::Null, Logprobs::json))
            }
            Event::Done(summary) => {
                self.states[index].summary = Some(summary);
                self.choice(index, "", Value::Null)
            }
            Event::PromptProgress {
                done,
                total,
                cached,
            } => {
                if self.options.prompt_progress {
                    let mut chunk = self.chunk(Vec::new(), Value::Null);
                    chunk["prompt_progress"] = json!({
                        "processed": done, "total": total, "cached": cached,
                        "prompt_index": index / self.n,
                    });
                    out.push_back(sse::data(&chunk));
                }
                return;
            }
            other => return self.states[index].note(other),
        };
        out.push_back(sse::data(&self.chunk(vec![choice], Value::Null)));
    }

    fn finish(&mut self, out: &mut Outbox) {
        if self.options.include_usage {
            out.push_back(sse::data(&self.chunk(Vec::new(), self.usage())));
        }
        out.push_back(sse::done());
    }

    fn fail(&mut self, error: ApiError, out: &mut Outbox) {
        out.push_back(sse::data(&error.body()));
        out.push_back(sse::done());
    }
}
