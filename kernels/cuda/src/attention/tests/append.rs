use ponder_kernels_cpu::Isa;
use ponder_kernels_cpu::elementwise::{RopePairs, rms_norm_heads, rope};

use super::format::{e4m3, nearest_e4m3, stored};
use super::*;
use crate::Arg;
use crate::testing::{assert_close, download, download_bytes, upload};
use crate::view::View;

const EPS: f32 = 1e-5;

/// What is done to queries and keys.
struct Recipe {
    frequencies: Vec<f32>,
    long: Vec<f32>,
    /// Planned length up to which the first frequencies count.
    border: usize,
    factor: f32,
    interleaved: bool,
    /// Weights of the norms of queries and keys, and what is added to them.
    norms: Option<(Vec<f32>, Vec<f32>, f32)>,
    growth: Option<QueryGrowth>,
    scale: f32,
}

impl Recipe {
    fn new(random: &mut Random, head_dim: usize, n_pairs: usize) -> Self {
        let frequency = |i: usize| 10000f32.powf(-(i as f32) / n_pairs.max(1) as f32);
        let has_norms = random.below(2) == 0;
        let grows = random.below(2) == 0;
        Self {
            frequencies: (0..n_pairs).map(frequency).collect(),
            long: (0..n_pairs).map(|i| frequency(i) / 3.0).collect(),
            border: 60,
            factor: 1.25,
            interleaved: random.below(2) == 0,
            norms: has_norms.then(|| (random.floats(head_dim), random.floats(head_dim), 1.0)),
            growth: grows.then_some(QueryGrowth {
                beta: 0.3,
                period: 7,
            }),
            scale: 0.21,
        }
    }

    fn heads(
        &self,
        row: &[f32],
        is_query: bool,
        head_dim: usize,
        span: (usize, usize),
    ) -> Vec<f32> {
        let (position, planned_len) = span;
        let mut heads = row.to_vec();
        if let Some((query, key, offset)) = &self.norms {
            let weight = if is_query { query } else { key };
            rms_norm_heads(Isa::Scalar, &mut heads, weight, EPS, *offset);
        }
        let is_long = planned_len > self.border;
        let frequencies = if is_long {
            &self.long
        } else {
            &self.frequencies
        };
        let angles = frequencies
            .iter()
            .map(|frequency| position as f32 * frequency);
        let turns = angles.map(|angle| (angle.cos() * self.factor, angle.sin() * self.factor));
        let (cos, sin): (Vec<f32>, Vec<f32>) = turns.unzip();
        let pairs = if self.interleaved {
            RopePairs::Interleaved
        } else {
            RopePairs::Halves
        };
        rope(Isa::Scalar, pairs, &cos, &sin, &mut heads, head_dim);
        let growth = self.growth.map_or(1.0, |growth| {
            1.0 + growth.beta * ((position / growth.period) as f32).ln_1p()
        });
        if is_query {
            heads.iter_mut().for_each(|x| *x *= growth * self.scale);
        }
        heads
    }
}

/// The numbers of a token's head in the cache.
fn cached(case: &Case, memory: usize, block: u32, token: usize, head: usize) -> Vec<f32> {
    let shape = case.cache.shape();
    let head_bytes = shape.block_bytes() / shape.n_kv_heads;
    let memory = case.cache.memories()[memory];
    let bytes = download_bytes(&case.device, memory, memory.len());
    let bytes = &bytes[(block as usize * shape.n_kv_heads + head) * head_bytes..][..head_bytes];
    let dim = shape.head_dim;
    let mut out = vec![0.0; dim];
    match shape.format {
        KvFormat::F32 => {
            let words = bytes[4 * token * dim..].as_chunks().0;
            out.iter_mut()
                .zip(words)
                .for_each(|(x, &word)| *x = f32::from_ne_bytes(word));
        }
        KvFormat::F16 => {
            ponder_kernels_cpu::f16_to_f32(&bytes[2 * token * dim..][..2 * dim], &mut out);
        }
        KvFormat::Bf16 => {
            ponder_kernels_cpu::bf16_to_f32(&bytes[2 * token * dim..][..2 * dim], &mut out);
        }
        KvFormat::Q8_0 => {
            let n_scales = dim.div_ceil(32);
            let mut scales = vec![0.0; n_scales];
            let at = BLOCK_LEN * dim + 2 * token * n_scales;
            ponder_kernels_cpu::f16_to_f32(&bytes[at..][..2 * n_scales], &mut scales);
            for (i, (x, &code)) in out.iter_mut().zip(&bytes[token * dim..]).enumerate() {
                *x = f32::from(code.cast_signed()) * scales[i / 32];
            }
        }
        KvFormat::Fp8 => {
            let scales = &bytes[BLOCK_LEN * dim + token * dim.div_ceil(32)..];
            for (i, (x, &code)) in out.iter_mut().zip(&bytes[token * dim..]).enumerate() {
                let exponent = i32::from(scales[i / 32] >> 2) - 15;
                *x = e4m3(code) * 2f32.powi(exponent);
            }
        }
    }
    out
}

