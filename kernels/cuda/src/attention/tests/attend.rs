use super::format::{e4m3, of_factors, stored};
use super::*;
use crate::testing::{download, upload};
use crate::view::View;
use crate::{Precision, Properties};

/// Stands in rows that nobody may write.
const UNTOUCHED: f32 = 7.5;

fn plain(n_heads: usize, scale: f32) -> Append<'static> {
    Append {
        n_heads,
        norms: HeadNorms::default(),
        rope: None,
        growth: None,
        scale,
    }
}

impl Case {
    fn append(&self, tables: &StepTables, [q, k, v]: [&[f32]; 3], scale: f32) -> Vec<f32> {
        let shape = *self.cache.shape();
        let widths = [self.n_heads, shape.n_kv_heads, shape.n_kv_heads].map(|n| n * shape.head_dim);
        let memories = [q, k, v].map(|rows| upload(&self.device, rows));
        let views = [0, 1, 2].map(|i| View::new(&memories[i], widths[i]));
        let batch = AttentionBatch {
            tables,
            bounds: &tables.bounds(),
            group: 0,
        };
        plain(self.n_heads, scale)
            .run(&self.device, &batch, views, &self.cache)
            .expect("it runs");
        download(&self.device, &memories[0], q.len())
    }

    /// Stores everything; gives back the scaled queries of the step.
    fn prepare(&self, random: &mut Random) -> (StepTables, Vec<f32>) {
        let shape = *self.cache.shape();
        let width = shape.n_kv_heads * shape.head_dim;
        let scale = (shape.head_dim as f32).powf(-0.5);
        let history = self.history();
        let before = |of: fn(&Sequence) -> &Vec<f32>| -> Vec<f32> {
            let all = self.sequences.iter();
            all.flat_map(|s| of(s)[..s.position * width].to_vec())
                .collect()
        };
        let (keys, values) = (before(|s| &s.keys), before(|s| &s.values));
        let queries = vec![0.0; history.n_rows() * self.n_heads * shape.head_dim];
        self.append(&history, [&queries, &keys, &values], scale);

        let step = self.step();
        let n_rows = self.n_rows();
        let mut rows = [
            vec![f32::NAN; n_rows * width],
            vec![f32::NAN; n_rows * width],
        ];
        for (sequence, first_row) in self.sequences.iter().zip(&self.first_rows) {
            for (rows, all) in rows.iter_mut().zip([&sequence.keys, &sequence.values]) {
                let own = &all[sequence.position * width..];
                rows[first_row * width..][..own.len()].copy_from_slice(own);
            }
        }
        let mut queries = random.floats(n_rows * self.n_heads * shape.head_dim);
        queries.iter_mut().for_each(|x| *x *= 6.0);
        let queries = self.append(&step, [&queries, &rows[0], &rows[1]], scale);
        (step, queries)
    }

    fn attend(
        &self,
        step: (&StepTables, &StepBounds),
        queries: &[f32],
        precision: Precision,
        scratch: &mut AttentionScratch,
    ) -> Vec<f32> {
        self.attend_as(self.device.properties(), step, queries, precision, scratch)
    }

    fn attend_as(
        &self,
        properties: &Properties,
        (tables, bounds): (&StepTables, &StepBounds),
        queries: &[f32],
        precision: Precision,
        scratch: &mut AttentionScratch,
    ) -> Vec<f32> {
        let width = self.n_heads * self.cache.shape().head_dim;
        let mut padded = queries.to_vec();
        padded.resize(bounds.n_rows * width, f32::NAN);
        let queries = upload(&self.device, &padded);
        let out = upload(&self.device, &vec![UNTOUCHED; padded.len()]);
        let batch = AttentionBatch {
            tables,
            bounds,
            group: 0,
        };
        let sinks = self.sinks.as_ref().map(|sinks| upload(&self.device, sinks));
        let attention = Attention {
            n_heads: self.n_heads,
            sinks: sinks.as_ref(),
            precision,
        };
        let views = [View::new(&queries, width), View::new(&out, width)];
        attention
            .run_as(
                &self.device,
                properties,
                &batch,
                views,
                &self.cache,
                scratch,
            )
            .expect("it runs");
        download(&self.device, &out, padded.len())
    }

