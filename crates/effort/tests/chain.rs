//! The chain against a slow, plain twin written from the formulas, in `f64` and with full sorts.

use ponder_effort::{Decision, DryParams, EffortError, Sampler, SamplingParams};
use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

const VOCAB: usize = 70;

/// The distribution that the next token is drawn from, likeliest first, or `None` where `f32`
/// and `f64` may rightly disagree about the edge of top-p or min-p.
fn plain(
    params: &SamplingParams,
    logits: &[f32],
    mask: Option<&[u32]>,
    decision: Decision,
    prompt: &[u32],
    answer: &[u32],
) -> Option<Vec<(u32, f64)>> {
    let mut row: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|&l| f64::from(l))).collect();
    row.retain(|&(id, _)| mask.is_none_or(|mask| mask[id as usize / 32] >> (id % 32) & 1 == 1));
    let repetition = f64::from(params.repetition_penalty);
    for (id, logit) in &mut row {
        let count = answer.iter().filter(|token| *token == id).count() as f64;
        if prompt.contains(id) || count > 0.0 {
            *logit = if *logit > 0.0 {
                *logit / repetition
            } else {
                *logit * repetition
            };
        }
        *logit -= f64::from(params.frequency_penalty) * count;
        *logit -= if count > 0.0 {
            f64::from(params.presence_penalty)
        } else {
            0.0
        };
        *logit -= dry(&params.dry, &[prompt, answer].concat(), *id);
        *logit += params
            .logit_bias
            .iter()
            .filter(|(t, _)| t == id)
            .map(|b| f64::from(b.1))
            .sum::<f64>();
        match decision {
            Decision::Bias { token, amount } if token == *id => *logit += f64::from(amount),
            _ => {}
        }
    }
    row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
    // Logits that differ by rounding alone may change places.
    if row
        .windows(2)
        .any(|w| w[0].1 != w[1].1 && close(w[0].1, w[1].1))
    {
        return None;
    }
    if params.temperature == 0.0 {
        return Some(vec![(row[0].0, 1.0)]);
    }
    if params.top_k > 0 {
        row.truncate(params.top_k);
    }
    let max = row[0].1;
    for entry in &mut row {
        entry.1 = ((entry.1 - max) / f64::from(params.temperature)).exp();
    }
    let mass: f64 = row.iter().map(|entry| entry.1).sum();
    let (top_p, min_p) = (f64::from(params.top_p), f64::from(params.min_p));
    if top_p < 1.0 {
        let mut cumulative = 0.0;
        let mut kept = 0;
        for entry in &row {
            cumulative += entry.1 / mass;
            kept += 1;
            if close(cumulative, top_p) {
                return None;
            }
            if cumulative > top_p {
                break;
            }
        }
        row.truncate(kept);
    }
    if row.iter().any(|entry| close(entry.1, min_p)) && min_p > 0.0 && min_p < 1.0 {
        return None;
    }
    row.retain(|entry| entry.1 >= min_p);
    if params.top_k == 0 && top_p >= 1.0 && min_p == 0.0 {
        row.sort_by_key(|entry| entry.0);
    }
    let mass: f64 = row.iter().map(|entry| entry.1).sum();
    row.iter_mut().for_each(|entry| entry.1 /= mass);
    Some(row)
}

/// DRY without breakers or range: the longest repetition that `token` would continue.
fn dry(params: &DryParams, context: &[u32], token: u32) -> f64 {
    let n = context.len();
    let longest = (1..n)
        .filter(|&at| context[at] == token)
        .map(|at| {
            (1..=at)
                .take_while(|len| context[at - len] == context[n - len])
                .count()
        })
        .max()
        .unwrap_or(0);
    if longest < params.allowed_length {
        return 0.0;
    }
    let exponent = (longest - params.allowed_length) as i32;
    f64::from(params.multiplier) * f64::from(params.base).powi(exponent)
}

/// What the inverse distribution function gives for `u`; `None` next to a border.
fn invert(distribution: &[(u32, f64)], u: f64) -> Option<u32> {
    let mut cumulative = 0.0;
    for &(id, p) in distribution {
        cumulative += p;
        if (u - cumulative).abs() < 1e-5 {
            return (distribution.len() == 1).then_some(id);
        }
        if u < cumulative {
            return Some(id);
        }
    }
    distribution.last().map(|entry| entry.0)
}

fn params() -> impl Strategy<Value = SamplingParams> {
    let filters = (
        prop_oneof![1 => Just(0.0f32), 6 => 0.2f32..2.0],
        prop_oneof![Just(0usize), 1usize..80],
        prop_oneof![Just(1.0f32), 0.0f32..1.0],
        prop_oneof![Just(0.0f32), 0.0f32..0.5],
    );
    let penalties = (
        prop_oneof![Just(1.0f32), 0.5f32..2.0],
        prop_oneof![Just(0.0f32), -2.0f32..2.0],
        prop_oneof![Just(0.0f32), -2.0f32..2.0],
        prop_oneof![Just(0.0f32), 0.1f32..2.0],
    );
    let bias = prop::collection::vec((0u32..VOCAB as u32, -5.0f32..5.0), 0..3);
    (filters, penalties, bias, any::<u64>()).prop_map(|(filters, penalties, logit_bias, seed)| {
        let (temperature, top_k, top_p, min_p) = filters;
        let (repetition_penalty, presence_penalty, frequency_penalty, multiplier) = penalties;
        SamplingParams {
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            dry: DryParams {
                multiplier,
                ..Default::default()
            },
            logit_bias,
            seed: Some(seed),
            logprobs: Some(3),
        }
    })
}

