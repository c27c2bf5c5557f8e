//! Models that misbehave in one way each, and the ways in which a thought is ended from outside.

use std::time::Duration;

use ponder_effort::control::{AnswerEnd, Limits, Phase, ThinkingEnd};

use super::support::*;

fn limits(max_tokens: usize, think_tokens: Option<usize>) -> Limits {
    Limits {
        max_tokens,
        answer_tokens: max_tokens / 4,
        think_tokens,
        ..Limits::default()
    }
}

/// Thinks in pieces of text, then answers and stops.
fn thinks(vocabulary: &Vocabulary, thought: &str, n_times: usize) -> impl Model + use<> {
    let mut thought: Vec<u32> = vocabulary.encode(&thought.repeat(n_times));
    thought.reverse();
    let mut answer: Vec<u32> = vocabulary.encode("Answer.");
    answer.reverse();
    let stop = vocabulary.stop;
    move |text: &Text| {
        let script = match text.place().in_thought {
            true => &mut thought,
            false => &mut answer,
        };
        vec![script.pop().unwrap_or(stop)]
    }
}

/// A long thought that does not repeat itself.
fn long(n_words: usize) -> String {
    (0..n_words).map(|n| format!("word {n}. ")).collect()
}

#[test]
fn one_that_never_stops_thinking() {
    for spelling in [Spelling::Whole, Spelling::Pieces] {
        let vocabulary = Vocabulary::new(spelling);
        for budget in [40, 63, 100, 200] {
            let mut model = thinks(&vocabulary, &long(200), 1);
            let outcome = run(&vocabulary, &mut model, limits(400, Some(budget)), true);
            let place = outcome.text.place();
            assert_eq!(outcome.ended_by, Some(ThinkingEnd::Budget));
            assert!(
                place.thought_tokens <= budget && place.thought_tokens + 3 >= budget,
                "{budget}: {place:?}"
            );
            assert_eq!(outcome.content(), "Answer.");
            assert!(outcome.is_stopped && outcome.text.n_closed == 1);
            let text = String::from_utf8(outcome.text.bytes).expect("text");
            assert!(text.contains(&format!("{HAND_OVER}{CLOSE}\n\n")), "{text}");
        }
        // Without a budget, the answer's share of all tokens is kept.
        let mut model = thinks(&vocabulary, &long(200), 1);
        let outcome = run(&vocabulary, &mut model, limits(200, None), true);
        assert_eq!(
            (outcome.ended_by, outcome.content().as_str()),
            (Some(ThinkingEnd::Budget), "Answer.")
        );
    }
}

#[test]
fn small_budgets_have_no_words_of_hand_over() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    for budget in 1..20 {
        let mut model = thinks(&vocabulary, &long(50), 1);
        let outcome = run(&vocabulary, &mut model, limits(100, Some(budget)), true);
        assert!(outcome.text.place().thought_tokens <= budget);
        assert_eq!(outcome.content(), "Answer.");
        assert!(!String::from_utf8_lossy(&outcome.text.bytes).contains(HAND_OVER));
    }
}

#[test]
fn one_that_loops() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    for period in 1..=64usize {
        // Tokens by number, so that the period is one of tokens.
        let looping: String = (0..period)
            .map(|i| char::from(b'0' + (i % 75) as u8))
            .filter(|c| *c != '<')
            .collect();
        let n = looping.len();
        let mut model = thinks(&vocabulary, &looping, 2000 / n);
        let outcome = run(&vocabulary, &mut model, limits(1500, None), true);
        assert_eq!(outcome.ended_by, Some(ThinkingEnd::Loop), "period {period}");
        assert_eq!((outcome.content().as_str(), outcome.end), ("Answer.", None));
        let spent = outcome.text.place().thought_tokens;
        assert!(
            spent <= n + (3 * n).max(63) + 20,
            "period {period}: {spent}"
        );
        // The same in an answer.
        let mut at = 0;
        let mut model = |_: &Text| {
            at += 1;
            vec![u32::from(looping.as_bytes()[at % n])]
        };
        let outcome = run(&vocabulary, &mut model, limits(1500, None), false);
        assert_eq!(
            (outcome.end, outcome.ended_by),
            (Some(AnswerEnd::Loop), None)
        );
        assert!(outcome.tokens.len() <= n + (7 * n).max(240) + 2);
    }
}

