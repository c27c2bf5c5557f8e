//! A model on a device, which draws tokens from logits that do not come back: what it says is what it
//! says where the processor draws, of the same logits.

use super::*;
use crate::{Device, EffortOverrides, Format, SamplingOverrides, TokenReport};

/// Two engines, of which the second draws on the processor. Each has a model of its own, so that what
/// others ask for at the same time changes no step of it.
struct Both([Engine; 2]);

impl Both {
    fn load() -> Self {
        let options = LoadOptions {
            device: Device::EMULATED,
            context: Some(512),
            cache_tokens: Some(1024),
            prompt_lookup: false,
            ..LoadOptions::default()
        };
        let load = || load::load("default", &options, &mut |_| {}).expect("the model");
        let mut plain = load();
        plain.model = Box::new(Slow {
            inner: plain.model,
            log: Log::default(),
        });
        Self([load(), plain].map(|loaded| Engine::start(loaded, &options)))
    }

    /// What both say.
    fn say(&self, request: &Request) -> Said {
        let [got, want] = self.0.each_ref().map(|engine| {
            let events = engine.generate(request.clone()).expect("a request");
            said(events)
        });
        assert_eq!(got, want);
        got
    }
}

/// Reasoning, content, tokens with their probabilities, and the end.
type Said = (String, String, Vec<TokenReport>, String);

fn said(events: Generation) -> Said {
    let (mut reasoning, mut content, mut end) = (String::new(), String::new(), None);
    let mut tokens = Vec::new();
    for event in events {
        match event.expect("an event") {
            Event::Reasoning(text) => reasoning.push_str(&text),
            Event::Content(text) => content.push_str(&text),
            Event::Token(token) => tokens.push(token),
            Event::Done(summary) => end = Some(summary),
            _ => {}
        }
    }
    let Summary {
        finish_reason,
        reasoning_ended_by,
        usage,
        confidence,
        ..
    } = end.expect("an end");
    let end = format!("{finish_reason:?} {reasoning_ended_by:?} {usage:?} {confidence:?}");
    (reasoning, content, tokens, end)
}

fn ask(sampling: SamplingOverrides) -> Request {
    Request {
        messages: vec![ChatMessage::new("user", "What is 17 + 25?")],
        sampling,
        max_tokens: Some(24),
        prefix_cache: Some(false),
        ..Request::default()
    }
}

/// So hot that every text is another one.
fn hot(seed: u64) -> SamplingOverrides {
    SamplingOverrides {
        seed: Some(seed),
        temperature: Some(4.0),
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.0),
        ..SamplingOverrides::default()
    }
}

#[test]
fn texts_are_the_same_whoever_draws() {
    let both = Both::load();
    let greedy = SamplingOverrides {
        temperature: Some(0.0),
        ..SamplingOverrides::default()
    };
    let usual = SamplingOverrides {
        top_k: Some(20),
        top_p: Some(0.9),
        ..hot(2)
    };
    let wide = SamplingOverrides {
        top_p: Some(0.99),
        min_p: Some(0.01),
        temperature: Some(2.0),
        ..hot(3)
    };
    let penalized = SamplingOverrides {
        repetition_penalty: Some(1.3),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(0.2),
        dry_multiplier: Some(0.8),
        logit_bias: Some(vec![(300, 4.0), (301, -100.0), (300, 0.5)]),
        ..hot(1)
    };
    let all = [greedy, hot(1), penalized, usual, wide];
    let mut texts: Vec<_> = all.map(|sampling| both.say(&ask(sampling))).into();
    texts.dedup();
    assert_eq!(texts.len(), 5, "{texts:?}");
}

#[test]
fn the_likeliest_text_is_the_processors() {
    let options = |device| LoadOptions {
        device,
        context: Some(512),
        cache_tokens: Some(1024),
        ..LoadOptions::default()
    };
    let [device, processor] = [Device::EMULATED, Device::Cpu].map(|device| {
        let options = options(device);
        let engine = Engine::load("default", &options, &mut |_| {}).expect("the model");
        let greedy = SamplingOverrides {
            temperature: Some(0.0),
            ..SamplingOverrides::default()
        };
        let request = Request {
            max_tokens: Some(60),
            ..ask(greedy)
        };
        said(engine.generate(request).expect("a request"))
    });
    assert_eq!(device, processor);
    assert!(device.1.contains("42"), "{device:?}");
}

#[test]
fn budgets_and_formats_are_kept_whoever_draws() {
    let both = Both::load();
    for think_tokens in [0, 12] {
        let request = Request {
            format: Format::Regex("[0-9]{3}-[a-z]{4}".to_owned()),
            effort_overrides: EffortOverrides {
                think_tokens: Some(think_tokens),
                landing: Some(0.3),
                ..EffortOverrides::default()
            },
            ..ask(hot(5))
        };
        let (reasoning, content, _, end) = both.say(&request);
        assert_eq!(reasoning.is_empty(), think_tokens == 0, "{reasoning}");
        let (digits, letters) = content.split_once('-').expect("the format");
        assert_eq!((digits.len(), letters.len()), (3, 4), "{content} {end}");
    }
}

#[test]
fn probabilities_and_several_answers_are_the_same_whoever_draws() {
    let both = Both::load();
    let request = Request {
        report_tokens: true,
        max_tokens: Some(12),
        sampling: SamplingOverrides {
            logprobs: Some(20),
            ..hot(7)
        },
        ..ask(hot(7))
    };
    let [got, want] = both.0.each_ref().map(|engine| {
        let all = engine.generate_many(request.clone(), 3).expect("answers");
        all.into_iter().map(said).collect::<Vec<_>>()
    });
    assert_eq!(got, want);
    assert!(got[0] != got[1] && got[1] != got[2], "{got:?}");
    for (_, _, tokens, end) in &got {
        assert!(tokens.iter().any(|token| token.top.len() == 20), "{end}");
    }
}