    /// The output of one query of one head, and how far a kernel may be from it that rounds weights
    /// by `step`, relative.
    fn expected(
        &self,
        sequence: &Sequence,
        (position, head): (usize, usize),
        query: &[f32],
        (round, step): (&dyn Fn(f32) -> f32, f64),
    ) -> Vec<(f64, f64)> {
        let shape = self.cache.shape();
        let kv_head = head * shape.n_kv_heads / self.n_heads;
        let stored_head = |all: &[f32], token: usize| -> Vec<f32> {
            let at = (token * shape.n_kv_heads + kv_head) * shape.head_dim;
            let numbers = stored(shape.format, &all[at..at + shape.head_dim]);
            numbers.into_iter().map(round).collect()
        };
        let first = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        let scores: Vec<f64> = (first..=position)
            .map(|token| {
                let key = stored_head(&sequence.keys, token);
                let pairs = key.iter().zip(query);
                pairs
                    .map(|(&k, &q)| f64::from(k) * f64::from(round(q)))
                    .sum()
            })
            .collect();
        let sink = self.sinks.as_ref().map(|sinks| f64::from(sinks[head]));
        let competing = || scores.iter().copied().chain(sink);
        let largest = competing().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = competing().map(|score| (score - largest).exp()).sum();
        let mut out = vec![(0.0, 1e-6); shape.head_dim];
        for (token, score) in (first..=position).zip(scores) {
            let weight = (score - largest).exp() / total;
            for ((sum, error), value) in out.iter_mut().zip(stored_head(&sequence.values, token)) {
                *sum += weight * f64::from(value);
                // What rounding takes from weights that are no normal numbers is 2^-25 at most.
                let of_weight = weight * (step + 2e-5) + step * 2f64.powi(-13) / total;
                *error += of_weight * f64::from(value).abs();
            }
        }
        out
    }

    fn check(&self, queries: &[f32], out: &[f32], precision: Precision) {
        let shape = *self.cache.shape();
        let is_fast = precision == Precision::Fast
            && shape.format != KvFormat::F32
            && shape.head_dim.is_multiple_of(8);
        let (round, step) = if is_fast {
            of_factors(shape.format)
        } else {
            ((|x| x) as fn(f32) -> f32, 0.0)
        };
        let width = self.n_heads * shape.head_dim;
        let mut is_own = vec![false; out.len() / width];
        for (sequence, first_row) in self.sequences.iter().zip(&self.first_rows) {
            for i in 0..sequence.n_rows {
                let row = first_row + i;
                is_own[row] = true;
                for head in 0..self.n_heads {
                    let at = row * width + head * shape.head_dim;
                    let query = &queries[at..at + shape.head_dim];
                    let place = (sequence.position + i, head);
                    let want = self.expected(sequence, place, query, (&round, step));
                    for (got, (want, error)) in out[at..].iter().zip(want) {
                        let difference = (f64::from(*got) - want).abs();
                        assert!(
                            difference <= error,
                            "{precision:?} {shape:?}: {got}, not {want} ± {error}, head {head} at {place:?}"
                        );
                    }
                }
            }
        }
        for (row, _) in is_own.iter().enumerate().filter(|(_, is_own)| !**is_own) {
            let own = &out[row * width..][..width];
            assert!(own.iter().all(|&x| x == UNTOUCHED), "row {row} is nobody's");
        }
    }
}

fn shape(format: KvFormat, n_kv_heads: usize, head_dim: usize) -> CacheShape {
    CacheShape {
        format,
        n_kv_heads,
        head_dim,
        n_blocks: 0,
    }
}

