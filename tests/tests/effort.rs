//! Budgets, deadlines and the rest of effort on models that do as they are told.

use std::time::Duration;

use ponder_engine::{
    EarlyExit, Effort, EffortOverrides, Engine, Event, FinishReason, LoadOptions, Message,
    ReasoningEnd, Request, Summary, Weighing,
};
use ponder_tests::tiny;

struct Model {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn model(file: &[u8], prompt_lookup: bool) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, file).expect("a file");
    let options = LoadOptions {
        prompt_lookup,
        ..LoadOptions::default()
    };
    let engine = Engine::load(path.to_str().expect("UTF-8"), &options, &mut |_| {});
    Model {
        engine: engine.expect("a model"),
        _folder: folder,
    }
}

/// Distinct words, so that a thought of them is no loop.
fn words(n: usize) -> Vec<String> {
    (0..n).map(|i| format!(" w{i}.")).collect()
}

/// A model with a thought of `n` words that it does or does not close, and a short answer.
fn thinker(n: usize, closes: bool, prompt_lookup: bool) -> Model {
    let words = words(n);
    let thought: Vec<&str> = words.iter().map(String::as_str).collect();
    model(
        &tiny::thinking(&thought, closes, &["Par", "is", "!"]),
        prompt_lookup,
    )
}

fn ask(overrides: EffortOverrides) -> Request {
    let mut request = Request {
        messages: vec![Message::new("user", "?")],
        effort_overrides: overrides,
        ..Request::default()
    };
    request.sampling.temperature = Some(0.0);
    request
}

fn budget(think_tokens: usize) -> EffortOverrides {
    EffortOverrides {
        think_tokens: Some(think_tokens),
        ..EffortOverrides::default()
    }
}

#[derive(Debug)]
struct Answer {
    reasoning: String,
    content: String,
    end: Summary,
}

