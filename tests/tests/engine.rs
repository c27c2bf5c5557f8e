//! The engine on a model that says what it is told.

use std::path::{Path, PathBuf};

use ponder_engine::{
    Content, Engine, EngineError, Event, FinishReason, LoadOptions, Message, RawPrompt,
    ReasoningEnd, Request, Summary,
};
use ponder_tests::tiny;

const THOUGHTFUL: &[&str] = &[
    "<think>", "\n\n", "Let", " me", " see", ".", "</think>", "Par", "is", "!",
];

struct Model {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn write(folder: &Path, file: &[u8]) -> PathBuf {
    let path = folder.join("tiny.gguf");
    std::fs::write(&path, file).expect("a file");
    path
}

fn model(script: &[&str]) -> Model {
    load(&tiny::scripted(script))
}

fn load(file: &[u8]) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), file);
    let engine = Engine::load(
        path.to_str().expect("UTF-8"),
        &LoadOptions::default(),
        &mut |_| {},
    )
    .expect("a model");
    Model {
        engine,
        _folder: folder,
    }
}

fn ask(text: &str) -> Request {
    Request {
        messages: vec![Message::new("user", text)],
        ..Request::default()
    }
}

/// Reasoning, content, the end.
fn answer(engine: &Engine, request: Request) -> (String, String, Summary) {
    let (mut reasoning, mut content, mut end) = (String::new(), String::new(), None);
    for event in engine.generate(request).expect("a request") {
        match event.expect("an event") {
            Event::Reasoning(text) => reasoning.push_str(&text),
            Event::Content(text) => content.push_str(&text),
            Event::Done(summary) => end = Some(summary),
            Event::PromptProgress { .. }
            | Event::ToolCall(_)
            | Event::Votes(_)
            | Event::Token(_) => {}
        }
    }
    (reasoning, content, end.expect("an end"))
}

#[test]
fn thinking_and_answer_are_told_apart_and_counted() {
    let model = model(THOUGHTFUL);
    let (reasoning, content, end) = answer(&model.engine, ask("Capital of France?"));
    assert_eq!(
        (reasoning.trim(), content.trim()),
        ("Let me see.", "Paris!")
    );
    assert_eq!(
        (end.finish_reason, end.reasoning_ended_by),
        (FinishReason::Stop, Some(ReasoningEnd::Model))
    );
    // Seven tokens from the open marker to the close marker, three of answer, one that ends the turn.
    assert_eq!(
        (end.usage.reasoning_tokens, end.usage.completion_tokens),
        (7, 11)
    );
    let timings = end.timings;
    assert!(
        timings.load_s > 0.0
            && timings.ttft_s > 0.0
            && timings.prefill_tps > 0.0
            && timings.decode_tps > 0.0
    );
    assert!(timings.ttfo_s.expect("an answer") >= timings.ttft_s);
}

#[test]
fn a_second_turn_does_not_compute_the_first_again() {
    let model = model(&["Par", "is"]);
    let (_, content, first) = answer(&model.engine, ask("Capital of France?"));
    assert_eq!(first.usage.cached_tokens, 0);
    let mut request = ask("Capital of France?");
    request.messages.push(Message::new("assistant", content));
    request.messages.push(Message::new("user", "Sure?"));
    let (_, again, second) = answer(&model.engine, request);
    assert_eq!(again, "Paris");
    assert!(
        second.usage.cached_tokens >= first.usage.prompt_tokens,
        "{second:?}"
    );
    // An unrelated question shares no more than the turn's opening.
    let (_, _, third) = answer(&model.engine, ask("Zebras?"));
    assert!(third.usage.cached_tokens < 10, "{third:?}");
}

#[test]
fn limits_end_an_answer_and_say_so() {
    let file = tiny::thinking(&["Let", " me", " see", "."], true, &["Par", "is", "!"]);
    let model = load(&file);
    let limited = |max_tokens| {
        answer(
            &model.engine,
            Request {
                max_tokens: Some(max_tokens),
                ..ask("?")
            },
        )
    };
    // The thought is closed at once, and what is left is the answer's.
    let (reasoning, content, end) = limited(4);
    assert_eq!((reasoning.as_str(), content.as_str()), ("", "Paris!"));
    assert_eq!(
        (end.finish_reason, end.reasoning_ended_by),
        (FinishReason::Length, Some(ReasoningEnd::Budget))
    );
    assert_eq!(end.usage.completion_tokens, 4);
    let (reasoning, content, end) = limited(30);
    assert_eq!(
        (reasoning.as_str(), content.as_str()),
        ("Let me see.", "Paris!")
    );
    assert_eq!(
        (end.finish_reason, end.reasoning_ended_by),
        (FinishReason::Stop, Some(ReasoningEnd::Model))
    );
}