/// Runs a case exactly, fast, and as fast as a small device with many multiprocessors would.
fn run(case: &Case, random: &mut Random) {
    let mut scratch = AttentionScratch::new(&case.device).expect("there is memory");
    let (tables, queries) = case.prepare(random);
    let step = (&tables, &tables.bounds());
    for precision in [Precision::Exact, Precision::Fast] {
        let out = case.attend(step, &queries, precision, &mut scratch);
        case.check(&queries, &out, precision);
    }
    let properties = Properties {
        n_multiprocessors: 40,
        shared_memory: 64 << 10,
        ..case.device.properties().clone()
    };
    let out = case.attend_as(&properties, step, &queries, Precision::Fast, &mut scratch);
    case.check(&queries, &out, Precision::Fast);
}

#[test]
fn sinks_below_and_above_all_scores() {
    let mut random = Random(17);
    for format in KvFormat::ALL {
        for (sink, window) in [
            (-30.0, None),
            (0.5, Some(40)),
            (60.0, None),
            (1e30, Some(33)),
        ] {
            let layer = (4, shape(format, 2, 32));
            let mut case = Case::new(&mut random, layer, window, &MIXED);
            case.sinks = Some(vec![sink, 0.0, -sink, 1.0]);
            run(&case, &mut random);
        }
    }
}

/// Decode, drafts and prefill in one step.
const MIXED: [(usize, usize); 5] = [(70, 1), (0, 1), (33, 3), (40, 30), (95, 8)];

#[test]
fn every_format_and_size_of_heads() {
    let mut random = Random(1);
    for format in KvFormat::ALL {
        for head_dim in [32, 64, 80, 128, 256] {
            let spans = [(40, 1), (20, 20)];
            let case = Case::new(&mut random, (2, shape(format, 1, head_dim)), None, &spans);
            run(&case, &mut random);
        }
    }
}

#[test]
fn floats_of_eight_bits_are_widened_exactly() {
    let mut random = Random(9);
    let fast = shape(KvFormat::Fp8, 1, 32);
    // A query sees one token alone: what comes back are its values.
    let case = Case::new(&mut random, (1, fast), Some(1), &[(0, 32)]);
    let block = case.sequences[0].blocks[0] as usize;
    let (tables, queries) = case.prepare(&mut random);
    let mut scratch = AttentionScratch::new(&case.device).expect("there is memory");
    let [_, values] = case.cache.memories();
    for exponent in [-14, 0, 7] {
        // All codes, 32 tokens of 32 of them, then the scales.
        let mut head: Vec<u8> = (0..1024u32).map(|i| (i % 256) as u8).collect();
        head.iter_mut()
            .filter(|code| **code % 128 == 127)
            .for_each(|code| *code -= 1);
        head.extend([((exponent + 15) as u8) << 2; 32]);
        let at = block * fast.block_bytes();
        case.device.upload(&head, values, at).expect("it fits");
        for precision in [Precision::Exact, Precision::Fast] {
            let step = (&tables, &tables.bounds());
            let out = case.attend(step, &queries, precision, &mut scratch);
            let first = case.first_rows[0] * 32;
            for (&got, &code) in out[first..].iter().zip(&head[..1024]) {
                assert_eq!(got, e4m3(code) * 2f32.powi(exponent), "{code:#x}");
            }
        }
    }
}

#[test]
fn every_number_of_query_heads() {
    let mut random = Random(2);
    for group in 1..=8 {
        let format = random.of(&[KvFormat::F16, KvFormat::Bf16]);
        let layer = (2 * group, shape(format, 2, 32));
        let case = Case::new(&mut random, layer, None, &MIXED);
        run(&case, &mut random);
    }
}

