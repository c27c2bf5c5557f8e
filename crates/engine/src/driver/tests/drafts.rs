//! Drafts change how long an answer takes, and nothing else.

use super::*;

/// A model whose texts repeat themselves, on a device whose steps cost `base` and `per_row`.
fn repeating(base: u64, per_row: u64) -> (Kind, Driver<Teller>, Arc<Watch>) {
    let kind = Kind {
        memory: 2,
        ..Kind::plain(10_000)
    };
    let (driver, watch) = driver(&kind, 8);
    watch.cost[0].store(base, Ordering::Relaxed);
    watch.cost[1].store(per_row, Ordering::Relaxed);
    (kind, driver, watch)
}

/// Steps that generating took, and the nanoseconds of all.
fn run(ask: &Ask, base: u64, per_row: u64) -> (Vec<u32>, u64, u64) {
    let (kind, mut driver, watch) = repeating(base, per_row);
    let handle = push(&mut driver, ask);
    finish(&mut driver);
    assert_eq!(handle.tokens(), ask.expected(&kind));
    let [steps, nanos] = [&watch.n_steps, &watch.nanos].map(Watch::get);
    (handle.tokens(), steps, nanos)
}

#[test]
fn greedy_texts_are_the_same_in_fewer_steps() {
    let ask = Ask::new(prompt(1, 10), 1, 300).greedy();
    let (plain, steps, time) = run(&ask, 1000, 50);
    let (drafted, fewer, less) = run(&ask.drafting(), 1000, 50);
    assert_eq!(plain, drafted);
    assert!(fewer * 3 < steps, "{fewer} of {steps} steps");
    assert!(less * 2 < time, "{less} of {time} ns");
}

#[test]
fn sampled_texts_are_the_same_too() {
    let mut saved = 0;
    for seed in 0..20 {
        let mut ask = Ask::new(prompt(1, 10), seed, 200);
        ask.params.temperature = 0.25;
        ask.params.frequency_penalty = 0.0;
        let (plain, steps, _) = run(&ask, 1000, 50);
        let (drafted, fewer, _) = run(&ask.drafting(), 1000, 50);
        assert_eq!(plain, drafted);
        saved += steps - fewer.min(steps);
    }
    assert!(saved > 500, "{saved} steps");
}

#[test]
fn drafts_that_do_not_pay_are_left_alone() {
    let ask = Ask::new(prompt(1, 10), 1, 400).greedy();
    let (_, steps, time) = run(&ask, 0, 1000);
    let (_, fewer, other) = run(&ask.drafting(), 0, 1000);
    // But for a trial now and then.
    assert!(fewer + 80 > steps, "{fewer} of {steps} steps");
    assert!(other < time + time / 20, "{other} against {time} ns");
}

#[test]
fn texts_without_repetition_take_hardly_longer() {
    let kind = Kind::plain(10_000);
    let time = |ask: &Ask| {
        let (mut driver, watch) = driver(&kind, 8);
        watch.cost[0].store(1000, Ordering::Relaxed);
        watch.cost[1].store(100, Ordering::Relaxed);
        let handle = push(&mut driver, ask);
        finish(&mut driver);
        assert_eq!(handle.tokens(), ask.expected(&kind));
        Watch::get(&watch.nanos)
    };
    let ask = Ask::new(prompt(1, 10), 1, 400);
    let (plain, drafted) = (time(&ask), time(&ask.clone().drafting()));
    assert!(drafted < plain + plain / 20, "{drafted} against {plain} ns");
}

#[test]
fn a_limit_is_met_exactly() {
    for n in 1..60 {
        let ask = Ask::new(prompt(1, 10), 1, n).greedy().drafting();
        let (tokens, ..) = run(&ask, 1000, 1);
        assert_eq!(tokens.len(), n);
    }
}

#[test]
fn a_stop_token_inside_the_drafts_ends_the_text() {
    let greedy = Ask::new(prompt(1, 10), 1, 300).greedy().drafting();
    let (tokens, ..) = run(&greedy, 1000, 1);
    // Each token of the text that stands late for the first time.
    let mut n_late = 0;
    for (i, token) in tokens.iter().enumerate() {
        let mut ask = greedy.clone();
        ask.stop = Some(*token);
        let (stopped, ..) = run(&ask, 1000, 1);
        let first = tokens.iter().position(|other| other == token);
        assert_eq!(stopped.len(), first.expect("it") + 1);
        n_late += usize::from(first == Some(i));
        if i > 40 {
            break;
        }
    }
    assert!(n_late > 1);
}