#[test]
fn stop_texts_are_found_across_tokens_and_left_out() {
    let model = model(&["one", " tw", "o th", "ree", " four"]);
    let (_, content, end) = answer(
        &model.engine,
        Request {
            stop: vec!["two three".into()],
            ..ask("?")
        },
    );
    assert_eq!(
        (content.as_str(), end.finish_reason),
        ("one ", FinishReason::Stop)
    );
}

#[test]
fn cancelling_ends_with_a_summary_and_the_engine_lives_on() {
    let model = model(THOUGHTFUL);
    let mut generation = model.engine.generate(ask("?")).expect("a request");
    let canceller = generation.canceller();
    let first = generation.find(|event| matches!(event, Ok(Event::Reasoning(_))));
    assert!(first.is_some());
    canceller.cancel();
    let end = generation.last().expect("an end").expect("no error");
    let Event::Done(summary) = end else {
        panic!("{end:?}")
    };
    // The whole answer may have been on its way already.
    assert!(
        matches!(
            summary.finish_reason,
            FinishReason::Cancelled | FinishReason::Stop
        ),
        "{summary:?}"
    );
    drop(model.engine.generate(ask("dropped")).expect("a request"));
    let (_, content, _) = answer(&model.engine, ask("?"));
    assert_eq!(content.trim(), "Paris!");
}

#[test]
fn what_is_wrong_with_a_request_is_said_before_anything_runs() {
    let model = model(&["yes"]);
    let error = |request| match model.engine.generate(request) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("the request was taken"),
    };
    assert!(error(Request::default()).contains("no messages"));
    let long = error(ask(&"x".repeat(400)));
    assert!(
        long.contains("the context holds 256") && long.contains("hint:"),
        "{long}"
    );
    let mut hot = ask("?");
    hot.sampling.temperature = Some(f32::NAN);
    assert!(error(hot).contains("temperature"));
}

#[test]
fn what_is_wrong_with_a_model_is_said_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = |path: &Path, options: &LoadOptions| -> EngineError {
        Engine::load(path.to_str().expect("UTF-8"), options, &mut |_| {}).expect_err("no model")
    };
    let absent = load(&folder.path().join("absent.gguf"), &LoadOptions::default()).to_string();
    assert!(absent.contains("absent.gguf"), "{absent}");
    let path = write(folder.path(), &tiny::scripted(&["yes"]));
    let wide = load(
        &path,
        &LoadOptions {
            context: Some(10_000),
            ..LoadOptions::default()
        },
    )
    .to_string();
    assert!(wide.contains("10000") && wide.contains("256"), "{wide}");
    let whole = std::fs::read(&path).expect("a file");
    std::fs::write(&path, &whole[..whole.len() - 100]).expect("a file");
    let cut = load(&path, &LoadOptions::default()).to_string();
    assert!(cut.contains("tiny.gguf") && cut.contains("hint:"), "{cut}");
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let model = model(&["a", "b"]);
    let hot = |seed| {
        let mut request = Request {
            max_tokens: Some(30),
            ..ask("?")
        };
        // At this temperature all tokens are about equally likely.
        request.sampling.temperature = Some(100.0);
        request.sampling.seed = Some(seed);
        answer(&model.engine, request).1
    };
    assert_eq!(hot(1), hot(1));
    assert_ne!(hot(1), hot(2));
}

#[test]
fn messages_reach_the_template_with_their_content() {
    let model = model(&["yes"]);
    let message = Message {
        content: Some(Content::Text("hi".into())),
        ..Message::new("user", "")
    };
    let (_, _, end) = answer(
        &model.engine,
        Request {
            messages: vec![message],
            ..Request::default()
        },
    );
    // <|im_start|> user \n hi <|im_end|> \n <|im_start|> assistant \n, letters one by one
    assert_eq!(end.usage.prompt_tokens, 1 + 4 + 1 + 2 + 1 + 1 + 1 + 9 + 1);
}

#[test]
fn an_end_is_ignored_where_only_the_length_counts() {
    let model = model(THOUGHTFUL);
    let request = Request {
        max_tokens: Some(50),
        ignore_eos: true,
        ..ask("Capital of France?")
    };
    let (_, _, end) = answer(&model.engine, request);
    assert_eq!(
        (end.finish_reason, end.usage.completion_tokens),
        (FinishReason::Length, 50)
    );
}

