use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::sampler::{Steer, add, apply_mask};
use crate::{DryParams, SamplingParams, math};

const VOCAB: usize = 70;

/// A plan carried out as it says.
fn carry_out(sampler: &mut Sampler, draw: &Draw<'_>, row: &mut [f32]) -> u32 {
    if let Some(mask) = draw.mask {
        apply_mask(row, mask);
    }
    for &(token, n) in draw.seen {
        let logit = &mut row[token as usize];
        if *logit > f32::NEG_INFINITY {
            let scaled = match *logit > 0.0 {
                true => *logit / draw.repetition,
                false => *logit * draw.repetition,
            };
            let present = if n > 0 { draw.presence } else { 0.0 };
            *logit = (scaled - draw.frequency * n as f32 - present).clamp(f32::MIN, f32::MAX);
        }
    }
    for &(token, amount) in draw.added {
        add(row, token, amount);
    }
    if let Some((token, share)) = draw.raised {
        let missing = math::max(row) - row[token as usize];
        if missing.is_finite() {
            add(row, token, missing * share);
        }
    }
    sampler.filter.draw(row, draw.number)
}

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    fn float(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1 << 24) as f32
    }

    fn token(&mut self) -> u32 {
        self.below(VOCAB) as u32
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// At random, and where it must allow something, a token at least.
    fn mask(&mut self) -> [u32; VOCAB.div_ceil(32)] {
        let mut mask = [0; VOCAB.div_ceil(32)];
        for _ in 0..=self.below(3) {
            let token = self.below(VOCAB);
            mask[token / 32] |= 1 << (token % 32) | self.below(4) as u32;
        }
        mask
    }

    fn params(&mut self) -> SamplingParams {
        SamplingParams {
            temperature: self.of(&[0.0, 0.5, 1.0, 100.0]),
            top_k: self.of(&[0, 1, 5, 1000]),
            top_p: self.of(&[1.0, 0.9, 0.0]),
            min_p: self.of(&[0.0, 0.1]),
            repetition_penalty: self.of(&[1.0, 1.3, 0.5]),
            presence_penalty: self.of(&[0.0, 0.7]),
            frequency_penalty: self.of(&[0.0, 0.4, -0.2]),
            dry: DryParams {
                multiplier: self.of(&[0.0, 0.8]),
                allowed_length: 1,
                ..DryParams::default()
            },
            logit_bias: (0..self.below(4))
                .map(|_| (self.of(&[3, 69, 12]), self.of(&[-100.0, 0.3, 100.0])))
                .collect(),
            seed: Some(self.0.next_u64()),
            logprobs: None,
        }
    }
}

#[test]
fn a_plan_carried_out_gives_what_the_chain_gives() {
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(1));
    let mut n_instead = 0;
    for _ in 0..300 {
        let params = chance.params();
        let prompt: Vec<u32> = (0..chance.below(20)).map(|_| chance.token()).collect();
        let mut chain = Sampler::new(&params, VOCAB, &prompt).expect("parameters");
        let mut planner = chain.clone();
        for _ in 0..12 {
            let mut row: Vec<f32> = (0..VOCAB)
                .map(|_| chance.of(&[-8.0, 0.0, 2.0, 3.0]) + chance.float())
                .collect();
            let (mask, only) = (chance.mask(), chance.mask());
            let mask = Some(&mask[..]).filter(|_| chance.below(2) == 0);
            let ban = [chance.token(), 5, chance.token()];
            let ending = [(); 20].map(|()| chance.token());
            let steer = Steer {
                ban: [&ban, &ban[..1]],
                only: Some(&only[..]).filter(|_| chance.below(3) == 0),
                raise: Some((chance.token(), chance.float())).filter(|_| chance.below(2) == 0),
                instead: Some((&ending[..], 9)).filter(|_| chance.below(2) == 0),
            };
            let bias = Decision::Bias {
                token: chance.token(),
                amount: 4.0,
            };
            let steer = Decision::Steer(steer);
            let decision = chance.of(&[steer, steer, bias, Decision::Free, Decision::Force(4)]);
            let mut carrier = planner.clone();
            let token = match planner.plan(mask, decision).expect("a plan") {
                Plan::Known(token) => token,
                Plan::Draw(draw) => carry_out(&mut carrier, &draw, &mut row.clone()),
                Plan::Logits => panic!("a token is all that is wanted"),
            };
            let got = planner.take(token, None).expect("a token");
            let want = chain.sample_masked(&mut row, mask, decision);
            let want = want.expect("a token");
            assert_eq!(got, Some(want), "{params:?} {decision:?}");
            n_instead += usize::from(want.is_instead);
        }
    }
    assert!(
        n_instead > 100,
        "{n_instead} tokens were taken instead of others"
    );
}

