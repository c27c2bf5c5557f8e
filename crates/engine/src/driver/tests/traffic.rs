//! Random arrivals, cancellations, pauses and forks in a cache that is too small for them all.

use super::*;

/// A small generator, so that a failure comes back with the same seed (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// An answer and what it should say: after `said`, drawn with `seed`.
struct Expected {
    handle: Handle,
    ask: Ask,
    said: Vec<u32>,
    seed: Option<u64>,
}

fn ask(random: &mut Random, with_drafts: bool) -> Ask {
    // Few beginnings, so that many prompts share one.
    let family = random.below(3) as u32;
    let n_shared = random.below(90);
    let n_own = 1 + random.below(40);
    let mut text = prompt(family, n_shared);
    text.extend(prompt(random.below(1000) as u32, n_own));
    let n = 1 + random.below(60);
    let mut ask = Ask::new(text, random.below(1000) as u64, n);
    ask.stop = Some(random.below(VOCAB_SIZE) as u32).filter(|_| random.below(3) == 0);
    ask.with_drafts = with_drafts;
    if random.below(3) == 0 {
        ask = ask.greedy();
    }
    let client = random.below(3) as u64;
    ask.of(client, random.below(3) == 0)
}

fn arrive(driver: &mut Driver<Teller>, random: &mut Random, with_drafts: bool) -> Vec<Expected> {
    let ask = ask(random, with_drafts);
    let n = if random.below(4) == 0 { 3 } else { 1 };
    let asks = (0..n).map(|i| {
        let mut ask = ask.clone();
        ask.params.seed = Some(i);
        ask
    });
    let asks: Vec<_> = asks.collect();
    let (tellers, handles): (Vec<_>, Vec<_>) = asks.iter().map(Teller::new).unzip();
    driver.push(ask.prompt.clone(), tellers);
    let all = asks.into_iter().zip(handles);
    all.map(|(ask, handle)| Expected {
        handle,
        ask,
        said: Vec::new(),
        seed: None,
    })
    .collect()
}

fn fork(driver: &mut Driver<Teller>, of: &Expected, seed: u64) -> Option<Expected> {
    let mut made = None;
    driver.fork(
        |teller| teller.handle.is(&of.handle),
        |teller| {
            let (twin, handle, said) = teller.fork(seed);
            made = Some((handle, said));
            Some(twin)
        },
    );
    let (handle, said) = made?;
    Some(Expected {
        handle,
        ask: of.ask.clone(),
        said,
        seed: Some(seed),
    })
}

fn traffic(kind: &Kind, max_sequences: usize, seed: u64, with_drafts: bool) -> u64 {
    let mut random = Random(seed);
    let (mut driver, watch) = driver(kind, max_sequences);
    watch.cost[0].store(1000, Ordering::Relaxed);
    watch.cost[1].store(10, Ordering::Relaxed);
    let free_at_first = Watch::get(&watch.free_tokens);
    let mut all: Vec<Expected> = Vec::new();
    for _ in 0..250 {
        let pick = random.below(all.len().max(1));
        match random.below(20) {
            0..=3 => all.extend(arrive(&mut driver, &mut random, with_drafts)),
            4 if !all.is_empty() => all[pick].handle.cancel(),
            5 if !all.is_empty() => all[pick].handle.pause(true),
            6 | 7 => all.iter().for_each(|one| one.handle.pause(false)),
            8 if !all.is_empty() => {
                let seed = random.below(1000) as u64;
                let twin = fork(&mut driver, &all[pick], seed);
                all.extend(twin);
            }
            _ => {
                driver.step();
            }
        }
    }
    all.iter().for_each(|one| one.handle.pause(false));
    finish(&mut driver);
    for one in &all {
        let said = one.handle.tokens();
        let expected = one.ask.expected_from(kind, &one.said, one.seed);
        match one.handle.end().expect("an end") {
            Ok(FinishReason::Cancelled) => assert!(expected.starts_with(&said)),
            Ok(_) => assert_eq!(said, expected),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(Watch::get(&watch.n_open), 0, "every sequence was freed");
    assert_eq!(Watch::get(&watch.free_tokens), free_at_first);
    let computed = Watch::get(&watch.n_tokens);
    let said: usize = all.iter().map(|one| one.handle.tokens().len()).sum();
    assert!(said > 1000, "{said} tokens");
    computed
}

#[test]
fn no_token_is_lost_or_doubled_whatever_happens() {
    for (windows, is_recurrent) in [
        (vec![None], false),
        (vec![Some(33)], false),
        (vec![None, Some(20)], false),
        (vec![None], true),
        (vec![None, Some(64)], true),
    ] {
        // From a cache in which hardly two fit, so that they take it from each other all the time.
        for cache_tokens in [200, 500, 3000] {
            for seed in 0..15 {
                let kind = Kind {
                    windows: windows.clone(),
                    is_recurrent,
                    cache_tokens,
                    max_sequences: 6,
                    draws: seed >= 6,
                    n_kept: [0, 4, 60][seed as usize % 3],
                    memory: if seed % 2 == 0 { usize::MAX } else { 2 },
                    prefill_rows: [256, 20, 7, 45, 1][seed as usize % 5],
                };
                traffic(&kind, 6, seed, seed % 3 > 0);
            }
        }
    }
}

#[test]
fn memory_that_runs_out_costs_time_and_nothing_else() {
    let roomy = traffic(&Kind::plain(10_000), 6, 1, false);
    let with_kept = |n_kept| {
        let kind = Kind {
            max_sequences: 6,
            n_kept,
            ..Kind::plain(200)
        };
        traffic(&kind, 6, 1, false)
    };
    let (tight, kept) = (with_kept(0), with_kept(1000));
    assert!(tight > roomy, "{tight} and {roomy} tokens computed");
    // Only the unfinished ends of what gave its place away are computed again.
    assert!(
        kept < (tight + roomy) / 2,
        "{kept}, {tight} and {roomy} tokens computed"
    );
}

#[test]
fn sixty_four_at_once_say_what_each_says_alone() {
    let kind = Kind {
        windows: vec![None, Some(50)],
        max_sequences: 64,
        ..Kind::plain(64 * 300)
    };
    let asks: Vec<_> = (0..64u32)
        .map(|i| Ask::new(prompt(i % 5, 40 + 3 * i as usize), u64::from(i), 60))
        .collect();
    let (mut all, _) = driver(&kind, 64);
    let handles: Vec<_> = asks.iter().map(|ask| push(&mut all, ask)).collect();
    finish(&mut all);
    for (ask, handle) in asks.iter().zip(handles) {
        let (mut alone, _) = driver(&kind, 1);
        let one = push(&mut alone, ask);
        finish(&mut alone);
        assert_eq!(handle.tokens(), one.tokens());
        assert_eq!(handle.tokens(), ask.expected(&kind));
    }
}
