//! One draw over the vocabulary of Qwen 3 (151,936 tokens): time and allocations for each token.
//!
//! `cargo bench -p ponder-benches --bench sampler`

use divan::{AllocProfiler, Bencher};
use ponder_effort::{Decision, DryParams, Sampler, SamplingParams};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const VOCAB: usize = 151_936;

fn main() {
    divan::main();
}

/// Deterministic logits of a plausible shape: a bell around 0 and a few tokens well above it.
fn logits() -> Vec<f32> {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    };
    let mut row: Vec<f32> = (0..VOCAB)
        .map(|_| (0..6).map(|_| uniform()).sum::<f32>() * 4.0 - 12.0)
        .collect();
    for rank in 0..40 {
        row[rank * 3_571 + 17] = 20.0 - rank as f32 * 0.4;
    }
    row
}

/// Times the chain alone: the row is copied afresh outside the timed part.
fn draw(bencher: Bencher, params: &SamplingParams) {
    let row = logits();
    let prompt: Vec<u32> = (0..2_000u32).map(|i| i * i % 5_003).collect();
    let params = SamplingParams {
        seed: Some(1),
        ..params.clone()
    };
    let mut sampler = Sampler::new(&params, VOCAB, &prompt).expect("valid parameters");
    bencher.with_inputs(|| row.clone()).bench_local_refs(|row| {
        sampler
            .sample(row, Decision::Free)
            .map(|drawn| drawn.token)
            .expect("finite logits")
    });
}

fn thinking() -> SamplingParams {
    SamplingParams {
        temperature: 0.6,
        top_k: 20,
        top_p: 0.95,
        ..Default::default()
    }
}

#[divan::bench]
fn greedy(bencher: Bencher) {
    draw(
        bencher,
        &SamplingParams {
            temperature: 0.0,
            ..Default::default()
        },
    );
}

#[divan::bench]
fn top_k_20_top_p_95(bencher: Bencher) {
    draw(bencher, &thinking());
}

#[divan::bench]
fn all_penalties(bencher: Bencher) {
    let params = SamplingParams {
        repetition_penalty: 1.1,
        presence_penalty: 0.5,
        frequency_penalty: 0.1,
        dry: DryParams {
            multiplier: 0.8,
            ..Default::default()
        },
        ..thinking()
    };
    draw(bencher, &params);
}

#[divan::bench]
fn top_20_logprobs(bencher: Bencher) {
    draw(
        bencher,
        &SamplingParams {
            logprobs: Some(20),
            ..thinking()
        },
    );
}

#[divan::bench]
fn top_p_95_alone(bencher: Bencher) {
    draw(
        bencher,
        &SamplingParams {
            top_p: 0.95,
            ..Default::default()
        },
    );
}

#[divan::bench]
fn min_p_5_alone(bencher: Bencher) {
    draw(
        bencher,
        &SamplingParams {
            min_p: 0.05,
            ..Default::default()
        },
    );
}

#[divan::bench]
fn unfiltered(bencher: Bencher) {
    draw(bencher, &SamplingParams::default());
}

/// The twin that the selection replaces: sort the whole row, then the same top-k and top-p.
#[divan::bench]
fn baseline_full_sort(bencher: Bencher) {
    let row = logits();
    bencher.with_inputs(|| row.clone()).bench_local_refs(|row| {
        let mut order: Vec<u32> = (0..VOCAB as u32).collect();
        order.sort_unstable_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        let max = row[order[0] as usize];
        let weights: Vec<f32> = order[..20]
            .iter()
            .map(|&id| ((row[id as usize] - max) / 0.6).exp())
            .collect();
        let mass = weights.iter().sum::<f32>() * 0.95;
        let mut cumulative = 0.0;
        weights.iter().position(|weight| {
            cumulative += weight;
            cumulative >= mass
        })
    });
}