fn read(events: impl Iterator<Item = Result<Event, ponder_engine::EngineError>>) -> Answer {
    let (mut reasoning, mut content, mut end) = (String::new(), String::new(), None);
    for event in events {
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
    Answer {
        reasoning,
        content,
        end: end.expect("an end"),
    }
}

fn answer(model: &Model, request: Request) -> Answer {
    read(model.engine.generate(request).expect("a request"))
}

#[test]
fn a_budget_is_kept_and_an_answer_follows() {
    for prompt_lookup in [false, true] {
        let model = thinker(150, false, prompt_lookup);
        for tokens in [1, 2, 5, 10, 20, 40, 60, 80, 100] {
            let answer = answer(&model, ask(budget(tokens)));
            let used = answer.end.usage.reasoning_tokens;
            // A marker that is begun may take seven tokens of this vocabulary of letters.
            assert!(used <= tokens && used + 7 > tokens, "{tokens}: {used}");
            assert_eq!(answer.content, "Paris!", "{tokens}");
            assert_eq!(answer.end.reasoning_ended_by, Some(ReasoningEnd::Budget));
            assert_eq!(answer.end.finish_reason, FinishReason::Stop);
            // Twice the words of hand-over fit into the budget, or there are none.
            let hands_over = answer.reasoning.ends_with("I have to answer now.");
            assert_eq!(hands_over, tokens >= 60, "{tokens}: {}", answer.reasoning);
        }
    }
}

#[test]
fn the_answers_share_is_kept_without_a_budget() {
    let model = thinker(150, false, true);
    for max_tokens in [2, 3, 8, 40, 100] {
        let request = Request {
            max_tokens: Some(max_tokens),
            ..ask(EffortOverrides::default())
        };
        let answer = answer(&model, request);
        assert!(
            answer.content.starts_with("Par"),
            "{max_tokens}: {answer:?}"
        );
        assert!(answer.end.usage.completion_tokens <= max_tokens);
        let is_whole = answer.content == "Paris!";
        assert!(is_whole || max_tokens < 8, "{max_tokens}: {answer:?}");
    }
}

#[test]
fn none_has_no_thought() {
    let model = thinker(20, true, true);
    for (effort, overrides) in [
        (Some(Effort::None), EffortOverrides::default()),
        (Some(Effort::High), budget(0)),
        (None, budget(0)),
    ] {
        let request = Request {
            effort,
            ..ask(overrides)
        };
        let answer = answer(&model, request);
        assert_eq!(
            (answer.reasoning.as_str(), answer.content.as_str()),
            ("", "Paris!")
        );
        assert_eq!(answer.end.reasoning_ended_by, None);
        assert_eq!(answer.end.usage.reasoning_tokens, 0);
    }
}

#[test]
fn a_model_that_closes_its_thought_is_left_alone() {
    let model = thinker(20, true, true);
    let free = answer(&model, ask(EffortOverrides::default()));
    assert_eq!(free.end.reasoning_ended_by, Some(ReasoningEnd::Model));
    assert_eq!(free.end.usage.reasoning_tokens, 21);
    for effort in Effort::ALL.into_iter().skip(1) {
        let request = Request {
            effort: Some(effort),
            ..ask(EffortOverrides::default())
        };
        let answer = answer(&model, request);
        assert_eq!(answer.reasoning, free.reasoning);
        assert_eq!(answer.content, "Paris!");
    }
}

#[test]
fn an_answer_that_may_become_a_stop_text_is_one() {
    let model = thinker(5, true, true);
    let request = Request {
        stop: vec!["Paris! Not Rome".to_owned()],
        ..ask(EffortOverrides::default())
    };
    let answer = answer(&model, request);
    assert_eq!(answer.content, "Paris!");
    assert_eq!(answer.end.finish_reason, FinishReason::Stop);
}

#[test]
fn a_loop_is_ended() {
    let model = thinker(5, false, true);
    let answer = answer(&model, ask(EffortOverrides::default()));
    assert_eq!(answer.end.reasoning_ended_by, Some(ReasoningEnd::Loop));
    assert_eq!(answer.content, "Paris!");
    assert!(answer.end.usage.reasoning_tokens < 120);
}

#[test]
fn a_thought_that_is_too_short_goes_on() {
    let model = thinker(10, true, true);
    let overrides = EffortOverrides {
        think_min: Some(30),
        ..EffortOverrides::default()
    };
    let answer = answer(&model, ask(overrides));
    assert!(answer.end.usage.reasoning_tokens >= 30, "{answer:?}");
    assert!(answer.reasoning.contains("\nWait,"), "{answer:?}");
    assert_eq!(answer.content, "Paris!");
}

#[test]
fn time_is_a_limit_too() {
    let model = thinker(150, false, true);
    for overrides in [
        EffortOverrides {
            think_time: Some(Duration::from_nanos(1)),
            ..EffortOverrides::default()
        },
        EffortOverrides {
            deadline: Some(Duration::from_nanos(1)),
            ..EffortOverrides::default()
        },
    ] {
        let answer = answer(&model, ask(overrides));
        assert_eq!(answer.end.reasoning_ended_by, Some(ReasoningEnd::Deadline));
        assert!(answer.content.starts_with("Par"), "{answer:?}");
        let is_cut = answer.end.finish_reason == FinishReason::Deadline;
        assert_eq!(is_cut, overrides.deadline.is_some());
    }
}

#[test]
fn an_answer_can_be_had_now() {
    let model = thinker(150, false, true);
    let mut generation = model
        .engine
        .generate(ask(EffortOverrides::default()))
        .expect("a request");
    let canceller = generation.canceller();
    let begun = generation.find(|event| matches!(event, Ok(Event::Reasoning(_))));
    assert!(begun.is_some() && canceller.is_thinking());
    generation.answer_now();
    let answer = read(generation);
    assert_eq!(answer.content, "Paris!");
    // The whole budget of the context may have been used before it was asked.
    let end = answer.end.reasoning_ended_by;
    assert!(
        matches!(end, Some(ReasoningEnd::User | ReasoningEnd::Budget)),
        "{end:?}"
    );
    // Asked before anything was said, there is hardly a thought.
    let generation = model
        .engine
        .generate(ask(EffortOverrides::default()))
        .expect("a request");
    generation.answer_now();
    let answer = read(generation);
    assert_eq!(answer.content, "Paris!");
}

#[test]
fn rounds_of_a_turn_share_a_budget() {
    let model = thinker(150, false, true);
    let mut request = ask(budget(60));
    let mut round = Message::new("assistant", "calls a tool");
    round.reasoning = Some("x".repeat(38));
    request.messages.extend([round, Message::new("tool", "42")]);
    let counted = answer(&model, request.clone());
    assert!(counted.end.usage.reasoning_tokens <= 20, "{counted:?}");
    assert_eq!(counted.content, "Paris!");
    request.think_used = Some(0);
    let told = answer(&model, request.clone());
    assert!(told.end.usage.reasoning_tokens > 50, "{told:?}");
    request.think_used = Some(60);
    let none_left = answer(&model, request.clone());
    assert_eq!(none_left.end.usage.reasoning_tokens, 0);
    assert_eq!(none_left.content, "Paris!");
    // What the user says begins a turn.
    request.think_used = None;
    request.messages.push(Message::new("user", "?"));
    assert!(answer(&model, request).end.usage.reasoning_tokens > 50);
}

#[test]
fn several_answers_and_forks_keep_their_budgets() {
    let model = thinker(150, false, true);
    let many = model
        .engine
        .generate_many(ask(budget(80)), 3)
        .expect("a request");
    let mut threads = Vec::new();
    for mut generation in many {
        let fork = generation.fork(None).expect("a fork");
        let begun = generation.find(|event| matches!(event, Ok(Event::Reasoning(_))));
        assert!(begun.is_some());
        for generation in [generation, fork] {
            threads.push(std::thread::spawn(move || read(generation)));
        }
    }
    for thread in threads {
        let answer = thread.join().expect("an answer");
        assert!(answer.end.usage.reasoning_tokens <= 80, "{answer:?}");
        assert_eq!(answer.content, "Paris!");
    }
}

#[test]
fn drafts_change_nothing() {
    // A thought that repeats itself, so that drafts are right, with and without them.
    let (with, without) = (thinker(12, false, true), thinker(12, false, false));
    for tokens in [30, 62, 63, 64, 100] {
        let mut request = ask(EffortOverrides {
            loop_guard: Some(false),
            ..budget(tokens)
        });
        let first = answer(&with, request.clone());
        request.prompt_lookup = Some(false);
        let second = answer(&without, request);
        assert_eq!(
            (&first.reasoning, &first.content),
            (&second.reasoning, &second.content)
        );
        assert_eq!(
            first.end.usage.completion_tokens,
            second.end.usage.completion_tokens
        );
        assert_eq!(
            first.end.usage.reasoning_tokens,
            second.end.usage.reasoning_tokens
        );
    }
}

#[test]
fn answers_vote_and_the_winner_is_shown() {
    let model = thinker(20, true, true);
    let request = Request {
        effort_overrides: EffortOverrides {
            votes: Some(7),
            ..EffortOverrides::default()
        },
        ..ask(EffortOverrides::default())
    };
    let n = model.engine.votes(&request);
    assert_eq!(n, 7);
    let single = answer(&model, ask(EffortOverrides::default()));
    for weighing in [Weighing::Majority, Weighing::Confidence] {
        let voting = model
            .engine
            .vote(request.clone(), n, weighing)
            .expect("a request");
        let mut votes = None;
        let answer = read(voting.inspect(|event| {
            if let Ok(Event::Votes(summary)) = event {
                votes = Some(summary.clone());
            }
        }));
        assert_eq!(
            (&answer.reasoning, &answer.content),
            (&single.reasoning, &single.content)
        );
        let votes = votes.expect("a summary");
        assert_eq!(
            (votes.asked, votes.tally.len(), votes.agreement),
            (7, 1, 1.0)
        );
        assert_eq!(votes.tally[0].answer, "paris!");
        // Greedy answers are all the same; four of seven settle it at the latest.
        assert!((4..=7).contains(&votes.tally[0].votes), "{votes:?}");
        let usage = answer.end.usage;
        assert!(
            usage.completion_tokens >= 4 * single.end.usage.completion_tokens,
            "{usage:?}"
        );
        assert_eq!(usage.prompt_tokens, single.end.usage.prompt_tokens);
        assert!(answer.end.confidence > 0.0);
    }
}

#[test]
fn a_vote_can_be_left() {
    let model = thinker(150, false, true);
    let voting = model
        .engine
        .vote(ask(EffortOverrides::default()), 4, Weighing::Majority);
    let voting = voting.expect("a request");
    voting.canceller().cancel();
    let last = voting.last().expect("an end").expect("no error");
    assert!(matches!(last, Event::Done(_)), "{last:?}");
    // What was left is not computed any more, and the engine answers others.
    assert_eq!(answer(&model, ask(budget(20))).content, "Paris!");
}

#[test]
fn a_thought_ends_when_its_answer_is_settled() {
    // Every word is a paragraph, and every look ahead finds the same answer.
    let words: Vec<String> = (0..150).map(|i| format!(" w{i}\n\n")).collect();
    let thought: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = tiny::thinking(&thought, false, &["Par", "is", "!"]);
    for prompt_lookup in [false, true] {
        let model = model(&file, prompt_lookup);
        let plain = answer(&model, ask(EffortOverrides::default()));
        assert_eq!(plain.end.usage.probe_tokens, 0);
        for (exit, at_least, at_most) in [
            (EarlyExit::Confidence, 32, 45),
            (EarlyExit::Agreement, 96, 125),
            (EarlyExit::Entropy, 128, 150),
        ] {
            let overrides = EffortOverrides {
                early_exit: Some(exit),
                ..EffortOverrides::default()
            };
            let answer = answer(&model, ask(overrides));
            assert_eq!(
                answer.end.reasoning_ended_by,
                Some(ReasoningEnd::EarlyExit),
                "{exit:?}"
            );
            assert!(answer.end.usage.probe_tokens > 0, "{answer:?}");
            // Looking changes nothing of what is said.
            let thought = answer.reasoning.strip_suffix("I have to answer now.");
            let thought = thought.expect("words of hand-over").trim_end();
            assert!(plain.reasoning.starts_with(thought));
            let n_words = thought.split_whitespace().count();
            assert!(
                (at_least..=at_most).contains(&n_words),
                "{exit:?}: {n_words}"
            );
            assert_eq!(answer.content, "Paris!");
        }
    }
}

#[test]
fn words_that_begin_anew_are_breaks_too() {
    // One line of words, and then one that begins anew.
    let mut words = words(60);
    words.push(" Wait".to_owned());
    let thought: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = tiny::thinking(&thought, true, &["Par", "is", "!"]);
    let model = model(&file, true);
    let overrides = EffortOverrides {
        early_exit: Some(EarlyExit::Confidence),
        ..EffortOverrides::default()
    };
    let answer = answer(&model, ask(overrides));
    assert!(answer.end.usage.probe_tokens > 0, "{answer:?}");
    assert_eq!(answer.content, "Paris!");
}

#[test]
fn looks_ahead_do_not_disturb_others() {
    let words: Vec<String> = (0..150).map(|i| format!(" w{i}\n\n")).collect();
    let thought: Vec<&str> = words.iter().map(String::as_str).collect();
    let model = model(&tiny::thinking(&thought, false, &["Par", "is", "!"]), true);
    let looking = |exit| {
        ask(EffortOverrides {
            early_exit: Some(exit),
            ..budget(120)
        })
    };
    let alone = answer(&model, looking(EarlyExit::Agreement));
    let asked: Vec<_> = (0..20)
        .map(|_| {
            model
                .engine
                .generate(looking(EarlyExit::Agreement))
                .expect("a request")
        })
        .collect();
    let threads: Vec<_> = asked
        .into_iter()
        .map(|generation| std::thread::spawn(move || read(generation)))
        .collect();
    for thread in threads {
        let answer = thread.join().expect("an answer");
        assert_eq!(answer.content, "Paris!");
        // Where there is no place for a look, the thought goes on to its budget.
        assert!(answer.end.usage.reasoning_tokens <= 120);
        assert!(answer.reasoning.starts_with(&alone.reasoning[..100]));
    }
}

#[test]
fn whatever_a_model_says_budgets_hold_and_answers_come() {
    // At this temperature all tokens are about equally likely: halves of characters, markers, ends of
    // the turn.
    let model = thinker(20, true, true);
    let (mut n_budget, mut n_model) = (0, 0);
    for seed in 0..300 {
        let tokens = 1 + seed as usize * 7 % 90;
        let mut request = ask(EffortOverrides {
            think_min: (seed % 3 == 0).then_some(20),
            landing: (seed % 4 == 0).then_some(0.5),
            ..budget(tokens)
        });
        request.max_tokens = Some(120);
        request.sampling.temperature = Some(100.0);
        request.sampling.seed = Some(seed);
        let answer = answer(&model, request);
        let usage = answer.end.usage;
        assert!(
            usage.reasoning_tokens <= tokens,
            "{seed}: {tokens} {usage:?}"
        );
        assert!(!answer.content.is_empty(), "{seed}: {answer:?}");
        n_budget += usize::from(answer.end.reasoning_ended_by == Some(ReasoningEnd::Budget));
        n_model += usize::from(answer.end.reasoning_ended_by == Some(ReasoningEnd::Model));
    }
    assert!(n_budget > 30 && n_model > 30, "{n_budget} {n_model}");
}