#[test]
fn every_window() {
    let mut random = Random(3);
    for window in [1, 5, 31, 32, 33, 64, 90] {
        let format = random.of(&[KvFormat::F16, KvFormat::Q8_0, KvFormat::Fp8]);
        let layer = (4, shape(format, 2, 32));
        let case = Case::new(&mut random, layer, Some(window), &MIXED);
        run(&case, &mut random);
    }
}

#[test]
fn anything_by_chance() {
    for seed in 10..26 {
        let mut random = Random(seed);
        let format = random.of(&KvFormat::ALL);
        let head_dim = random.of(&[8, 16, 40, 64, 72, 96, 7]);
        let n_kv_heads = 1 + random.below(3);
        let n_heads = n_kv_heads * (1 + random.below(5));
        let window = 1 + random.below(100);
        let window = random.of(&[None, None, Some(window)]);
        let spans: Vec<(usize, usize)> = (0..1 + random.below(4))
            .map(|_| (random.below(150), 1 + random.below(12)))
            .collect();
        let layer = (n_heads, shape(format, n_kv_heads, head_dim));
        let case = Case::new(&mut random, layer, window, &spans);
        run(&case, &mut random);
    }
}

#[test]
fn a_long_text_is_split_and_put_together() {
    let mut random = Random(4);
    for (window, spans) in [
        (None, [(900, 1), (700, 20)]),
        (Some(600), [(999, 5), (530, 9)]),
    ] {
        let case = Case::new(
            &mut random,
            (4, shape(KvFormat::F16, 1, 64)),
            window,
            &spans,
        );
        run(&case, &mut random);
    }
}

#[test]
fn a_span_gets_the_same_alone_and_beside_others() {
    let mut random = Random(5);
    let layer = (4, shape(KvFormat::Bf16, 2, 64));
    let case = Case::new(&mut random, layer, None, &[(300, 1), (10, 40), (200, 2)]);
    let mut scratch = AttentionScratch::new(&case.device).expect("there is memory");
    let (tables, queries) = case.prepare(&mut random);
    let together = case.attend(
        (&tables, &tables.bounds()),
        &queries,
        Precision::Fast,
        &mut scratch,
    );
    let width = case.n_heads * 64;
    for (sequence, &first_row) in case.sequences.iter().zip(&case.first_rows) {
        let mut tables = case.tables(1, 1);
        sequence.push(&mut tables, 0);
        tables.upload().expect("there is memory");
        let own = first_row * width..(first_row + sequence.n_rows) * width;
        let bounds = tables.bounds();
        let alone = case.attend(
            (&tables, &bounds),
            &queries[own.clone()],
            Precision::Fast,
            &mut scratch,
        );
        assert_eq!(alone, together[own], "at {}", sequence.position);
    }
}

#[test]
fn launches_for_larger_steps_say_the_same() {
    let mut random = Random(6);
    let layer = (8, shape(KvFormat::F16, 2, 64));
    let case = Case::new(&mut random, layer, None, &[(100, 1), (40, 2)]);
    let mut scratch = AttentionScratch::new(&case.device).expect("there is memory");
    let (tables, queries) = case.prepare(&mut random);
    let own = case.attend(
        (&tables, &tables.bounds()),
        &queries,
        Precision::Fast,
        &mut scratch,
    );
    let tables = case.tables(32, 4);
    let n_allocations = case.device.n_allocations();
    let tables = case.put_step(tables);
    let n_grown = case.device.n_allocations() - n_allocations;
    assert_eq!(n_grown, 1, "for its blocks");
    for precision in [Precision::Fast, Precision::Exact] {
        let bounds = StepBounds::decode(4, 8, 1000);
        let larger = case.attend((&tables, &bounds), &queries, precision, &mut scratch);
        case.check(&queries, &larger, precision);
        if precision == Precision::Fast {
            assert_eq!(larger[..own.len()], own);
        }
    }
}

