//! Many answers at once, as an edge sees them.

use std::time::{Duration, Instant};

use ponder_engine::{
    Engine, EngineError, Event, FinishReason, Generation, LoadOptions, Message, Request, Summary,
};
use ponder_tests::tiny;

fn load(file: &[u8], options: &LoadOptions) -> Engine {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, file).expect("a file");
    // The mapped file outlives its name.
    Engine::load(path.to_str().expect("UTF-8"), options, &mut |_| {}).expect("a model")
}

fn babbling(options: &LoadOptions) -> Engine {
    load(&tiny::babbling(), options)
}

fn ask(text: &str, seed: u64, max_tokens: usize) -> Request {
    let mut request = Request {
        messages: vec![Message::new("user", text)],
        max_tokens: Some(max_tokens),
        ..Request::default()
    };
    request.sampling.seed = Some(seed);
    request.sampling.temperature = Some(1.0);
    request
}

fn read(generation: Generation) -> (String, Summary) {
    let (mut text, mut end) = (String::new(), None);
    for event in generation {
        match event.expect("an event") {
            Event::Reasoning(piece) | Event::Content(piece) => text.push_str(&piece),
            Event::Done(summary) => end = Some(summary),
            Event::PromptProgress { .. }
            | Event::ToolCall(_)
            | Event::Votes(_)
            | Event::Token(_) => {}
        }
    }
    (text, end.expect("an end"))
}

fn answer(engine: &Engine, request: Request) -> (String, Summary) {
    read(engine.generate(request).expect("a request"))
}

#[test]
fn sixty_four_at_once_say_what_each_says_alone() {
    let one = babbling(&LoadOptions {
        max_sequences: 1,
        prompt_lookup: false,
        ..LoadOptions::default()
    });
    let many = babbling(&LoadOptions {
        max_sequences: 64,
        ..LoadOptions::default()
    });
    let request = |i: u64| ask(&"abc ".repeat(1 + i as usize % 7), i, 40);
    let generations: Vec<_> = (0..64)
        .map(|i| many.generate(request(i)).expect("a request"))
        .collect();
    let mut texts = Vec::new();
    for (i, generation) in (0..).zip(generations) {
        let (text, end) = read(generation);
        let (alone, _) = answer(&one, request(i));
        assert_eq!(text, alone, "request {i}");
        assert_eq!(end.usage.completion_tokens, 40);
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 64, "the model does not always say the same");
}

#[test]
fn requests_are_answered_side_by_side() {
    let engine = babbling(&LoadOptions::default());
    let mut long = engine.generate(ask("long", 1, 200)).expect("a request");
    let began = long.find(|event| matches!(event, Ok(Event::Content(_))));
    assert!(began.is_some());
    let (_, short) = answer(&engine, ask("short", 2, 3));
    assert_eq!(short.finish_reason, FinishReason::Length);
    // The long answer has a reader that was away meanwhile, so it rested.
    let (_, end) = read(long);
    assert_eq!(end.usage.completion_tokens, 200);
}

#[test]
fn drafts_change_no_text() {
    let engine = babbling(&LoadOptions::default());
    for seed in 0..5 {
        let mut request = ask("la la la la la la la la", seed, 100);
        request.sampling.temperature = Some(if seed == 0 { 0.0 } else { 0.3 });
        let (drafted, _) = answer(&engine, request.clone());
        request.prompt_lookup = Some(false);
        let (plain, _) = answer(&engine, request);
        assert_eq!(drafted, plain);
    }
}

#[test]
fn several_answers_share_a_prompt() {
    let engine = babbling(&LoadOptions::default());
    let request = ask("a question with some length to it", 5, 20);
    let generations = engine.generate_many(request.clone(), 4).expect("a request");
    let texts: Vec<_> = generations.into_iter().map(|one| read(one).0).collect();
    assert_eq!(texts[0], answer(&engine, request.clone()).0);
    for (i, text) in texts.iter().enumerate() {
        assert!(!texts[..i].contains(text), "each draws for itself");
    }
    let again = engine.generate_many(request, 4).expect("a request");
    let again: Vec<_> = again.into_iter().map(|one| read(one).0).collect();
    assert_eq!(texts, again, "and the same every time");
}

#[test]
fn a_fork_goes_on_from_where_the_answer_is() {
    let engine = babbling(&LoadOptions::default());
    let request = ask("a question", 5, 100);
    let mut first = engine.generate(request.clone()).expect("a request");
    let mut before = String::new();
    while before.len() < 30 {
        if let Some(Ok(Event::Content(text))) = first.next() {
            before.push_str(&text);
        }
    }
    // Its reader pauses, so the answer is not over.
    let [same, other] = [5, 6].map(|seed| first.fork(Some(seed)).expect("a worker"));
    let (rest, end) = read(first);
    let whole = before + &rest;
    let (other, other_end) = read(other);
    assert!(!whole.ends_with(&other), "another seed, another text");
    // The fork has counted what came before it.
    assert_eq!(other_end.usage, end.usage);
    assert!(other.len() < whole.len());
    drop(same);
    let ended = engine.generate(request).expect("a request");
    let canceller = ended.canceller();
    canceller.cancel();
    std::thread::sleep(Duration::from_millis(50));
    let mut fork = ended.fork(None).expect("a worker");
    assert!(matches!(fork.next(), Some(Err(EngineError::Ended))));
    assert!(fork.next().is_none());
}

#[test]
fn more_than_fit_wait_for_their_turn() {
    let engine = babbling(&LoadOptions {
        max_sequences: 2,
        // Room for little more than one answer.
        cache_tokens: Some(256),
        ..LoadOptions::default()
    });
    let generations: Vec<_> = (0..6)
        .map(|i| engine.generate(ask("question", i, 120)).expect("a request"))
        .collect();
    let alone = babbling(&LoadOptions::default());
    for (i, generation) in (0..).zip(generations) {
        let (text, end) = read(generation);
        assert_eq!(text, answer(&alone, ask("question", i, 120)).0);
        assert_eq!(end.usage.completion_tokens, 120);
    }
}

#[test]
fn the_time_in_the_queue_counts_as_time_to_first_token() {
    let engine = babbling(&LoadOptions {
        max_sequences: 1,
        prompt_lookup: false,
        ..LoadOptions::default()
    });
    // Few enough events that the first answer never waits for its reader and gives way.
    let n = 40;
    let before = Instant::now();
    let first = engine.generate(ask("first", 1, n)).expect("a request");
    let second = engine.generate(ask("second", 2, n)).expect("a request");
    let both_asked_s = before.elapsed().as_secs_f64();
    let (first, second) = (read(first).1.timings, read(second).1.timings);
    let first_took_s = first.ttft_s + (n - 1) as f64 / first.decode_tps;
    assert!(
        both_asked_s + second.ttft_s >= first_took_s,
        "{both_asked_s} s, then {second:?} after {first:?}"
    );
}

#[test]
fn cancelling_reaches_answers_that_wait_or_rest() {
    let engine = babbling(&LoadOptions {
        max_sequences: 1,
        ..LoadOptions::default()
    });
    let resting = engine.generate(ask("one", 1, 200)).expect("a request");
    let waiting = engine.generate(ask("two", 2, 200)).expect("a request");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    for one in [&waiting, &resting] {
        one.canceller().cancel();
    }
    for generation in [waiting, resting] {
        let (_, end) = read(generation);
        assert_eq!(end.finish_reason, FinishReason::Cancelled);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}
