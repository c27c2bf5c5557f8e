//! The engine in this process, asked as any program asks it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ponder_engine::{Effort, Engine, EngineError, Event, Message, Request, SamplingOverrides};
use ponder_figures::Random;

use crate::prompt::{Prompt, fit};
use crate::stop::Stop;
use crate::target::{Answered, Arrival, Ask, Target};
use crate::{BenchError, Case};

/// Two ways for a text to go on that have no beginning in common.
const ENDS: [&str; 2] = [" one two", " five six"];

/// Beginnings by depth, slot and level.
type Prefixes = BTreeMap<(usize, usize, Option<Effort>), String>;

pub(crate) struct Local<'a> {
    engine: &'a Engine,
    sampling: SamplingOverrides,
    with_prompt_lookup: bool,
    seed: u64,
    stop: &'a Stop,
    prefixes: Mutex<Prefixes>,
}

impl<'a> Local<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        sampling: &SamplingOverrides,
        with_prompt_lookup: bool,
        seed: u64,
        stop: &'a Stop,
    ) -> Self {
        Self {
            engine,
            sampling: SamplingOverrides {
                seed: sampling.seed.or(Some(seed)),
                ..sampling.clone()
            },
            with_prompt_lookup,
            seed,
            stop,
            prefixes: Mutex::default(),
        }
    }

    fn request(&self, text: &str, effort: Option<Effort>) -> Request {
        Request {
            messages: vec![Message::new("user", text)],
            sampling: self.sampling.clone(),
            effort,
            prompt_lookup: Some(self.with_prompt_lookup),
            ignore_eos: true,
            ..Request::default()
        }
    }

    /// The request that is timed.
    pub(crate) fn request_of(&self, ask: &Ask) -> Request {
        Request {
            max_tokens: Some(ask.max_tokens),
            prefix_cache: Some(ask.uses_prefix_cache),
            ..self.request(&ask.text, ask.effort)
        }
    }

    fn ids(&self, text: &str, effort: Option<Effort>) -> Result<Vec<u32>, EngineError> {
        Ok(self.engine.render(&self.request(text, effort))?.ids)
    }

    /// A text that is as many tokens, with what the template writes before it, as the case is deep,
    /// however it goes on.
    fn prefix(&self, case: &Case, slot: usize) -> Result<String, BenchError> {
        let key = (case.depth, slot, case.effort);
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = prefixes.get(&key) {
            return Ok(known.clone());
        }
        let mut random = Random::new(self.seed ^ (0x5eed << 32) ^ slot as u64);
        let text = fit("", case.depth, &mut random, |text| {
            let ids = |end| self.ids(&format!("{text}{end}"), case.effort);
            let [one, other] = [ids(ENDS[0])?, ids(ENDS[1])?];
            let same = one.iter().zip(&other).take_while(|(a, b)| a == b);
            Ok::<_, EngineError>(same.count())
        })?;
        let text = match text {
            Some(text) => text,
            None => return Err(self.too_short(case.depth, case.effort)?),
        };
        prefixes.insert(key, text.clone());
        Ok(text)
    }

    fn too_short(&self, wanted: usize, effort: Option<Effort>) -> Result<BenchError, EngineError> {
        let least = self.ids("time", effort)?.len();
        Ok(BenchError::PromptTooShort { wanted, least })
    }
}

impl Target for Local<'_> {
    fn prompt(&self, case: &Case, slot: usize, number: u64) -> Result<Prompt, BenchError> {
        let target = case.depth + case.prompt_tokens;
        let context = self.engine.model().context;
        if target >= context {
            return Err(BenchError::PromptTooLong {
                wanted: target + 1,
                context,
            });
        }
        let prefix = match case.depth {
            0 => String::new(),
            _ => self.prefix(case, slot)?,
        };
        let mut random = Random::new(self.seed.wrapping_add(number));
        let text = fit(&prefix, target, &mut random, |text| {
            Ok::<_, EngineError>(self.ids(text, case.effort)?.len())
        })?;
        match text {
            Some(text) => Ok(Prompt { prefix, text }),
            None => Err(self.too_short(case.prompt_tokens, case.effort)?),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    fn ask(&self, ask: &Ask) -> Result<Answered, String> {
        let request = self.request_of(ask);
        let mut arrivals = Vec::with_capacity(ask.max_tokens);
        let asked = Instant::now();
        let answer = self.engine.generate(request);
        for event in answer.map_err(|error| error.to_string())? {
            let at_s = asked.elapsed().as_secs_f64();
            if self.stop.is_set() {
                return Err("it was stopped".to_owned());
            }
            match event.map_err(|error| error.to_string())? {
                Event::Reasoning(text) if text.is_empty() => {}
                Event::Reasoning(_) => arrivals.push(Arrival {
                    at_s,
                    is_output: false,
                }),
                Event::Content(_) | Event::ToolCall(_) => arrivals.push(Arrival {
                    at_s,
                    is_output: true,
                }),
                Event::Done(summary) => {
                    let usage = summary.usage;
                    return Ok(Answered {
                        arrivals,
                        latency_s: at_s,
                        prompt_tokens: usage.prompt_tokens,
                        cached_tokens: Some(usage.cached_tokens),
                        completion_tokens: usage.completion_tokens,
                        reasoning_tokens: usage.reasoning_tokens,
                        engine: Some(summary.timings),
                        server: None,
                    });
                }
                Event::PromptProgress { .. } | Event::Votes(_) | Event::Token(_) => {}
            }
        }
        Err("the answer has no end".to_owned())
    }
}