#[test]
fn a_captured_launch_does_later_steps() {
    let mut random = Random(8);
    let layer = (8, shape(KvFormat::F16, 2, 64));
    let case = Case::new(&mut random, layer, Some(70), &[(250, 1), (40, 3), (63, 2)]);
    let device = &case.device;
    let mut scratch = AttentionScratch::new(device).expect("there is memory");
    let (tables, queries) = case.prepare(&mut random);
    let want = case.attend(
        (&tables, &tables.bounds()),
        &queries,
        Precision::Fast,
        &mut scratch,
    );

    let bounds = StepBounds::decode(4, 4, 300);
    let mut tables = case.put_step(case.tables(16, 4));
    let width = 8 * 64;
    let memory = upload(device, &vec![0.0; bounds.n_rows * width]);
    let out = upload(device, &vec![UNTOUCHED; bounds.n_rows * width]);
    let attention = Attention {
        n_heads: 8,
        sinks: None,
        precision: Precision::Fast,
    };
    let mut launch = |tables: &StepTables| {
        let batch = AttentionBatch {
            tables,
            bounds: &bounds,
            group: 0,
        };
        let views = [View::new(&memory, width), View::new(&out, width)];
        attention
            .run(device, &batch, views, &case.cache, &mut scratch)
            .expect("it runs");
    };
    tables.clear();
    case.sequences[0].push(&mut tables, 2);
    tables.upload_for(&bounds).expect("there is memory");
    launch(&tables);
    device.begin_capture().expect("nothing is captured");
    launch(&tables);
    let mut graph = device.end_capture().expect("it was captured");

    let n_allocations = case.device.n_allocations();
    tables.clear();
    for (sequence, &first_row) in case.sequences.iter().zip(&case.first_rows) {
        sequence.push(&mut tables, first_row);
    }
    tables.upload_for(&bounds).expect("it fits");
    assert_eq!(
        case.device.n_allocations(),
        n_allocations,
        "nothing has moved"
    );
    let bytes: Vec<u8> = queries.iter().flat_map(|x| x.to_ne_bytes()).collect();
    device.upload(&bytes, &memory, 0).expect("it fits");
    let cleared: Vec<u8> = [UNTOUCHED; 8 * 64]
        .iter()
        .flat_map(|x| x.to_ne_bytes())
        .collect();
    device
        .upload(&cleared, &out, 2 * 4 * width)
        .expect("it fits");
    device.replay(&mut graph).expect("it runs");
    assert_eq!(download(device, &out, want.len()), want);
}

#[test]
fn parts_of_one_buffer_will_do() {
    let mut random = Random(7);
    let layer = (4, shape(KvFormat::F16, 2, 32));
    let case = Case::new(&mut random, layer, None, &[(40, 3)]);
    let (tables, queries) = case.prepare(&mut random);
    let bounds = tables.bounds();
    let mut scratch = AttentionScratch::new(&case.device).expect("there is memory");
    let own = case.attend((&tables, &bounds), &queries, Precision::Fast, &mut scratch);
    let n_rows = bounds.n_rows;
    let mut wide = vec![f32::NAN; n_rows * 200];
    for row in 0..n_rows {
        wide[row * 200 + 8..][..128].copy_from_slice(&queries[row * 128..][..128]);
    }
    let wide = upload(&case.device, &wide);
    let out = upload(&case.device, &vec![UNTOUCHED; n_rows * 132]);
    let batch = AttentionBatch {
        tables: &tables,
        bounds: &bounds,
        group: 0,
    };
    let attention = Attention {
        n_heads: 4,
        sinks: None,
        precision: Precision::Fast,
    };
    let views = [View::part(&wide, 8, 200), View::part(&out, 4, 132)];
    attention
        .run(&case.device, &batch, views, &case.cache, &mut scratch)
        .expect("it runs");
    let out = download(&case.device, &out, n_rows * 132);
    for row in 0..n_rows {
        assert_eq!(out[row * 132 + 4..][..128], own[row * 128..][..128]);
        assert_eq!(out[row * 132..][..4], [UNTOUCHED; 4]);
    }
}
