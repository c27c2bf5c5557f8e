//! What the reasoning controller costs for each token, all that it does switched on, at the
//! vocabulary of Qwen 3 (151,936 tokens): time and allocations.
//!
//! `cargo bench -p ponder-benches --bench controller`

use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use ponder_effort::control::{Classes, Controller, Limits, Marker, Place, Scripts, Tables};
use ponder_effort::{Decision, Sampler, SamplingParams};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const VOCAB: usize = 151_936;
const CLOSE: u32 = 151_668;
const STOP: u32 = 151_645;

/// Tokens of one measured thought.
const N_TOKENS: usize = 1000;

fn main() {
    divan::main();
}

fn tables() -> Arc<Tables> {
    let pieces = [" the", ".", "\n\n", "é", " of", "ing"];
    let classes = Classes::new((0..VOCAB).map(|id| pieces[id % pieces.len()]));
    let marker = |id: u32, text: &str| {
        Marker::new(text, text.len(), &[id], |_| vec![id], std::iter::empty())
    };
    let scripts = Scripts {
        hand_over: (0..20).collect(),
        after_close: vec![271],
        cue: vec![14_190, 11],
    };
    let (open, close) = (marker(CLOSE - 1, "<think>"), marker(CLOSE, "</think>"));
    Arc::new(Tables::new(classes, vec![STOP], open, close, scripts))
}

fn controller() -> Controller {
    let limits = Limits {
        max_tokens: 40_000,
        answer_tokens: 2048,
        think_tokens: Some(32_768),
        think_min: 0,
        think_time: Some(Duration::from_secs(1000)),
        deadline: Some(Duration::from_secs(2000)),
        landing: 0.01,
        ..Limits::default()
    };
    let start = Place {
        in_thought: true,
        ..Place::default()
    };
    Controller::new(tables(), limits, start)
}

/// Tokens that do not repeat themselves.
fn token(n: usize) -> u32 {
    (n.wrapping_mul(2_654_435_761) >> 7) as u32 % 150_000
}

/// The controller alone: a decision and a token, a thousand times.
#[divan::bench]
fn thought(bencher: Bencher) {
    let start = controller();
    bencher
        .counter(ItemsCount::new(N_TOKENS))
        .with_inputs(|| start.clone())
        .bench_local_refs(|controller| {
            let mut place = Place {
                in_thought: true,
                ..Place::default()
            };
            for n in 0..N_TOKENS {
                let decision = controller.decide(Duration::from_micros(7000 * n as u64));
                divan::black_box(decision);
                place.thought_tokens = n + 1;
                controller.accept(token(n), false, place);
            }
        });
}

/// A copy, as a fork needs one.
#[divan::bench]
fn copy(bencher: Bencher) {
    let start = controller();
    bencher.bench_local(|| start.clone());
}

fn draw(bencher: Bencher, decision: Decision<'_>) {
    let row: Vec<f32> = (0..VOCAB)
        .map(|id| (token(id) % 997) as f32 / 50.0 - 10.0)
        .collect();
    let params = SamplingParams {
        temperature: 0.6,
        top_k: 20,
        top_p: 0.95,
        seed: Some(1),
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(&params, VOCAB, &[]).expect("valid parameters");
    bencher.with_inputs(|| row.clone()).bench_local_refs(|row| {
        sampler
            .sample(row, decision)
            .map(|drawn| drawn.token)
            .expect("finite logits")
    });
}

/// A draw without any wish.
#[divan::bench]
fn draw_free(bencher: Bencher) {
    draw(bencher, Decision::Free);
}

/// A draw with all that a thought wishes for where it lands: the largest logit is looked for.
#[divan::bench]
fn draw_landing(bencher: Bencher) {
    let steer = ponder_effort::Steer {
        raise: Some((CLOSE, 0.5)),
        instead: Some((&[STOP], CLOSE)),
        ..ponder_effort::Steer::default()
    };
    draw(bencher, Decision::Steer(steer));
}
