//! The scheduler and everything around it on a model without tensors, against texts that are worked
//! out without cache, scheduler or drafts.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use ponder_effort::{Decision, Plan, Sampler, SamplingParams};
use ponder_runtime::backend::{BackendError, KeptLogits};

use super::*;
use crate::answer::on_device;
use crate::fake::{Fake, Kind, VOCAB_SIZE, Watch, logits_after};
use crate::schedule::Turn;

mod drafts;
mod traffic;
mod turns;

/// What became of an answer.
#[derive(Debug, Default)]
struct Record {
    tokens: Vec<u32>,
    end: Option<Result<FinishReason, String>>,
    cached: usize,
    progress: Vec<usize>,
}

/// The outside of an answer.
#[derive(Debug, Clone, Default)]
struct Handle {
    record: Arc<Mutex<Record>>,
    cancelled: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    /// Whether nothing can be drawn.
    broken: Arc<AtomicBool>,
}

impl Handle {
    fn tokens(&self) -> Vec<u32> {
        self.record.lock().expect("a lock").tokens.clone()
    }

    fn end(&self) -> Option<Result<FinishReason, String>> {
        self.record.lock().expect("a lock").end.clone()
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn pause(&self, on: bool) {
        self.paused.store(on, Ordering::Relaxed);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }
}

/// What is asked.
#[derive(Debug, Clone)]
struct Ask {
    prompt: Vec<u32>,
    params: SamplingParams,
    max_tokens: usize,
    stop: Option<u32>,
    with_drafts: bool,
    turn: Turn,
}

impl Ask {
    fn new(prompt: Vec<u32>, seed: u64, max_tokens: usize) -> Self {
        Self {
            prompt,
            params: SamplingParams {
                temperature: 1.0,
                // So that the sampler's memory matters.
                frequency_penalty: 0.1,
                seed: Some(seed),
                ..SamplingParams::default()
            },
            max_tokens,
            stop: None,
            with_drafts: false,
            turn: Turn::default(),
        }
    }

    /// As somebody else asks, or in the background.
    fn of(mut self, client: u64, is_background: bool) -> Self {
        self.turn = Turn {
            is_background,
            client,
        };
        self
    }

    fn greedy(mut self) -> Self {
        self.params.temperature = 0.0;
        self.params.frequency_penalty = 0.0;
        self
    }

    fn drafting(mut self) -> Self {
        self.with_drafts = true;
        self
    }

    fn sampler(&self) -> Sampler {
        Sampler::new(&self.params, VOCAB_SIZE, &self.prompt).expect("valid parameters")
    }

    /// The text, one token after the other: after `said`, from which on `seed` is drawn with.
    fn expected_from(&self, kind: &Kind, said: &[u32], seed: Option<u64>) -> Vec<u32> {
        let mut sampler = self.sampler();
        for &token in said {
            sampler.accept(token).expect("a token");
        }
        if let Some(seed) = seed {
            sampler.reseed(seed);
        }
        let mut text = [&self.prompt[..], said].concat();
        while text.len() < self.prompt.len() + self.max_tokens
            && (text.len() == self.prompt.len() || text.last().copied() != self.stop)
        {
            let mut row = logits_after(kind, &text);
            let drawn = sampler.sample(&mut row, Decision::Free).expect("a token");
            text.push(drawn.token);
        }
        text.split_off(self.prompt.len())
    }

    fn expected(&self, kind: &Kind) -> Vec<u32> {
        self.expected_from(kind, &[], None)
    }
}

/// The inside of an answer.
struct Teller {
    handle: Handle,
    sampler: Sampler,
    max_tokens: usize,
    stop: Option<u32>,
    with_drafts: bool,
    turn: Turn,
}

impl Teller {
    fn new(ask: &Ask) -> (Self, Handle) {
        let handle = Handle::default();
        let teller = Self {
            handle: handle.clone(),
            sampler: ask.sampler(),
            max_tokens: ask.max_tokens,
            stop: ask.stop,
            with_drafts: ask.with_drafts,
            turn: ask.turn,
        };
        (teller, handle)
    }