#[test]
fn what_was_computed_before_is_used_unless_that_is_not_wanted() {
    let model = model(THOUGHTFUL);
    let text = "The same beginning, long enough for a block of the cache. ".repeat(4);
    let cached = |prefix_cache| {
        let request = Request {
            prefix_cache,
            ..ask(&text)
        };
        let ids = model.engine.render(&request).expect("a prompt").ids;
        let (_, _, end) = answer(&model.engine, request);
        assert_eq!(end.usage.prompt_tokens, ids.len());
        end.usage.cached_tokens
    };
    assert_eq!([Some(false), None, Some(false)].map(cached), [0, 0, 0]);
    assert!(cached(None) > 100);
    assert_eq!(cached(Some(false)), 0);
}

#[test]
fn a_raw_prompt_is_continued_as_it_is() {
    let model = model(&["<think>", "Par", "is"]);
    let raw = |prompt| Request {
        raw_prompt: Some(prompt),
        ..Request::default()
    };
    let (reasoning, content, end) =
        answer(&model.engine, raw(RawPrompt::Text("Capital?\n".into())));
    assert_eq!((reasoning.as_str(), content.as_str()), ("", "<think>Paris"));
    assert_eq!(
        end.usage.prompt_tokens, 9,
        "letters one by one, and nothing around them"
    );
    let ids = model.engine.encode("Capital?\n", false).expect("ids");
    assert_eq!(model.engine.decode(&ids), "Capital?\n");
    let (_, again, _) = answer(&model.engine, raw(RawPrompt::Ids(ids)));
    assert_eq!(again, content);
    let error = |prompt| {
        model
            .engine
            .generate(raw(prompt))
            .map(drop)
            .expect_err("no answer")
    };
    assert!(matches!(
        error(RawPrompt::Ids(Vec::new())),
        EngineError::EmptyPrompt
    ));
    assert!(
        error(RawPrompt::Ids(vec![1_000_000]))
            .to_string()
            .contains("1000000")
    );
}

#[test]
fn tokens_are_reported_where_that_is_asked_for() {
    let model = model(THOUGHTFUL);
    let mut request = Request {
        report_tokens: true,
        ..ask("Capital of France?")
    };
    request.sampling.logprobs = Some(2);
    let (mut text, mut said) = ([String::new(), String::new()], String::new());
    for event in model.engine.generate(request).expect("a request") {
        match event.expect("an event") {
            Event::Token(report) => {
                assert_eq!(report.top.len(), 2);
                assert_eq!(report.top[0], report.token, "each word is the likeliest");
                assert!(
                    report.token.logprob < 0.0 && report.top[1].logprob < report.top[0].logprob
                );
                let bytes = String::from_utf8(report.token.bytes).expect("text");
                text[usize::from(report.is_reasoning)] += &bytes;
            }
            Event::Content(piece) => {
                said += &piece;
                assert!(text[0].ends_with(&said), "a token comes before its text");
            }
            _ => {}
        }
    }
    assert_eq!(text[0], said);
    assert_eq!(
        (said.as_str(), text[1].as_str()),
        ("Paris!", "<think>\n\nLet me see.</think>")
    );
}

#[test]
fn no_more_wait_than_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), &tiny::scripted(&["a", "b"]));
    let options = LoadOptions {
        max_sequences: 1,
        max_waiting: Some(1),
        ..LoadOptions::default()
    };
    let engine = Engine::load(path.to_str().expect("UTF-8"), &options, &mut |_| {});
    let engine = engine.expect("a model");
    let endless = || Request {
        ignore_eos: true,
        ..ask("?")
    };
    let (first, second) = (engine.generate(endless()), engine.generate(endless()));
    let busy = engine.generate(endless()).map(drop).expect_err("no room");
    assert!(
        matches!(busy, EngineError::Busy { waiting: 1 | 2 }),
        "{busy}"
    );
    let occupancy = engine.occupancy();
    assert_eq!(occupancy.running + occupancy.waiting, 2);
    drop((first, second));
    let is_idle = || {
        let now = engine.occupancy();
        now.running + now.waiting + now.cache_tokens_used == 0
    };
    let since = std::time::Instant::now();
    while !is_idle() {
        assert!(since.elapsed().as_secs() < 20, "{:?}", engine.occupancy());
        std::thread::yield_now();
    }
    assert!(engine.occupancy().cache_tokens >= 256);
}

#[test]
fn an_answer_can_be_polled() {
    let model = model(THOUGHTFUL);
    let mut generation = model.engine.generate(ask("?")).expect("a request");
    let mut content = String::new();
    loop {
        let next = std::future::poll_fn(|context| generation.poll_next(context));
        match wait_for(next) {
            Some(Ok(Event::Content(text))) => content += &text,
            Some(event) => drop(event.expect("an event")),
            None => break,
        }
    }
    assert_eq!(content, "Paris!");
}

/// Waits for a future in this thread.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
