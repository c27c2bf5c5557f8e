//! Every instruction set and format against softmax in double precision over all tokens at once;
//! and the promises about equality bit for bit.

mod shared;

use super::*;
use crate::simd::tests::random;

/// One sequence: what was appended, and where it lies.
struct Sequence {
    /// `[n_tokens, n_kv_heads * head_dim]`
    keys: Vec<f32>,
    values: Vec<f32>,
    blocks: Vec<u32>,
    n_tokens: usize,
}

/// Sequences in one storage, their blocks scattered over it.
struct Cache {
    storage: Vec<u8>,
    sequences: Vec<Sequence>,
}

impl Cache {
    fn new(threads: &Threads, isa: Isa, layout: KvLayout, lengths: &[usize]) -> Self {
        let width = layout.n_kv_heads * layout.head_dim;
        let n_blocks: usize = lengths.iter().map(|len| len.div_ceil(BLOCK_LEN)).sum();
        // What is not written must not matter: it is no number in any format with exponents.
        let mut storage = vec![0xff; n_blocks * layout.block_bytes()];
        // 7 has no common factor with the sizes below, so that this is a permutation.
        let n_places = (n_blocks..).find(|n| n % 7 != 0).expect("one of two");
        storage.resize(n_places * layout.block_bytes(), 0xff);
        let mut places = (0..n_places).map(|i| (i * 7 % n_places) as u32);
        let mut sequences = Vec::new();
        for (i, &n_tokens) in lengths.iter().enumerate() {
            let n = n_tokens.div_ceil(BLOCK_LEN);
            let sequence = Sequence {
                keys: random(n_tokens * width, 10 + i as u64),
                values: random(n_tokens * width, 20 + i as u64),
                blocks: places.by_ref().take(n).collect(),
                n_tokens,
            };
            // In two pieces, the border anywhere in a block.
            for (from, to) in [(0, n_tokens / 3), (n_tokens / 3, n_tokens)] {
                let span = sequence.span(0, to - from, from);
                let rows = [&sequence.keys, &sequence.values].map(|x| &x[from * width..to * width]);
                append(threads, isa, &layout, &[span], rows, &mut storage);
            }
            sequences.push(sequence);
        }
        Self { storage, sequences }
    }
}

impl Sequence {
    fn span(&self, first_row: usize, n_rows: usize, position: usize) -> Span<'_> {
        Span {
            first_row,
            n_rows,
            position,
            blocks: &self.blocks,
            dropped_blocks: 0,
        }
    }

    /// The last tokens.
    fn last(&self, first_row: usize, n_rows: usize) -> Span<'_> {
        self.span(first_row, n_rows, self.n_tokens - n_rows)
    }

    /// One query of one head, in double precision.
    fn expected(
        &self,
        attention: &Attention<'_>,
        head: usize,
        position: usize,
        query: &[f32],
    ) -> Vec<f64> {
        let KvLayout {
            n_kv_heads,
            head_dim,
            ..
        } = attention.layout;
        let kv_head = head * n_kv_heads / attention.n_heads;
        let at = |token: usize| (token * n_kv_heads + kv_head) * head_dim;
        let dot = |key: &[f32]| -> f64 {
            key.iter()
                .zip(query)
                .map(|(&k, &q)| f64::from(k) * f64::from(q))
                .sum()
        };
        let seen = attention
            .window
            .map_or(0, |w| (position + 1).saturating_sub(w))..=position;
        let scores: Vec<f64> = seen
            .clone()
            .map(|token| {
                let score = dot(&self.keys[at(token)..][..head_dim]) * f64::from(attention.scale);
                attention.softcap.map_or(score, |cap| {
                    f64::from(cap) * (score / f64::from(cap)).tanh()
                })
            })
            .collect();
        let sink = attention.sinks.map(|sinks| f64::from(sinks[head]));
        let max = scores
            .iter()
            .copied()
            .chain(sink)
            .fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores
            .iter()
            .copied()
            .chain(sink)
            .map(|score| (score - max).exp())
            .sum();
        let mut out = vec![0.0; head_dim];
        for (token, score) in seen.zip(scores) {
            let weight = (score - max).exp() / sum;
            for (out, &value) in out.iter_mut().zip(&self.values[at(token)..][..head_dim]) {
                *out += weight * f64::from(value);
            }
        }
        out
    }
}