    /// A twin that draws with another seed, its handle, and what was said before it.
    fn fork(&self, seed: u64) -> (Self, Handle, Vec<u32>) {
        let said = self.handle.tokens();
        let handle = Handle::default();
        handle.record.lock().expect("a lock").tokens = said.clone();
        let mut sampler = self.sampler.clone();
        sampler.reseed(seed);
        let twin = Self {
            handle: handle.clone(),
            sampler,
            ..*self
        };
        (twin, handle, said)
    }
}

impl Teller {
    fn said(&self, token: u32) -> Drawn {
        let mut record = self.handle.record.lock().expect("a lock");
        record.tokens.push(token);
        let end = match record.tokens.len() >= self.max_tokens {
            _ if Some(token) == self.stop => Some(FinishReason::Stop),
            true => Some(FinishReason::Length),
            false => None,
        };
        Drawn { token, end }
    }
}

impl Consumer for Teller {
    fn is_cancelled(&self) -> bool {
        self.handle.cancelled.load(Ordering::Relaxed)
    }

    fn is_paused(&self) -> bool {
        self.handle.paused.load(Ordering::Relaxed)
    }

    fn turn(&self) -> Turn {
        self.turn
    }

    fn prompt_progress(&mut self, done: usize, cached: usize) {
        let mut record = self.handle.record.lock().expect("a lock");
        record.cached = cached;
        record.progress.push(done);
    }

    fn draw(&mut self, logits: &mut [f32]) -> Result<Drawn, EngineError> {
        if self.handle.broken.load(Ordering::Relaxed) {
            return Err(EngineError::Request("broken".to_owned()));
        }
        let token = self.sampler.sample(logits, Decision::Free)?.token;
        Ok(self.said(token))
    }

    fn ask(&mut self, row: usize, logits: &dyn KeptLogits) -> Result<Asked, EngineError> {
        if self.handle.broken.load(Ordering::Relaxed) {
            return Err(EngineError::Request("broken".to_owned()));
        }
        let Plan::Draw(draw) = self.sampler.plan(None, Decision::Free)? else {
            return Ok(Asked::Logits);
        };
        Ok(match logits.push(&on_device(row, &draw)) {
            true => Asked::Pushed,
            false => Asked::Logits,
        })
    }

    fn take(&mut self, token: Taken<'_>) -> Result<Option<Drawn>, EngineError> {
        let Taken::Drawn(drawn) = token else {
            unreachable!("it never knows one")
        };
        let taken = self.sampler.take(drawn.token, None)?;
        let token = taken.map(|taken| taken.token);
        Ok(token.map(|token| self.said(token)))
    }

    fn max_drafts(&self) -> usize {
        let said = self.handle.record.lock().expect("a lock").tokens.len();
        match self.with_drafts {
            true => self.max_tokens.saturating_sub(said + 1),
            false => 0,
        }
    }

    fn forced(&self, _: &mut Vec<u32>) {}

    fn look_ahead(&mut self, _: &mut Vec<u32>) -> Option<(Self, usize)> {
        None
    }

