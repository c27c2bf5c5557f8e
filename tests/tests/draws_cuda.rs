//! Tokens drawn on a device against the sampler of the processor, to the bit: the same plan and the same
//! number must give the same token.
#![cfg(any(feature = "cuda", feature = "cuda-emulated"))]

use ponder_effort::{Chances, Decision, DryParams, Plan, Sampler, SamplingParams, Steer};
use ponder_kernels_cuda::{
    Device,
    draw::{Draw, Drawing, DrawnToken, Logits},
};

struct Chance(u64);

impl Chance {
    /// Steele et al. 2014, SplitMix.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In `[0, 1)`.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Around 0, mostly between -2 and 2.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.float()).sum::<f32>() * 1.5 - 4.5
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn tokens(&mut self, n: usize, n_tokens: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(n_tokens) as u32).collect()
    }

    /// Allows a few tokens, one, or most.
    fn mask(&mut self, n_tokens: usize) -> Vec<u32> {
        let n_words = n_tokens.div_ceil(32);
        if self.below(3) == 0 {
            let mut mask: Vec<u32> = (0..n_words).map(|_| self.next() as u32).collect();
            mask[0] |= 1;
            return mask;
        }
        let mut mask = vec![0; n_words];
        let n = self.of(&[1, 5]);
        for token in self.tokens(n, n_tokens) {
            mask[token as usize / 32] |= 1 << (token % 32);
        }
        mask
    }

    fn params(&mut self, n_tokens: usize) -> SamplingParams {
        let n_biased = self.of(&[0, 0, 3, 40]);
        let biased = self.tokens(n_biased, n_tokens);
        SamplingParams {
            temperature: self.of(&[0.0, 0.3, 0.7, 1.0, 1.0, 2.0]),
            top_k: self.of(&[0, 0, 1, 20, 300, 2048]),
            top_p: self.of(&[1.0, 1.0, 0.95, 0.5, 0.0]),
            min_p: self.of(&[0.0, 0.0, 0.05, 1.0]),
            repetition_penalty: self.of(&[1.0, 1.0, 1.2, 0.7]),
            presence_penalty: self.of(&[0.0, 0.0, 0.6]),
            frequency_penalty: self.of(&[0.0, 0.0, 0.3, -0.1]),
            dry: DryParams {
                multiplier: self.of(&[0.0, 0.0, 0.8]),
                allowed_length: 1,
                ..DryParams::default()
            },
            logit_bias: biased
                .into_iter()
                .map(|token| (token, self.of(&[-100.0, 0.37, 5.0])))
                .collect(),
            seed: Some(self.next()),
            logprobs: self.of(&[None, None, Some(0), Some(5), Some(20)]),
        }
    }

    /// Logits as models have them, and as none should.
    fn row(&mut self, kind: usize, n_tokens: usize) -> Vec<f32> {
        let mut row: Vec<f32> = (0..n_tokens).map(|_| 2.5 * self.normal()).collect();
        match kind {
            0 => {
                // One stands out.
                row[n_tokens / 3] = 25.0;
            }
            1 => {}
            // Many are equal, and some zeros are negative ones.
            2 => row.iter_mut().for_each(|logit| *logit = logit.round()),
            // Far apart, to the ends of what there is.
            3 => row.iter_mut().for_each(|logit| *logit *= 1e37),
            // Hardly apart.
            4 => row
                .iter_mut()
                .for_each(|logit| *logit = 30.0 + *logit * 1e-6),
            _ => row.fill(-3.5),
        }
        row
    }
}

const KINDS: usize = 6;

/// Answers that draw at the same time, on the processor and on the device.
struct Both {
    chains: Vec<Sampler>,
    planners: Vec<Sampler>,
    drawing: Drawing,
    device: Device,
    n_tokens: usize,
    /// Tokens that came from the device, of all.
    n_drawn: usize,
    n_all: usize,
}

fn device() -> Device {
    #[cfg(feature = "cuda-emulated")]
    return Device::for_tests();
    #[cfg(not(feature = "cuda-emulated"))]
    Device::open(0).expect("a device")
}

impl Both {
    fn new(params: &[SamplingParams], prompt: &[u32], n_tokens: usize) -> Self {
        let sampler = |params| Sampler::new(params, n_tokens, prompt).expect("parameters");
        let device = device();
        Self {
            chains: params.iter().map(sampler).collect(),
            planners: params.iter().map(sampler).collect(),
            drawing: Drawing::new(&device).expect("memory"),
            device,
            n_tokens,
            n_drawn: 0,
            n_all: 0,
        }
    }