fn layer(format: KvFormat, n_kv_heads: usize, group: usize, head_dim: usize) -> Attention<'static> {
    Attention {
        layout: KvLayout {
            format,
            n_kv_heads,
            head_dim,
        },
        n_heads: n_kv_heads * group,
        scale: 1.0 / (head_dim as f32).sqrt(),
        softcap: None,
        window: None,
        sinks: None,
    }
}

fn attend(
    attention: &Attention<'_>,
    (threads, isa): (&Threads, Isa),
    spans: &[Span<'_>],
    queries: &[f32],
    storage: &[u8],
) -> Vec<f32> {
    let mut out = vec![f32::NAN; queries.len()];
    let mut scratch = AttentionScratch::new();
    let batch = AttentionBatch {
        spans,
        queries,
        storage,
    };
    attention.run(threads, isa, &batch, &mut scratch, &mut out);
    out
}

/// Largest error that the format itself may cause, values being below 2.
fn tolerance(format: KvFormat) -> f64 {
    match format {
        KvFormat::F32 => 3e-6,
        KvFormat::F16 => 3e-3,
        KvFormat::BF16 => 2e-2,
        KvFormat::Q8_0 => 3e-2,
        KvFormat::Q4_0 => 0.5,
    }
}

/// All rows of a batch with the last `n_rows` tokens of each sequence, against what is expected.
fn check(attention: &Attention<'_>, lengths: &[usize], n_rows: usize) {
    let threads = Threads::new(2).expect("threads");
    let head_dim = attention.layout.head_dim;
    let width = attention.n_heads * head_dim;
    for isa in Isa::available() {
        let cache = Cache::new(&threads, isa, attention.layout, lengths);
        let spans: Vec<_> = cache
            .sequences
            .iter()
            .scan(0, |row, sequence| {
                let n = n_rows.min(sequence.n_tokens);
                *row += n;
                Some(sequence.last(*row - n, n))
            })
            .collect();
        let n_all: usize = spans.iter().map(|span| span.n_rows).sum();
        let queries = random(n_all * width, 30);
        let out = attend(attention, (&threads, isa), &spans, &queries, &cache.storage);
        for (sequence, span) in cache.sequences.iter().zip(&spans) {
            for i in 0..span.n_rows {
                for head in 0..attention.n_heads {
                    let at = ((span.first_row + i) * attention.n_heads + head) * head_dim;
                    let query = &queries[at..at + head_dim];
                    let want = sequence.expected(attention, head, span.position + i, query);
                    for (d, (&got, want)) in out[at..at + head_dim].iter().zip(want).enumerate() {
                        let error = (f64::from(got) - want).abs();
                        assert!(
                            error <= tolerance(attention.layout.format),
                            "{isa:?} {attention:?} {lengths:?}, token {}, head {head}, dimension {d}: {got} for {want}",
                            span.position + i,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn decode_agrees_in_every_format_and_at_every_length() {
    for format in KvFormat::ALL {
        check(
            &layer(format, 2, 2, 64),
            &[1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 700],
            1,
        );
    }
}

#[test]
fn prefill_agrees_in_every_format_and_at_every_length() {
    for format in KvFormat::ALL {
        for n_rows in [2, 3, 31, 33, 100] {
            check(&layer(format, 2, 2, 64), &[1, 7, 33, 65, 300], n_rows);
        }
    }
}

#[test]
fn head_sizes_need_not_be_round() {
    for format in KvFormat::ALL {
        for head_dim in [1, 16, 24, 31, 33, 80, 96, 100, 112, 128, 256] {
            check(&layer(format, 1, 2, head_dim), &[45], 1);
            check(&layer(format, 1, 2, head_dim), &[45], 40);
        }
    }
}

#[test]
fn any_number_of_queries_shares_a_key() {
    for group in 1..=8 {
        for n_kv_heads in [1, 3] {
            check(&layer(KvFormat::F16, n_kv_heads, group, 32), &[70, 300], 1);
            check(&layer(KvFormat::F16, n_kv_heads, group, 32), &[70], 50);
        }
    }
}

#[test]
fn windows_caps_and_sinks_agree() {
    let sinks = [0.5, -3.0, 4.0, 0.0];
    for window in [
        None,
        Some(1),
        Some(2),
        Some(31),
        Some(32),
        Some(33),
        Some(100),
        Some(1000),
    ] {
        for softcap in [None, Some(1.5)] {
            for sinks in [None, Some(&sinks[..])] {
                let attention = Attention {
                    window,
                    softcap,
                    sinks,
                    ..layer(KvFormat::F32, 2, 2, 32)
                };
                check(&attention, &[1, 40, 64, 330], 1);
                check(&attention, &[1, 40, 330], 70);
            }
        }
    }
}

#[test]
fn instruction_sets_agree_on_the_same_cache() {
    let threads = Threads::new(1).expect("threads");
    for format in KvFormat::ALL {
        let attention = layer(format, 2, 3, 80);
        let caches =
            Isa::available().map(|isa| Cache::new(&threads, isa, attention.layout, &[333]));
        let caches: Vec<_> = caches.collect();
        assert!(
            caches
                .iter()
                .all(|cache| cache.storage == caches[0].storage),
            "{format:?}"
        );
        let queries = random(20 * 6 * 80, 31);
        let span = [caches[0].sequences[0].last(0, 20)];
        let outs = Isa::available().map(|isa| {
            attend(
                &attention,
                (&threads, isa),
                &span,
                &queries,
                &caches[0].storage,
            )
        });
        let outs: Vec<_> = outs.collect();
        for out in &outs {
            for (a, b) in out.iter().zip(&outs[0]) {
                assert!((a - b).abs() < 3e-6, "{format:?}: {a} and {b}");
            }
        }
    }
}

/// Many sequences with any number of threads, each alone, with blocks that fell out of a window
/// gone, and with prefills cut anywhere: all the same.
#[test]
fn results_depend_on_nothing_but_the_sequence() {
    let lengths = [5, 64, 300, 513, 900];
    for window in [None, Some(40)] {
        for format in KvFormat::ALL {
            let attention = Attention {
                window,
                ..layer(format, 2, 2, 40)
            };
            let width = 2 * 2 * 40;
            for isa in Isa::available() {
                let one = Threads::new(1).expect("threads");
                let cache = Cache::new(&one, isa, attention.layout, &lengths);
                let alone: Vec<Vec<f32>> = cache
                    .sequences
                    .iter()
                    .map(|sequence| {
                        let queries = random(width, sequence.n_tokens as u64);
                        attend(
                            &attention,
                            (&one, isa),
                            &[sequence.last(0, 1)],
                            &queries,
                            &cache.storage,
                        )
                    })
                    .collect();
                let together: Vec<f32> = lengths
                    .iter()
                    .flat_map(|&len| random(width, len as u64))
                    .collect();
                let spans: Vec<_> = cache
                    .sequences
                    .iter()
                    .enumerate()
                    .map(|(row, sequence)| {
                        let dropped_blocks = window.map_or(0, |window| {
                            sequence.n_tokens.saturating_sub(window) / BLOCK_LEN
                        });
                        Span {
                            blocks: &sequence.blocks[dropped_blocks..],
                            dropped_blocks,
                            ..sequence.last(row, 1)
                        }
                    })
                    .collect();
                for n_threads in 1..=4 {
                    let threads = Threads::new(n_threads).expect("threads");
                    let out = attend(
                        &attention,
                        (&threads, isa),
                        &spans,
                        &together,
                        &cache.storage,
                    );
                    assert_eq!(
                        out,
                        alone.concat(),
                        "{isa:?} {format:?} {n_threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn a_prefill_may_be_cut_anywhere() {
    for format in [KvFormat::F32, KvFormat::F16, KvFormat::BF16] {
        for window in [None, Some(50)] {
            let attention = Attention {
                window,
                ..layer(format, 2, 2, 40)
            };
            let width = 2 * 2 * 40;
            for isa in Isa::available() {
                let threads = Threads::new(2).expect("threads");
                let cache = Cache::new(&threads, isa, attention.layout, &[600]);
                let sequence = &cache.sequences[0];
                let queries = random(600 * width, 40);
                let whole = attend(
                    &attention,
                    (&threads, isa),
                    &[sequence.last(0, 600)],
                    &queries,
                    &cache.storage,
                );
                for step in [1, 2, 13, 250] {
                    let mut pieces = Vec::new();
                    for from in (0..600).step_by(step) {
                        let n = step.min(600 - from);
                        let queries = &queries[from * width..(from + n) * width];
                        pieces.extend(attend(
                            &attention,
                            (&threads, isa),
                            &[sequence.span(0, n, from)],
                            queries,
                            &cache.storage,
                        ));
                    }
                    assert_eq!(
                        pieces, whole,
                        "{isa:?} {format:?} {window:?} in steps of {step}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_that_no_span_names_stay() {
    let threads = Threads::new(2).expect("threads");
    let attention = layer(KvFormat::F16, 1, 1, 32);
    let cache = Cache::new(&threads, Isa::best(), attention.layout, &[40, 40]);
    let spans = [
        cache.sequences[0].last(1, 2),
        cache.sequences[1].span(4, 0, 40),
    ];
    let queries = random(5 * 32, 50);
    let out = attend(
        &attention,
        (&threads, Isa::best()),
        &spans,
        &queries,
        &cache.storage,
    );
    let is_written: Vec<bool> = out
        .chunks(32)
        .map(|row| row.iter().all(|x| x.is_finite()))
        .collect();
    assert_eq!(is_written, [false, true, true, false, false]);
}

#[test]
#[should_panic(expected = "blocks 0 to 2 are seen")]
fn missing_blocks_are_noticed() {
    let threads = Threads::new(1).expect("threads");
    let attention = layer(KvFormat::F16, 1, 1, 32);
    let cache = Cache::new(&threads, Isa::best(), attention.layout, &[40]);
    let span = Span {
        blocks: &[0],
        ..cache.sequences[0].last(0, 1)
    };
    attend(
        &attention,
        (&threads, Isa::best()),
        &[span],
        &random(32, 1),
        &cache.storage,
    );
}

#[test]
fn reserved_memory_is_enough() {
    let threads = Threads::new(2).expect("threads");
    let attention = layer(KvFormat::F16, 2, 2, 64);
    let cache = Cache::new(&threads, Isa::best(), attention.layout, &[700, 900]);
    let mut scratch = AttentionScratch::new();
    scratch.reserve(&attention, 2, 2, 64, 1024);
    let sizes = |scratch: &AttentionScratch| {
        [
            scratch.plan.tiles.capacity(),
            scratch.plan.parts.capacity(),
            scratch.part_states.len(),
            scratch.part_sums.len(),
        ]
    };
    let before = sizes(&scratch);
    for n_rows in [1, 32] {
        let spans = [
            cache.sequences[0].last(0, n_rows),
            cache.sequences[1].last(n_rows, n_rows),
        ];
        let queries = random(2 * n_rows * 4 * 64, 2);
        let mut out = vec![0.0; queries.len()];
        let batch = AttentionBatch {
            spans: &spans,
            queries: &queries,
            storage: &cache.storage,
        };
        attention.run(&threads, Isa::best(), &batch, &mut scratch, &mut out);
        assert_eq!(sizes(&scratch), before);
    }
}