fn check(random: &mut Random, case: &Case, recipe: &Recipe) {
    let (device, shape) = (&case.device, *case.cache.shape());
    let tables = case.put_step(case.tables(40, 4));
    let bounds = tables.bounds();
    let [width, kv_width] = [case.n_heads, shape.n_kv_heads].map(|n| n * shape.head_dim);
    let q = random.floats(bounds.n_rows * width);
    let k = random.floats(bounds.n_rows * kv_width);
    let v = random.floats(bounds.n_rows * kv_width);
    let memories = [&q, &k, &v].map(|rows| upload(device, rows));
    let table = RopeTable {
        frequencies: &recipe.frequencies,
        long: Some((recipe.border, &recipe.long)),
        factor: recipe.factor,
        interleaved: recipe.interleaved,
    };
    let mut rope = Rope::new(device, &table, 1).expect("there is memory");
    rope.update(&tables, &bounds).expect("it runs");
    let norms = recipe.norms.as_ref();
    let norms = norms.map(|(q, k, offset)| (upload(device, q), upload(device, k), *offset));
    let append = Append {
        n_heads: case.n_heads,
        norms: HeadNorms {
            query: norms.as_ref().map(|(query, _, _)| query),
            key: norms.as_ref().map(|(_, key, _)| key),
            eps: EPS,
            offset: norms.as_ref().map_or(0.0, |(_, _, offset)| *offset),
        },
        rope: (!recipe.frequencies.is_empty()).then_some(&rope),
        growth: recipe.growth,
        scale: recipe.scale,
    };
    let batch = AttentionBatch {
        tables: &tables,
        bounds: &bounds,
        group: 0,
    };
    let views = [width, kv_width, kv_width];
    let views = [0, 1, 2].map(|i| View::new(&memories[i], views[i]));
    append
        .run(device, &batch, views, &case.cache)
        .expect("it runs");

    let queries = download(device, &memories[0], q.len());
    let mut want_queries = q.clone();
    for (sequence, first_row) in case.sequences.iter().zip(&case.first_rows) {
        for i in 0..sequence.n_rows {
            let (row, position) = (first_row + i, sequence.position + i);
            let span = (position, sequence.position + sequence.n_rows);
            let own = row * width..(row + 1) * width;
            let heads = recipe.heads(&q[own.clone()], true, shape.head_dim, span);
            want_queries[own].copy_from_slice(&heads);
            let own = row * kv_width..(row + 1) * kv_width;
            let keys = recipe.heads(&k[own.clone()], false, shape.head_dim, span);
            let block = sequence.blocks[position / BLOCK_LEN];
            for head in 0..shape.n_kv_heads {
                let own = head * shape.head_dim..(head + 1) * shape.head_dim;
                let token = position % BLOCK_LEN;
                // The last bits of turned keys may differ, which a step of eight bits or the last of
                // 16 bits can follow.
                let tolerance = match shape.format {
                    KvFormat::F32 => 1e-5,
                    KvFormat::F16 => 1.0 / 1024.0,
                    KvFormat::Bf16 => 1.0 / 128.0,
                    KvFormat::Q8_0 => 1.0 / 40.0,
                    KvFormat::Fp8 => 1.0 / 8.0,
                };
                let want = stored(shape.format, &keys[own.clone()]);
                assert_close(
                    &cached(case, 0, block, token, head),
                    &want,
                    tolerance,
                    "keys",
                );
                let value = &v[row * kv_width..][own];
                let want = stored(shape.format, value);
                assert_eq!(cached(case, 1, block, token, head), want, "values");
            }
        }
    }
    assert_close(&queries, &want_queries, 1e-5, "queries");
}

#[test]
fn queries_keys_and_values_are_made_ready() {
    for seed in 0..25 {
        let mut random = Random(seed);
        let head_dim = random.of(&[7, 8, 32, 64, 80, 128, 256]);
        let n_pairs = [0, 1, head_dim / 4, head_dim / 2][random.below(4)];
        let n_kv_heads = 1 + random.below(3);
        let shape = CacheShape {
            format: KvFormat::ALL[seed as usize % KvFormat::ALL.len()],
            n_kv_heads,
            head_dim,
            n_blocks: 0,
        };
        let n_heads = n_kv_heads * (1 + random.below(3));
        let spans = [(50, 3), (70, 1), (0, 4)];
        let case = Case::new(&mut random, (n_heads, shape), None, &spans);
        let recipe = Recipe::new(&mut random, head_dim, n_pairs);
        check(&mut random, &case, &recipe);
    }
}

/// What a row of values becomes in a cache with one head.
fn through_cache(format: KvFormat, row: &[f32]) -> Vec<f32> {
    let shape = CacheShape {
        format,
        n_kv_heads: 1,
        head_dim: row.len(),
        n_blocks: 0,
    };
    let case = Case::new(&mut Random(3), (1, shape), None, &[(0, 1)]);
    let tables = case.put_step(case.tables(2, 1));
    let rows = row.repeat(case.n_rows());
    let memories = [0, 1, 2].map(|_| upload(&case.device, &rows));
    let append = Append {
        n_heads: 1,
        norms: HeadNorms::default(),
        rope: None,
        growth: None,
        scale: 1.0,
    };
    let batch = AttentionBatch {
        tables: &tables,
        bounds: &tables.bounds(),
        group: 0,
    };
    let views = [0, 1, 2].map(|i| View::new(&memories[i], row.len()));
    append
        .run(&case.device, &batch, views, &case.cache)
        .expect("it runs");
    cached(&case, 1, case.sequences[0].blocks[0], 0, 0)
}