#[test]
fn one_that_ignores_the_close_marker() {
    // It goes on as if it still thought, and opens a thought again wherever it can.
    let vocabulary = Vocabulary::new(Spelling::Whole);
    let open = vocabulary.encode(OPEN)[0];
    let mut words = vocabulary.encode(&long(300));
    words.reverse();
    let mut model = |text: &Text| {
        let word = words.pop().unwrap_or(b'x'.into());
        match text.place().in_thought {
            true => vec![word],
            false => vec![open, word],
        }
    };
    let outcome = run(&vocabulary, &mut model, limits(300, Some(80)), false);
    assert_eq!(outcome.ended_by, Some(ThinkingEnd::Budget));
    assert_eq!((outcome.text.n_opened, outcome.text.n_closed), (1, 1));
    assert!(outcome.text.place().thought_tokens <= 80 && outcome.tokens.len() == 300);
}

#[test]
fn one_that_calls_tools_inside_the_thought() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    let stop = vocabulary.stop;
    // The call and the end of the turn, again and again.
    let mut call = vocabulary.encode("<tool>f()</tool>");
    call.push(stop);
    let mut at = 0;
    let mut model = move |text: &Text| {
        let place = text.place();
        at = if place.in_thought || place.answered || at > 0 {
            at
        } else {
            0
        };
        let token = call[at % call.len()];
        at += 1;
        vec![token]
    };
    let outcome = run(&vocabulary, &mut model, limits(200, Some(100)), true);
    // It ended its turn inside the thought: the thought is closed, and the call made once more.
    assert_eq!(
        (outcome.ended_by, outcome.text.n_closed),
        (Some(ThinkingEnd::Model), 1)
    );
    assert_eq!(outcome.content(), "<tool>f()</tool>");
    assert!(outcome.is_stopped);
}

#[test]
fn one_that_closes_at_once() {
    for spelling in [Spelling::Whole, Spelling::Pieces] {
        let vocabulary = Vocabulary::new(spelling);
        let mut model = thinks(&vocabulary, CLOSE, 1);
        let outcome = run(&vocabulary, &mut model, limits(100, Some(50)), true);
        let n_close = vocabulary.encode(CLOSE).len();
        assert_eq!(outcome.text.place().thought_tokens, n_close);
        assert_eq!(
            (outcome.ended_by, outcome.content().as_str()),
            (Some(ThinkingEnd::Model), "Answer.")
        );
        assert!(outcome.forced.is_empty());
    }
}

#[test]
fn one_that_closes_too_early() {
    for spelling in [Spelling::Whole, Spelling::Pieces] {
        let vocabulary = Vocabulary::new(spelling);
        let mut model = thinks(&vocabulary, CLOSE, 100);
        let limits = Limits {
            think_min: 30,
            ..limits(200, Some(100))
        };
        let outcome = run(&vocabulary, &mut model, limits, true);
        let place = outcome.text.place();
        assert!((30..=50).contains(&place.thought_tokens), "{place:?}");
        assert_eq!(
            (outcome.ended_by, outcome.content().as_str()),
            (Some(ThinkingEnd::Model), "Answer.")
        );
        if spelling == Spelling::Whole {
            let text = String::from_utf8_lossy(&outcome.text.bytes).into_owned();
            assert!(text.starts_with("Wait,Wait,"), "{text}");
        }
    }
}

#[test]
fn one_that_says_nothing_behind_its_thought() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    let stop = vocabulary.stop;
    let answer = vocabulary.encode("42");
    let mut model = move |_: &Text| vec![stop, answer[0]];
    let outcome = run(&vocabulary, &mut model, limits(100, None), true);
    assert_eq!(
        (outcome.ended_by, outcome.content().as_str()),
        (Some(ThinkingEnd::Model), "4")
    );
    // A model that did not think may say nothing.
    let outcome = run(&vocabulary, &mut model, limits(100, None), false);
    assert_eq!((outcome.ended_by, outcome.tokens.len()), (None, 1));
}