fn decision() -> impl Strategy<Value = Decision<'static>> {
    let token = 0u32..VOCAB as u32;
    prop_oneof![
        4 => Just(Decision::Free),
        2 => (token.clone(), -9.0f32..9.0).prop_map(|(token, amount)| Decision::Bias { token, amount }),
        1 => token.prop_map(Decision::Force),
    ]
}

fn mask() -> impl Strategy<Value = Option<Vec<u32>>> {
    let words = prop::collection::vec(prop_oneof![Just(0u32), Just(u32::MAX), any::<u32>()], 3);
    prop::option::of(words)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn chain_equals_the_plain_twin(
        params in params(),
        prompt in prop::collection::vec(0u32..12, 0..30),
        steps in prop::collection::vec(
            (prop::collection::vec(-6.0f32..6.0, VOCAB), mask(), decision()), 1..12),
    ) {
        let mut sampler = Sampler::new(&params, VOCAB, &prompt).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(params.seed.unwrap());
        let mut answer = Vec::new();
        for (logits, mask, decision) in steps {
            let mask = mask.as_deref();
            let allowed = |id: usize| mask.is_none_or(|mask| mask[id / 32] >> (id % 32) & 1 == 1);
            let forced = matches!(decision, Decision::Force(_));
            let result = sampler.sample_masked(&mut logits.clone(), mask, decision);
            if !forced && !(0..VOCAB).any(allowed) {
                prop_assert_eq!(result, Err(EffortError::AllMasked));
                continue;
            }
            let drawn = result.unwrap();
            let u = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            let want = match decision {
                Decision::Force(token) => Some(token),
                _ => plain(&params, &logits, mask, decision, &prompt, &answer)
                    .and_then(|distribution| invert(&distribution, u)),
            };
            if let Some(want) = want {
                prop_assert_eq!(drawn.token, want);
            }
            prop_assert!(forced || allowed(drawn.token as usize));
            answer.push(drawn.token);

            let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let logprob = |id: u32| f64::from(logits[id as usize]) - sum.ln();
            prop_assert!((f64::from(drawn.logprob.unwrap()) - logprob(drawn.token)).abs() < 1e-5);
            let mut ids: Vec<u32> = (0..VOCAB as u32).collect();
            ids.sort_by(|&a, &b| logprob(b).total_cmp(&logprob(a)).then(a.cmp(&b)));
            let top: Vec<u32> = drawn.top_logprobs.iter().map(|t| t.token).collect();
            prop_assert_eq!(&top[..], &ids[..3]);
            for t in drawn.top_logprobs {
                prop_assert!((f64::from(t.logprob) - logprob(t.token)).abs() < 1e-5);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Large enough that top-p and min-p have to look beyond their first guess, and that an
    /// unfiltered draw crosses blocks.
    #[test]
    fn large_vocabulary_equals_the_plain_twin(
        seed in any::<u64>(),
        temperature in 0.3f32..3.0,
        top_p in prop_oneof![Just(1.0f32), 0.5f32..1.0],
        min_p in prop_oneof![Just(0.0f32), 0.0f32..0.3],
        spread in 0.5f32..8.0,
        stride in prop_oneof![Just(7919u32), Just(1009), Just(2)],
    ) {
        const N: u32 = 5003;
        // A prime length: every stride visits each level once, so no two logits are near.
        let level = |id: u32| (id * stride % N) as f32 / N as f32;
        let logits: Vec<f32> = (0..N).map(|id| level(id) * spread).collect();
        let params = SamplingParams { temperature, top_p, min_p, seed: Some(seed), ..Default::default() };
        let mut sampler = Sampler::new(&params, N as usize, &[]).unwrap();
        let u = (ChaCha8Rng::seed_from_u64(seed).next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let want = plain(&params, &logits, None, Decision::Free, &[], &[])
            .and_then(|distribution| invert(&distribution, u));
        prop_assume!(want.is_some());
        let drawn = sampler.sample(&mut logits.clone(), Decision::Free).unwrap();
        prop_assert_eq!(Some(drawn.token), want);
    }
}

/// The twin must judge most cases itself, or the test above would say nothing.
#[test]
fn the_twin_seldom_abstains() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let logits = prop::collection::vec(-6.0f32..6.0, VOCAB);
    let judged = (0..500)
        .filter(|_| {
            let params = params().new_tree(&mut runner).unwrap().current();
            let logits = logits.new_tree(&mut runner).unwrap().current();
            plain(&params, &logits, None, Decision::Free, &[1, 2], &[3])
                .and_then(|distribution| invert(&distribution, 0.37))
                .is_some()
        })
        .count();
    assert!(judged > 450, "{judged} of 500");
}