    fn finish(self, end: Result<FinishReason, EngineError>) {
        let mut record = self.handle.record.lock().expect("a lock");
        assert!(record.end.is_none(), "an answer ends once");
        record.end = Some(end.map_err(|error| error.to_string()));
    }
}

/// A driver over a fake, timed by the fake's own clock.
fn driver(kind: &Kind, max_sequences: usize) -> (Driver<Teller>, Arc<Watch>) {
    let (model, watch) = Fake::make(kind.clone());
    let clock = Arc::clone(&watch);
    let clock = move || Duration::from_nanos(Watch::get(&clock.nanos));
    let limits = Limits::new(max_sequences, 10_000, kind.prefill_rows);
    let driver = Driver::with_clock(model, VOCAB_SIZE, limits, Arc::default(), Box::new(clock));
    (driver, watch)
}

fn push(driver: &mut Driver<Teller>, ask: &Ask) -> Handle {
    let (teller, handle) = Teller::new(ask);
    driver.push(ask.prompt.clone(), vec![teller]);
    handle
}

/// Steps until everybody is done.
fn finish(driver: &mut Driver<Teller>) {
    for _ in 0..100_000 {
        if driver.is_empty() {
            return;
        }
        assert!(driver.step(), "there is something to do");
    }
    panic!("no end");
}

fn prompt(seed: u32, n: usize) -> Vec<u32> {
    (0..n as u32)
        .map(|i| (seed.wrapping_mul(7919) + i * i * 31 + i * seed) % VOCAB_SIZE as u32)
        .collect()
}

fn ends_by_itself(handle: &Handle) -> bool {
    matches!(
        handle.end(),
        Some(Ok(FinishReason::Length | FinishReason::Stop))
    )
}

#[test]
fn a_text_is_what_it_would_be_without_a_cache() {
    for (windows, is_recurrent) in [
        (vec![None], false),
        (vec![Some(40)], false),
        (vec![None, Some(7)], false),
        (vec![None], true),
        (vec![], true),
    ] {
        let kind = Kind {
            windows,
            is_recurrent,
            ..Kind::plain(4000)
        };
        let (mut driver, _) = driver(&kind, 4);
        for n in [1, 31, 32, 33, 300, 600] {
            let ask = Ask::new(prompt(1, n), 7, 100);
            let handle = push(&mut driver, &ask);
            finish(&mut driver);
            assert_eq!(handle.tokens(), ask.expected(&kind), "{kind:?} {n}");
            assert!(ends_by_itself(&handle));
        }
    }
}

#[test]
fn long_prompts_do_not_keep_answers_waiting() {
    let kind = Kind::plain(4000);
    let (mut driver, watch) = driver(&kind, 4);
    let ask = Ask::new(prompt(1, 20), 1, 200);
    let first = push(&mut driver, &ask);
    driver.step();
    let long = push(&mut driver, &Ask::new(prompt(2, 1000), 2, 10));
    while long.tokens().is_empty() {
        let before = first.tokens().len();
        driver.step();
        assert_eq!(first.tokens().len(), before + 1, "a token in every step");
        let rows: usize = watch.last.lock().expect("a lock").iter().sum();
        assert!(rows <= 65, "{rows} rows");
    }
    let progress = &long.record.lock().expect("a lock").progress;
    assert!(progress.len() > 10 && progress.is_sorted());
    assert_eq!(progress.last(), Some(&1000));
}

#[test]
fn who_came_first_is_served_first() {
    let kind = Kind::plain(4000);
    let (mut driver, _) = driver(&kind, 2);
    let handles: Vec<_> = (0..6)
        .map(|i| push(&mut driver, &Ask::new(prompt(i, 100), 1, 20)))
        .collect();
    let mut begun = Vec::new();
    while !driver.is_empty() {
        driver.step();
        for (i, handle) in handles.iter().enumerate() {
            if !handle.tokens().is_empty() && !begun.contains(&i) {
                begun.push(i);
            }
        }
    }
    assert_eq!(begun, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn cancelling_takes_one_step() {
    let kind = Kind::plain(4000);
    let (mut driver, watch) = driver(&kind, 2);
    let handles: Vec<_> = (0..4)
        .map(|i| push(&mut driver, &Ask::new(prompt(i, 400), 1, 200)))
        .collect();
    (0..12).for_each(|_| assert!(driver.step()));
    let said: Vec<_> = handles.iter().map(Handle::tokens).collect();
    handles.iter().for_each(Handle::cancel);
    driver.step();
    assert!(driver.is_empty());
    for (handle, said) in handles.iter().zip(said) {
        assert_eq!(handle.end(), Some(Ok(FinishReason::Cancelled)));
        assert_eq!(handle.tokens(), said);
    }
    assert_eq!(Watch::get(&watch.n_open), 0);
}

#[test]
fn answers_to_one_prompt_compute_it_once() {
    for is_recurrent in [false, true] {
        let kind = Kind {
            is_recurrent,
            ..Kind::plain(4000)
        };
        let (mut driver, watch) = driver(&kind, 8);
        let asks: Vec<_> = (0..5).map(|i| Ask::new(prompt(1, 500), i, 20)).collect();
        let (tellers, handles): (Vec<_>, Vec<_>) = asks.iter().map(Teller::new).unzip();
        driver.push(prompt(1, 500), tellers);
        finish(&mut driver);
        for (ask, handle) in asks.iter().zip(handles) {
            assert_eq!(handle.tokens(), ask.expected(&kind));
        }
        // The last token of an answer is not computed.
        assert_eq!(Watch::get(&watch.n_tokens), 500 + 5 * 19);
    }
}

#[test]
fn a_later_prompt_finds_what_is_there() {
    let kind = Kind::plain(4000);
    let (mut driver, _) = driver(&kind, 8);
    let ask = Ask::new(prompt(1, 100), 1, 30);
    let first = push(&mut driver, &ask);
    finish(&mut driver);
    let next = [ask.prompt, first.tokens(), prompt(2, 5)].concat();
    let ask = Ask::new(next, 2, 10);
    let second = push(&mut driver, &ask);
    finish(&mut driver);
    // All but the last token of the answer, which was never computed.
    assert_eq!(second.record.lock().expect("a lock").cached, 129);
    assert_eq!(second.tokens(), ask.expected(&kind));
}

#[test]
fn who_has_no_reader_rests_and_the_others_go_on() {
    let kind = Kind::plain(4000);
    let (mut driver, _) = driver(&kind, 8);
    let asks = [0, 1].map(|i| Ask::new(prompt(i, 50), 1, 30));
    let [first, second] = asks.each_ref().map(|ask| push(&mut driver, ask));
    driver.step();
    first.pause(true);
    let said = first.tokens();
    while second.end().is_none() {
        assert!(driver.step());
    }
    assert_eq!(first.tokens(), said);
    assert!(!driver.step(), "nothing to do until events are taken");
    first.pause(false);
    finish(&mut driver);
    assert_eq!(first.tokens(), asks[0].expected(&kind));
}

#[test]
fn an_answer_that_fails_takes_no_other_with_it() {
    for (is_recurrent, draws) in [(false, false), (true, false), (false, true)] {
        let kind = Kind {
            is_recurrent,
            draws,
            ..Kind::plain(4000)
        };
        let (mut driver, watch) = driver(&kind, 8);
        // Four answers to one prompt, of which the first and another fail with their first token.
        let asks: Vec<_> = (0..5).map(|i| Ask::new(prompt(1, 50), i, 20)).collect();
        let (tellers, handles): (Vec<_>, Vec<_>) = asks[..4].iter().map(Teller::new).unzip();
        driver.push(prompt(1, 50), tellers);
        let later = push(&mut driver, &asks[4]);
        for broken in [0, 2] {
            handles[broken].broken.store(true, Ordering::Relaxed);
        }
        (0..5).for_each(|_| assert!(driver.step()));
        later.broken.store(true, Ordering::Relaxed);
        finish(&mut driver);
        for failed in [&handles[0], &handles[2], &later] {
            assert_eq!(
                failed.end(),
                Some(Err("the request cannot be read: broken".to_owned()))
            );
        }
        for i in [1, 3] {
            assert_eq!(handles[i].tokens(), asks[i].expected(&kind));
        }
        assert!(asks[4].expected(&kind).starts_with(&later.tokens()));
        assert_eq!(Watch::get(&watch.n_open), 0);
    }
}

#[test]
fn readers_that_are_away_keep_nobody_out() {
    for (max_sequences, cache_tokens) in [(2, 4000), (4, 250)] {
        let kind = Kind {
            max_sequences: 1,
            ..Kind::plain(cache_tokens)
        };
        let (mut driver, _) = driver(&kind, max_sequences);
        let asks = [0, 1, 2].map(|i| Ask::new(prompt(i, 80), 1, 40));
        let handles = asks.each_ref().map(|ask| {
            let handle = push(&mut driver, ask);
            (0..3).for_each(|_| assert!(driver.step()));
            handle
        });
        handles[..2].iter().for_each(|handle| handle.pause(true));
        while handles[2].end().is_none() {
            assert!(driver.step());
        }
        assert!(handles[..2].iter().all(|handle| handle.end().is_none()));
        handles[..2].iter().for_each(|handle| handle.pause(false));
        finish(&mut driver);
        for (ask, handle) in asks.iter().zip(handles) {
            assert_eq!(handle.tokens(), ask.expected(&kind));
        }
    }
}

#[test]
fn who_gave_its_place_away_gets_its_blocks_back() {
    let computed = [0, 100].map(|n_kept| {
        let kind = Kind {
            max_sequences: 1,
            n_kept,
            ..Kind::plain(400)
        };
        let (mut driver, watch) = driver(&kind, 4);
        let asks = [0, 1, 2].map(|i| Ask::new(prompt(i, 90), 1, 150));
        let handles = asks.each_ref().map(|ask| push(&mut driver, ask));
        finish(&mut driver);
        for (ask, handle) in asks.iter().zip(handles) {
            assert_eq!(handle.tokens(), ask.expected(&kind));
        }
        assert_eq!(Watch::get(&watch.n_restored) > 0, n_kept > 0);
        Watch::get(&watch.n_tokens)
    });
    // All three have 240 tokens in the end, the cache 416.
    assert_eq!(computed[1], 3 * (90 + 149));
    assert!(computed[0] > computed[1], "{computed:?} tokens computed");
}

#[test]
fn a_sequence_that_fills_the_cache_ends() {
    let kind = Kind {
        max_sequences: 1,
        ..Kind::plain(128)
    };
    let (mut driver, watch) = driver(&kind, 4);
    let ask = Ask::new(prompt(1, 100), 1, 1000);
    let handle = push(&mut driver, &ask);
    let too_long = push(&mut driver, &Ask::new(prompt(2, 300), 1, 1000));
    finish(&mut driver);
    assert_eq!(handle.end(), Some(Ok(FinishReason::Length)));
    // Five blocks hold 160 tokens; the last token that was drawn is not in them.
    assert_eq!(handle.tokens(), ask.expected(&kind)[..61]);
    assert_eq!(too_long.end(), Some(Ok(FinishReason::Length)));
    assert!(too_long.tokens().is_empty());
    assert_eq!(Watch::get(&watch.free_tokens), 160);
}

#[test]
fn generating_allocates_nothing_from_step_to_step() {
    allocates_nothing(false);
    allocates_nothing(true);
}

fn allocates_nothing(draws: bool) {
    let kind = Kind {
        memory: 20,
        draws,
        ..Kind::plain(4000)
    };
    let (mut driver, watch) = driver(&kind, 8);
    watch.is_trusted.store(true, Ordering::Relaxed);
    for i in 0..8 {
        let mut ask = Ask::new(prompt(i, 33), 1, 200);
        // The sampler's list of counted tokens grows where there is a penalty.
        ask.params.frequency_penalty = 0.0;
        let handle = push(&mut driver, &ask);
        handle.record.lock().expect("a lock").tokens.reserve(200);
    }
    // Everybody is past the prompt, and lists have found their sizes.
    (0..20).for_each(|_| assert!(driver.step()));
    let lens = |driver: &Driver<Teller>| driver.scheduler.running()[0].known().len();
    while lens(&driver) % 32 != 4 {
        driver.step();
    }
    let measured = allocation_counter::measure(|| {
        // Less than a block.
        (0..20).for_each(|_| assert!(driver.step()));
    });
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

#[test]
fn a_device_that_fails_ends_its_step_and_no_more() {
    a_device_fails(false);
    a_device_fails(true);
}

fn a_device_fails(draws: bool) {
    let kind = Kind {
        draws,
        ..Kind::plain(4000)
    };
    let (mut driver, watch) = driver(&kind, 2);
    let asks: Vec<_> = (0..3).map(|i| Ask::new(prompt(i, 50), 1, 30)).collect();
    let handles: Vec<_> = asks.iter().map(|ask| push(&mut driver, ask)).collect();
    watch.fails_at.store(5, Ordering::Relaxed);
    finish(&mut driver);
    for handle in &handles[..2] {
        let message = handle.end().expect("an end").expect_err("an error");
        assert!(message.contains("unplugged"), "{message}");
    }
    assert_eq!(handles[2].tokens(), asks[2].expected(&kind));
    assert_eq!(Watch::get(&watch.n_open), 0);
    // What the failed step was to compute is not found later.
    let ask = Ask::new([&prompt(0, 50)[..], &handles[0].tokens()].concat(), 5, 10);
    let again = push(&mut driver, &ask);
    finish(&mut driver);
    assert_eq!(again.tokens(), ask.expected(&kind));
}

#[test]
fn steps_that_the_device_has_no_memory_for_become_smaller() {
    for is_recurrent in [false, true] {
        for max_rows in [1, 3, 40] {
            let kind = Kind {
                is_recurrent,
                memory: 2,
                ..Kind::plain(4000)
            };
            let (mut driver, watch) = driver(&kind, 4);
            let asks = [0, 1, 2, 3, 4].map(|i| Ask::new(prompt(i, 70), 1, 60).greedy().drafting());
            let handles = asks.each_ref().map(|ask| push(&mut driver, ask));
            (0..10).for_each(|_| assert!(driver.step()));
            // From now on somebody else has the memory.
            watch.max_rows.store(max_rows, Ordering::Relaxed);
            finish(&mut driver);
            for (ask, handle) in asks.iter().zip(&handles) {
                assert_eq!(handle.tokens(), ask.expected(&kind));
            }
            assert_eq!(Watch::get(&watch.n_open), 0);
            // And gives it back.
            watch.max_rows.store(0, Ordering::Relaxed);
            watch.most_rows.store(0, Ordering::Relaxed);
            let ask = Ask::new(prompt(5, 70), 1, 60);
            let handle = push(&mut driver, &ask);
            finish(&mut driver);
            assert_eq!(handle.tokens(), ask.expected(&kind));
            let most_rows = Watch::get(&watch.most_rows);
            assert!(
                most_rows > 40,
                "a prompt of 70 tokens came {most_rows} at a time"
            );
        }
    }
}

#[test]
fn whoever_asks_a_device_that_fails_is_told_so() {
    let failures: [fn() -> BackendError; 2] = [
        || BackendError::OutOfMemory("no memory at all".to_owned()),
        || BackendError::Lost("the device is lost".to_owned()),
    ];
    for failure in failures {
        let kind = Kind::plain(4000);
        let (mut driver, watch) = driver(&kind, 3);
        *watch.failure.lock().expect("a lock") = Some(failure);
        for _ in 0..2 {
            let asks = [0, 1, 2, 3, 4].map(|i| Ask::new(prompt(i, 50), 1, 30));
            let handles = asks.each_ref().map(|ask| push(&mut driver, ask));
            finish(&mut driver);
            for handle in handles {
                let message = handle.end().expect("an end").expect_err("an error");
                assert!(message.contains(&failure().to_string()), "{message}");
            }
        }
        // It may come back, if only its memory was full.
        *watch.failure.lock().expect("a lock") = None;
        let ask = Ask::new(prompt(1, 50), 1, 30);
        let handle = push(&mut driver, &ask);
        finish(&mut driver);
        assert_eq!(handle.tokens(), ask.expected(&kind));
        assert_eq!(Watch::get(&watch.n_open), 0);
    }
}

#[test]
fn a_model_whose_device_is_lost_goes_on_elsewhere() {
    for is_recurrent in [false, true] {
        let kind = Kind {
            is_recurrent,
            memory: 2,
            ..Kind::plain(4000)
        };
        let (lost, watch) = driver(&kind, 3);
        let (other, other_watch) = Fake::make(Kind {
            prefill_rows: 48,
            ..kind.clone()
        });
        let mut driver = lost.with_spare(Some(Box::new(move || Ok(other))));
        let asks = [0, 1, 2, 3, 4].map(|i| Ask::new(prompt(i, 70), 1, 60).drafting());
        let handles = asks.each_ref().map(|ask| push(&mut driver, ask));
        (0..10).for_each(|_| assert!(driver.step()));
        assert!(!driver.gauges.has_lost_device());
        *watch.failure.lock().expect("a lock") = Some(|| BackendError::Lost("lost".to_owned()));
        finish(&mut driver);
        assert!(driver.gauges.has_lost_device());
        for (ask, handle) in asks.iter().zip(&handles) {
            assert_eq!(handle.tokens(), ask.expected(&kind));
        }
        let most_rows = [&watch, &other_watch].map(|watch| Watch::get(&watch.most_rows));
        assert!(most_rows[0] > 100 && most_rows[1] == 48, "{most_rows:?}");
        for watch in [watch, other_watch] {
            assert_eq!(Watch::get(&watch.n_open), 0);
        }
    }
}

#[test]
fn texts_of_a_lost_device_become_vectors_elsewhere_or_an_error() {
    let kind = Kind::plain(4000);
    let vectors = |has_spare: bool, failure: Option<fn() -> BackendError>| {
        let (mut driver, watch) = driver(&kind, 3);
        let (other, _) = Fake::make(kind.clone());
        if has_spare {
            driver = driver.with_spare(Some(Box::new(move || Ok(other))));
        }
        let ask = Ask::new(prompt(5, 70), 1, 20);
        let handle = push(&mut driver, &ask);
        (0..5).for_each(|_| assert!(driver.step()));
        *watch.failure.lock().expect("a lock") = failure;
        let (to, vectors) = std::sync::mpsc::channel();
        let ids = [1, 2].map(|i| prompt(i, 40)).into();
        let pooling = crate::embedding::Pooling::Last;
        driver.push_texts(Texts { ids, pooling, to });
        while driver.embed() {}
        *watch.failure.lock().expect("a lock") = None;
        finish(&mut driver);
        assert_eq!(handle.tokens(), ask.expected(&kind));
        assert_eq!(Watch::get(&watch.n_open), 0);
        let vectors = vectors.into_iter();
        vectors
            .map(|vector| vector.map_err(|error| error.to_string()))
            .collect::<Vec<_>>()
    };
    let lost = || BackendError::Lost("the card is gone".to_owned());
    let expected = vectors(false, None);
    assert_eq!(expected.iter().filter(|vector| vector.is_ok()).count(), 2);
    assert_eq!(vectors(true, Some(lost)), expected);
    let message = lost().to_string();
    assert_eq!(vectors(false, Some(lost)), [Err(message)]);
}