#[test]
fn a_plan_that_is_not_taken_leaves_no_trace() {
    let params = SamplingParams {
        seed: Some(3),
        presence_penalty: 1.0,
        ..SamplingParams::default()
    };
    let mut planner = Sampler::new(&params, VOCAB, &[]).expect("parameters");
    let mut plain = planner.clone();
    for round in 0..20 {
        let mut row: Vec<f32> = (0..VOCAB).map(|i| ((i * 7 + round) % 11) as f32).collect();
        let ban = [1, 2, 3];
        let steer = Decision::Steer(Steer {
            instead: Some((&ban, 4)),
            ..Steer::default()
        });
        planner.plan(None, steer).expect("a plan");
        let mut copy = row.clone();
        let got = planner.sample(&mut copy, Decision::Free);
        let want = plain.sample(&mut row, Decision::Free);
        assert_eq!(got, want);
    }
}

#[test]
fn probabilities_are_the_chains() {
    let params = SamplingParams {
        logprobs: Some(3),
        seed: Some(1),
        ..SamplingParams::default()
    };
    let mut planner = Sampler::new(&params, VOCAB, &[]).expect("parameters");
    let mut chain = planner.clone();
    let mut row: Vec<f32> = (0..VOCAB).map(|i| ((i * 7) % 11) as f32 / 3.0).collect();
    let max = math::max(&row);
    let likeliest = [3, 14, 25].map(|token| (token, row[token as usize]));
    let mass = math::sum_exp(&row, max, 1.0);
    let raw = row.clone();
    let want = chain.sample(&mut row, Decision::Free).expect("a token");
    let Plan::Draw(draw) = planner.plan(None, Decision::Free).expect("a plan") else {
        panic!("it is to be drawn");
    };
    assert_eq!(draw.likeliest, Some(3));
    let chances = Chances {
        logit: raw[want.token as usize],
        max,
        mass,
        likeliest: &likeliest,
    };
    let got = planner.take(want.token, Some(&chances)).expect("a token");
    assert_eq!(got, Some(want));
}

#[test]
fn probabilities_that_are_not_known_take_logits() {
    let params = SamplingParams {
        logprobs: Some(0),
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(&params, VOCAB, &[]).expect("parameters");
    assert_eq!(sampler.plan(None, Decision::Force(1)), Ok(Plan::Logits));
    let steer = Decision::Steer(Steer {
        instead: Some((&[5], 6)),
        ..Steer::default()
    });
    let plan = sampler.plan(None, steer).expect("a plan");
    assert!(matches!(plan, Plan::Draw(_)));
    let chances = Chances {
        logit: 0.0,
        max: 0.0,
        mass: 70.0,
        likeliest: &[],
    };
    assert_eq!(sampler.take(5, Some(&chances)), Ok(None));
    assert_eq!(sampler.take(7, None), Ok(None));
    let taken = sampler.take(7, Some(&chances)).expect("a token");
    assert_eq!(taken.map(|drawn| drawn.token), Some(7));
}

#[test]
fn bad_wishes_are_refused_without_logits() {
    let mut sampler = Sampler::new(&SamplingParams::default(), VOCAB, &[]).expect("parameters");
    let nothing = [0; VOCAB.div_ceil(32)];
    let refused = sampler.plan(Some(&nothing), Decision::Free);
    assert_eq!(refused, Err(EffortError::AllMasked));
    let known = sampler.plan(Some(&nothing), Decision::Force(2));
    assert_eq!(known, Ok(Plan::Known(2)));
    assert!(sampler.plan(Some(&nothing[1..]), Decision::Free).is_err());
    assert!(sampler.plan(None, Decision::Force(VOCAB as u32)).is_err());
    assert!(sampler.take(VOCAB as u32, None).is_err());
}