#[test]
fn numbers_beyond_a_format_become_its_largest() {
    for (format, largest) in [
        (KvFormat::F16, 65504.0),
        (KvFormat::Q8_0, 127.0 * 65504.0),
        (KvFormat::Fp8, 448.0 * 128.0),
    ] {
        for x in [1e9, f32::MAX, f32::INFINITY] {
            assert_eq!(through_cache(format, &[x; 32]), [largest; 32]);
            assert_eq!(through_cache(format, &[-x; 32]), [-largest; 32]);
        }
    }
}

/// All numbers of E4M3, what lies halfway between two and close to that, and what is no number.
fn borders() -> Vec<f32> {
    let numbers = (0..0x7e).map(|code| (e4m3(code), e4m3(code + 1)));
    let mut all: Vec<f32> = numbers
        .flat_map(|(a, b)| [a, (a + b) / 2.0, b])
        .flat_map(|x| [x.next_down(), x, x.next_up()])
        .filter(|&x| x <= 448.0)
        .collect();
    all.extend([2f32.powi(-10).next_up(), 1e-30, f32::MIN_POSITIVE / 4.0]);
    all
}

#[test]
fn floats_of_eight_bits_are_the_nearest() {
    // The largest number makes the scale 1.
    for row in borders().chunks(31) {
        for sign in [1.0, -1.0] {
            let row: Vec<f32> = [448.0].iter().chain(row).map(|x| x * sign).collect();
            let got = through_cache(KvFormat::Fp8, &row);
            for (&x, got) in row.iter().zip(got) {
                let want = nearest_e4m3(x);
                assert_eq!(got.to_bits(), want.to_bits(), "{x:e}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn scales_are_the_least_that_hold_the_largest_number() {
    for exponent in -30..20 {
        for largest in [1.0, 1.75, 1.75f32.next_up(), 1.9] {
            let mut row = [0.0; 32];
            row[7] = largest * 2f32.powi(exponent);
            row[9] = row[7] / -3.0;
            let want = stored(KvFormat::Fp8, &row);
            assert_eq!(through_cache(KvFormat::Fp8, &row), want, "{:e}", row[7]);
        }
    }
}

#[test]
fn what_is_no_number_stays_that_and_leaves_others_alone() {
    let mut row = [0.5f32; 32];
    row[3] = f32::NAN;
    for (i, x) in through_cache(KvFormat::Fp8, &row).into_iter().enumerate() {
        assert!(if i == 3 { x.is_nan() } else { x == 0.5 }, "{i}: {x}");
    }
}

#[test]
fn angles_far_from_the_beginning_are_exact() {
    let device = Device::for_tests();
    let shape = StepShape {
        max_rows: 1,
        max_spans: 1,
        max_blocks: 1,
        groups: Vec::new(),
        n_slots: 0,
    };
    let mut tables = StepTables::new(&device, shape).expect("there is memory");
    let position = 1_000_003;
    let span = StepSpan {
        first_row: 0,
        n_rows: 1,
        position,
        planned_len: position + 1,
        slot: None,
    };
    tables.push(span, []);
    tables.upload().expect("it fits");
    let frequencies = [1.0, 0.37, 0.0001];
    let table = RopeTable {
        frequencies: &frequencies,
        long: None,
        factor: 1.0,
        interleaved: false,
    };
    let mut rope = Rope::new(&device, &table, 0).expect("there is memory");
    rope.update(&tables, &tables.bounds()).expect("it runs");
    let Arg::Memory(turns, 0) = rope.turns() else {
        panic!("angles are in memory")
    };
    let want = frequencies
        .map(|f| f64::from(position as f32 * f))
        .map(|a| [a.cos(), a.sin()]);
    let want: Vec<f32> = want.as_flattened().iter().map(|&x| x as f32).collect();
    assert_close(&download(&device, turns, 6), &want, 1e-6, "turns");
}

#[test]
fn a_block_is_copied() {
    let mut random = Random(1);
    let shape = CacheShape {
        format: KvFormat::Q8_0,
        n_kv_heads: 2,
        head_dim: 40,
        n_blocks: 0,
    };
    let case = Case::new(&mut random, (2, shape), None, &[(0, 70)]);
    let recipe = Recipe::new(&mut random, 40, 8);
    check(&mut random, &case, &recipe);
    let used = &case.sequences[0].blocks;
    let unused = (0..5)
        .find(|block| !used.contains(block))
        .expect("two of five");
    case.cache
        .copy_block(used[1], unused)
        .expect("there are two");
    for memory in 0..2 {
        for token in [0, 31] {
            let copy = cached(&case, memory, unused, token, 1);
            assert_eq!(copy, cached(&case, memory, used[1], token, 1));
        }
    }
}