#[test]
fn the_user_wants_an_answer_now() {
    let vocabulary = Vocabulary::new(Spelling::Pieces);
    for at in 0..60 {
        // Characters of four bytes, markers in pieces: wherever it is asked, it ends well.
        let mut model = thinks(&vocabulary, "😀 </thin 😀. ", 100);
        let close = |controller: &mut ponder_effort::control::Controller, n| {
            if n == at {
                controller.close(ThinkingEnd::User);
            }
        };
        let outcome = run_with(
            &vocabulary,
            &mut model,
            limits(400, None),
            true,
            close,
            |_| Duration::ZERO,
        );
        assert_eq!(
            (outcome.ended_by, outcome.content().as_str()),
            (Some(ThinkingEnd::User), "Answer.")
        );
        assert!(outcome.text.place().thought_tokens <= at + 3 + 20, "{at}");
        assert!(std::str::from_utf8(&outcome.text.bytes).is_ok());
    }
}

#[test]
fn time_is_kept() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    // Ten tokens a second after a second of prompt.
    let clock = |n: usize| Duration::from_millis(1000 + 100 * n as u64);
    let run = |limits| {
        let mut model = thinks(&vocabulary, &long(300), 1);
        run_with(&vocabulary, &mut model, limits, true, |_, _| {}, clock)
    };
    let outcome = run(Limits {
        think_time: Some(Duration::from_secs(5)),
        ..limits(1000, None)
    });
    let thought = outcome.text.place().thought_tokens;
    assert!((50..=65).contains(&thought), "{thought}");
    assert_eq!(
        (outcome.ended_by, outcome.content().as_str()),
        (Some(ThinkingEnd::Deadline), "Answer.")
    );
    // Of ten seconds one is the prompt's and two are the answer's, whose tokens would take more.
    let outcome = run(Limits {
        deadline: Some(Duration::from_secs(10)),
        answer_share: 0.2,
        ..limits(1000, None)
    });
    let thought = outcome.text.place().thought_tokens;
    assert!((55..=70).contains(&thought), "{thought}");
    assert_eq!(
        (outcome.ended_by, outcome.end),
        (Some(ThinkingEnd::Deadline), None)
    );
    // An answer that goes on past the deadline is cut.
    let mut words = vocabulary.encode(&long(300));
    let mut model = move |_: &Text| vec![words.pop().unwrap_or(b'x'.into())];
    let limits = Limits {
        deadline: Some(Duration::from_secs(4)),
        ..limits(1000, None)
    };
    let outcome = run_with(&vocabulary, &mut model, limits, true, |_, _| {}, clock);
    assert_eq!(outcome.end, Some(AnswerEnd::Deadline));
    assert!(
        (30..=33).contains(&outcome.tokens.len()),
        "{}",
        outcome.tokens.len()
    );
}

#[test]
fn landing_ends_at_sentences() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    // Of the budget, what closing takes is not the model's.
    for (budget, from) in [(300, 142..=144), (120, 52..=54)] {
        let landing = Limits {
            landing: 0.5,
            ..limits(800, Some(budget))
        };
        let mut model = thinks(&vocabulary, &long(100), 1);
        let outcome = run(&vocabulary, &mut model, landing, true);
        let text = String::from_utf8(outcome.text.bytes.clone()).expect("text");
        let (thought, _) = text.split_once(CLOSE).expect("a close marker");
        assert!(thought.ends_with(['.', '?', '\n']), "{thought}");
        assert!(!text.contains(HAND_OVER));
        assert_eq!(outcome.ended_by, Some(ThinkingEnd::Model));
        // Before the landing nothing is favoured.
        let mut phases = outcome.phases.iter();
        let at = phases.position(|phase| *phase == Phase::Landing);
        assert!(from.contains(&at.expect("a landing")), "{budget}: {at:?}");
    }
}

#[test]
fn later_rounds_of_a_turn_share_the_budget() {
    let vocabulary = Vocabulary::new(Spelling::Whole);
    for used in [0, 40, 70, 100, 130] {
        let limits = Limits {
            used_tokens: used,
            ..limits(400, Some(100))
        };
        let outcome = run(
            &vocabulary,
            &mut thinks(&vocabulary, &long(100), 1),
            limits,
            true,
        );
        let thought = outcome.text.place().thought_tokens;
        assert!(
            thought <= 100usize.saturating_sub(used).max(1),
            "{used}: {thought}"
        );
        assert_eq!(outcome.content(), "Answer.");
    }
}