#[test]
fn several_sequences_share_the_rows() {
    let (kind, mut driver, watch) = repeating(100_000, 1);
    let asks: Vec<_> = (0..6)
        .map(|i| Ask::new(prompt(i, 20), 1, 150).greedy().drafting())
        .collect();
    let handles: Vec<_> = asks.iter().map(|ask| push(&mut driver, ask)).collect();
    (0..3).for_each(|_| assert!(driver.step()));
    watch.most_rows.store(0, Ordering::Relaxed);
    finish(&mut driver);
    for (ask, handle) in asks.iter().zip(handles) {
        assert_eq!(handle.tokens(), ask.expected(&kind));
    }
    let most = Watch::get(&watch.most_rows) as usize;
    assert!(most > 7 && most <= 6 + MAX_DRAFTS, "{most} rows");
}

/// A model with recurrent state too: what `ask` gives, the steps it takes, the nanoseconds of all,
/// and how many tokens were computed.
fn run_recurrent(ask: &Ask, windows: &[Option<usize>], per_row: u64) -> (Vec<u32>, [u64; 3]) {
    let kind = Kind {
        windows: windows.to_vec(),
        is_recurrent: true,
        memory: 2,
        ..Kind::plain(10_000)
    };
    let (mut driver, watch) = driver(&kind, 2);
    watch.cost[0].store(1000, Ordering::Relaxed);
    watch.cost[1].store(per_row, Ordering::Relaxed);
    let handle = push(&mut driver, ask);
    finish(&mut driver);
    assert_eq!(handle.tokens(), ask.expected(&kind));
    let counts = [&watch.n_steps, &watch.nanos, &watch.n_tokens];
    (handle.tokens(), counts.map(Watch::get))
}

#[test]
fn recurrent_states_come_back_from_wrong_drafts() {
    for windows in [&[None][..], &[Some(33)], &[None, Some(20)], &[]] {
        let ask = Ask::new(prompt(1, 10), 1, 300).greedy();
        let (plain, [steps, time, _]) = run_recurrent(&ask, windows, 20);
        let (drafted, [fewer, less, _]) = run_recurrent(&ask.drafting(), windows, 20);
        assert_eq!(plain, drafted);
        assert!(fewer * 3 < steps, "{fewer} of {steps} steps");
        assert!(less * 2 < time, "{less} of {time} ns");
        let (mut saved, mut again) = (0, 0);
        for seed in 0..20 {
            let mut ask = Ask::new(prompt(1, 10), seed, 200);
            ask.params.temperature = 0.25;
            ask.params.frequency_penalty = 0.0;
            let (plain, [steps, _, tokens]) = run_recurrent(&ask, windows, 20);
            let (drafted, [fewer, _, more]) = run_recurrent(&ask.drafting(), windows, 20);
            assert_eq!(plain, drafted);
            saved += steps - fewer.min(steps);
            again += more - tokens;
        }
        assert!(saved > 300, "{saved} steps");
        assert!(again > 100, "{again} tokens computed in vain or again");
    }
}

#[test]
fn recurrent_models_are_drafted_for_only_where_it_pays() {
    let ask = Ask::new(prompt(1, 10), 1, 400).greedy();
    let (_, [steps, time, _]) = run_recurrent(&ask, &[None], 100_000);
    let (_, [fewer, other, _]) = run_recurrent(&ask.drafting(), &[None], 100_000);
    assert!(fewer + 80 > steps, "{fewer} of {steps} steps");
    assert!(other < time + time / 20, "{other} against {time} ns");
}

#[test]
fn an_end_inside_the_drafts_leaves_a_state_to_go_on_from() {
    let kind = Kind {
        is_recurrent: true,
        memory: 2,
        ..Kind::plain(10_000)
    };
    let mut n_cut = 0;
    for n in 40..60 {
        let (mut driver, watch) = driver(&kind, 2);
        watch.cost[0].store(1000, Ordering::Relaxed);
        let long = Ask::new(prompt(1, 10), 1, 100).greedy().drafting();
        // Ends at a token that stands at this place for the first time, if there is one.
        let text = long.expected(&kind);
        let mut ask = long.clone();
        ask.stop = Some(text[n]);
        let first = push(&mut driver, &ask);
        finish(&mut driver);
        let said = first.tokens();
        n_cut += usize::from(said.len() > 10);
        let next = [&ask.prompt[..], &said, &prompt(2, 5)].concat();
        let ask = Ask::new(next, 2, 10);
        let second = push(&mut driver, &ask);
        finish(&mut driver);
        // What was right in the step that ended is computed again, and no more.
        let cached = second.record.lock().expect("a lock").cached;
        let known = long.prompt.len() + said.len();
        assert!(
            cached + MAX_DRAFTS + 2 >= known,
            "{cached} of {known} tokens"
        );
        assert_eq!(second.tokens(), ask.expected(&kind));
    }
    assert!(n_cut > 0);
}
