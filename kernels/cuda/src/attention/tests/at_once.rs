//! Appending and attention in one launch: the same bits as one after the other.

use super::*;
use crate::testing::{download, download_bytes, upload};
use crate::view::View;
use crate::{Memory, Precision};

/// Layers with norms and position encodings.
struct Parts {
    norms: [Memory; 2],
    rope: Rope,
}

impl Parts {
    fn new(random: &mut Random, case: &Case, tables: &StepTables) -> Self {
        let (device, head_dim) = (&case.device, case.cache.shape().head_dim);
        let table = RopeTable {
            frequencies: &random.floats(head_dim / 4),
            long: None,
            factor: 1.25,
            interleaved: random.below(2) == 0,
        };
        let mut rope = Rope::new(device, &table, 1).expect("there is memory");
        rope.update(tables, &tables.bounds()).expect("it runs");
        let norms = [0, 1].map(|_| upload(device, &random.floats(head_dim)));
        Self { norms, rope }
    }

    fn append(&self, n_heads: usize) -> Append<'_> {
        Append {
            n_heads,
            norms: HeadNorms {
                query: Some(&self.norms[0]),
                key: Some(&self.norms[1]),
                eps: 1e-5,
                offset: 1.0,
            },
            rope: Some(&self.rope),
            growth: Some(QueryGrowth {
                beta: 0.3,
                period: 7,
            }),
            scale: 0.2,
        }
    }
}

/// What both give: outputs, and the bits of keys and values, of which the step's are written.
fn check(random: &mut Random, case: &Case) {
    let device = &case.device;
    let tables = case.step();
    let (shape, bounds) = (*case.cache.shape(), tables.bounds());
    let batch = AttentionBatch {
        tables: &tables,
        bounds: &bounds,
        group: 0,
    };
    // What sequences have seen before, as any bits that are numbers.
    let before: Vec<Vec<u8>> = case
        .cache
        .memories()
        .iter()
        .map(|memory| (0..memory.len()).map(|_| random.below(59) as u8).collect())
        .collect();
    let parts = Parts::new(random, case, &tables);
    let [width, narrow] = [case.n_heads, shape.n_kv_heads].map(|n| n * shape.head_dim);
    let widths = [width, narrow, narrow, width];
    let rows = widths.map(|width| random.floats(bounds.n_rows * width));
    let run = |at_once: bool| {
        for (memory, bytes) in case.cache.memories().into_iter().zip(&before) {
            device.upload(bytes, memory, 0).expect("it fits");
        }
        let memories = rows.each_ref().map(|rows| upload(device, rows));
        let views = [0, 1, 2, 3].map(|i| View::new(&memories[i], widths[i]));
        let [queries, keys, values, out] = views;
        let mut scratch = AttentionScratch::new(device).expect("there is memory");
        let append = parts.append(case.n_heads);
        let attention = Attention {
            n_heads: case.n_heads,
            sinks: None,
            precision: Precision::Fast,
        };
        if at_once {
            attention
                .run_with(device, &append, &batch, views, &case.cache, &mut scratch)
                .expect("it runs");
            let left = download(device, &memories[0], rows[0].len());
            let is_one_launch = case.sequences.iter().all(|one| one.n_rows == 1);
            assert_eq!(left == rows[0], is_one_launch, "queries stay");
        } else {
            append
                .run(device, &batch, [queries, keys, values], &case.cache)
                .expect("it runs");
            attention
                .run(device, &batch, [queries, out], &case.cache, &mut scratch)
                .expect("it runs");
        }
        let cached = case.cache.memories();
        let cached = cached.map(|memory| download_bytes(device, memory, memory.len()));
        let out = download(device, &memories[3], rows[3].len());
        assert!(out.iter().all(|number| number.is_finite()), "{out:?}");
        (out, cached)
    };
    assert!(run(true) == run(false), "{shape:?}");
}

#[test]
fn one_launch_does_what_two_do() {
    let mut random = Random(11);
    for format in [KvFormat::F16, KvFormat::Bf16, KvFormat::Q8_0, KvFormat::Fp8] {
        for (head_dim, n_heads, n_kv_heads) in [(64, 4, 2), (80, 3, 1), (128, 16, 1), (256, 2, 2)] {
            for window in [None, Some(40)] {
                let shape = CacheShape {
                    format,
                    n_kv_heads,
                    head_dim,
                    n_blocks: 0,
                };
                // A first token, the last and the first of a block, and several splits.
                let spans = [(0, 1), (31, 1), (64, 1), (300 + random.below(30), 1)];
                let case = Case::new(&mut random, (n_heads, shape), window, &spans);
                check(&mut random, &case);
                let spans = [(40, 2), (3, 1)];
                let case = Case::new(&mut random, (n_heads, shape), window, &spans);
                check(&mut random, &case);
            }
        }
    }
}