    /// Everybody draws from the row of `rows` that is named, under a mask and as decided.
    fn draw(&mut self, rows: &[f32], wishes: &[(usize, Option<&[u32]>, Decision<'_>)]) {
        let n_tokens = self.n_tokens;
        let mut is_pushed = Vec::new();
        for (planner, &(row, mask, decision)) in self.planners.iter_mut().zip(wishes) {
            let Plan::Draw(plan) = planner.plan(mask, decision).expect("a plan") else {
                panic!("a token is all that is wanted");
            };
            let draw = Draw {
                row,
                mask: plan.mask,
                repetition: plan.repetition,
                presence: plan.presence,
                frequency: plan.frequency,
                seen: plan.seen,
                added: plan.added,
                raised: plan.raised,
                sharpness: plan.sharpness,
                top_k: plan.top_k,
                top_p: plan.top_p,
                min_p: plan.min_p,
                number: plan.number,
                likeliest: plan.likeliest,
            };
            is_pushed.push(self.drawing.push(&draw, n_tokens));
        }
        let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_ne_bytes()).collect();
        let memory = self.device.alloc(bytes.len()).expect("memory");
        self.device.upload(&bytes, &memory, 0).expect("it fits");
        let logits = Logits {
            memory: &memory,
            n_rows: rows.len() / n_tokens,
            n_tokens,
        };
        let mut tokens: Vec<Option<DrawnToken>> = Vec::new();
        let each = |drawn| tokens.push(drawn);
        self.drawing.run(&logits, each).expect("it runs");
        let mut tokens = tokens.into_iter();
        for (i, &(row, mask, decision)) in wishes.iter().enumerate() {
            let token = is_pushed[i]
                .then(|| tokens.next().expect("a token"))
                .flatten();
            let mut own = rows[row * n_tokens..][..n_tokens].to_vec();
            let before = self.chains[i].clone();
            let want = self.chains[i].sample_masked(&mut own, mask, decision);
            let want = want.expect("a token");
            self.n_all += 1;
            let chances = token.as_ref().map(|drawn| Chances {
                logit: drawn.logit,
                max: drawn.max,
                mass: drawn.mass,
                likeliest: &drawn.likeliest[..drawn.n_likeliest],
            });
            let got = match &token {
                Some(drawn) => self.planners[i].take(drawn.token, chances.as_ref()),
                None => Ok(None),
            };
            let Some(got) = got.expect("a token") else {
                // Of a token that became another one, too, the device does not say all that is wanted.
                self.n_drawn += usize::from(token.is_some());
                self.planners[i].accept(want.token).expect("a token");
                continue;
            };
            self.n_drawn += 1;
            assert_eq!(got, want, "row {row} under {decision:?} with {before:?}");
        }
        assert_eq!(tokens.next(), None);
    }
}

/// Answers of a few tokens to one prompt, with whatever may be wished.
fn answers(seed: u64, n_tokens: usize, n_answers: usize, len: usize) -> (usize, usize) {
    let mut chance = Chance(seed);
    let n_prompt = 30.min(n_tokens);
    let prompt = chance.tokens(n_prompt, n_tokens.min(40));
    let params: Vec<_> = (0..n_answers).map(|_| chance.params(n_tokens)).collect();
    let mut both = Both::new(&params, &prompt, n_tokens);
    for _ in 0..len {
        let kinds = [(); 3].map(|()| chance.below(KINDS));
        let rows: Vec<f32> = kinds
            .iter()
            .flat_map(|&kind| chance.row(kind, n_tokens))
            .collect();
        let masks: Vec<_> = (0..2 * n_answers).map(|_| chance.mask(n_tokens)).collect();
        let lists: Vec<_> = (0..n_answers).map(|_| chance.tokens(8, n_tokens)).collect();
        let wishes: Vec<_> = (0..n_answers)
            .map(|i| {
                let list = &lists[i];
                let mask = Some(&masks[i][..]).filter(|_| chance.below(3) == 0);
                let steer = Steer {
                    ban: [&list[..chance.below(4)], &list[..chance.below(3)]],
                    only: Some(&masks[n_answers + i][..]).filter(|_| chance.below(4) == 0),
                    raise: Some((list[4], chance.of(&[0.0, 0.5, 1.0, 0.3])))
                        .filter(|_| chance.below(2) == 0),
                    instead: Some((&list[5..], list[0])).filter(|_| chance.below(2) == 0),
                };
                let bias = Decision::Bias {
                    token: list[0],
                    amount: 3.3,
                };
                let decision = chance.of(&[Decision::Steer(steer), bias, Decision::Free]);
                (chance.below(3), mask, decision)
            })
            .collect();
        both.draw(&rows, &wishes);
    }
    (both.n_drawn, both.n_all)
}

#[test]
fn the_device_draws_what_the_processor_draws() {
    let (mut drawn, mut all) = (0, 0);
    for (seed, n_tokens) in [1, 31, 33, 70, 500, 1023, 1024, 1025, 3000]
        .into_iter()
        .enumerate()
    {
        let (n_drawn, n_all) = answers(seed as u64, n_tokens, 10, 6);
        (drawn, all) = (drawn + n_drawn, all + n_all);
        // All candidates have room.
        assert!(n_tokens > 2048 || n_drawn == n_all, "{n_drawn} of {n_all}");
    }
    assert!(drawn * 10 > all * 9, "{drawn} of {all} tokens");
}

#[test]
fn a_vocabulary_of_usual_size_is_drawn_from() {
    let mut chance = Chance(7);
    let n_tokens = 151_936;
    let usual = SamplingParams {
        temperature: 0.6,
        top_k: 20,
        top_p: 0.95,
        seed: Some(1),
        ..SamplingParams::default()
    };
    let params = [
        usual.clone(),
        SamplingParams {
            top_k: 0,
            repetition_penalty: 1.1,
            ..usual.clone()
        },
        SamplingParams {
            seed: Some(2),
            ..SamplingParams::default()
        },
        SamplingParams {
            temperature: 0.0,
            ..SamplingParams::default()
        },
        SamplingParams {
            top_k: 0,
            top_p: 1.0,
            min_p: 0.05,
            ..usual
        },
    ];
    let prompt = chance.tokens(100, n_tokens);
    let mut both = Both::new(&params, &prompt, n_tokens);
    let mut row = chance.row(1, n_tokens);
    // As sharp as a model that knows what it says, but for a few ways to go on.
    for (token, logit) in chance.tokens(30, n_tokens).into_iter().zip(8..) {
        row[token as usize] = 8.0 + logit as f32 * 0.3;
    }
    for _ in 0..2 {
        both.draw(&row, &[(0, None, Decision::Free); 5]);
    }
    assert_eq!((both.n_drawn, both.n_all), (10, 10));
}
