//! Sequences whose tables begin with the same blocks: what is read once for all of them is the
//! same, bit for bit, as what each gets alone.

use super::*;
use crate::attention::plan::Plan;

/// A sequence that goes its own way after so many tokens of a common text, and has so many tokens
/// after that.
#[derive(Clone, Copy)]
struct Fork {
    n_common: usize,
    n_own: usize,
    /// Of its last tokens, how many are queries.
    n_rows: usize,
}

/// Forks of one text as the cache makes them: whole blocks are shared, the beginning of one more
/// is copied.
fn forked(layout: KvLayout, isa: Isa, forks: &[Fork]) -> Cache {
    let threads = Threads::new(1).expect("threads");
    let width = layout.n_kv_heads * layout.head_dim;
    let n_common = forks.iter().map(|fork| fork.n_common).max().unwrap_or(0);
    let common = [random(n_common * width, 1), random(n_common * width, 2)];
    let n_common_blocks = n_common.div_ceil(BLOCK_LEN);
    let own_blocks =
        |fork: &Fork| (fork.n_common + fork.n_own).div_ceil(BLOCK_LEN) - fork.n_common / BLOCK_LEN;
    let n_blocks = n_common_blocks + forks.iter().map(own_blocks).sum::<usize>();
    let n_places = (n_blocks..).find(|n| n % 7 != 0).expect("one of two");
    let mut places = (0..n_places).map(|i| (i * 7 % n_places) as u32);
    let mut storage = vec![0xff; n_places * layout.block_bytes()];
    let common_blocks: Vec<u32> = places.by_ref().take(n_common_blocks).collect();
    let whole = Span {
        first_row: 0,
        n_rows: n_common,
        position: 0,
        blocks: &common_blocks,
        dropped_blocks: 0,
    };
    let rows = common.each_ref().map(|x| &x[..]);
    append(&threads, isa, &layout, &[whole], rows, &mut storage);

    let mut sequences = Vec::new();
    for (i, fork) in forks.iter().enumerate() {
        let n_shared = fork.n_common / BLOCK_LEN;
        let mut blocks = common_blocks[..n_shared].to_vec();
        blocks.extend(places.by_ref().take(own_blocks(fork)));
        if fork.n_common > n_shared * BLOCK_LEN {
            let len = layout.block_bytes();
            let from = common_blocks[n_shared] as usize * len;
            storage.copy_within(from..from + len, blocks[n_shared] as usize * len);
        }
        let own = [0, 1].map(|x| random(fork.n_own * width, 100 + 2 * i as u64 + x));
        let span = Span {
            n_rows: fork.n_own,
            position: fork.n_common,
            blocks: &blocks,
            ..whole
        };
        let rows = own.each_ref().map(|x| &x[..]);
        append(&threads, isa, &layout, &[span], rows, &mut storage);
        let [keys, values] = [0, 1].map(|x| {
            let common = &common[x][..fork.n_common * width];
            [common, &own[x]].concat()
        });
        sequences.push(Sequence {
            keys,
            values,
            blocks,
            n_tokens: fork.n_common + fork.n_own,
        });
    }
    Cache { storage, sequences }
}

/// The last rows of each fork, without the blocks that its window has left behind.
fn spans<'a>(attention: &Attention<'_>, cache: &'a Cache, forks: &[Fork]) -> Vec<Span<'a>> {
    let mut first_row = 0;
    let of = cache.sequences.iter().zip(forks);
    let spans = of.map(|(sequence, fork)| {
        let span = sequence.last(first_row, fork.n_rows);
        first_row += fork.n_rows;
        let dropped_blocks = attention.seen(span.position).start / BLOCK_LEN;
        Span {
            blocks: &sequence.blocks[dropped_blocks..],
            dropped_blocks,
            ..span
        }
    });
    spans.collect()
}

/// Together with any number of threads as alone, and as expected.
fn check_forks(attention: &Attention<'_>, forks: &[Fork]) {
    let head_dim = attention.layout.head_dim;
    let width = attention.n_heads * head_dim;
    let n_rows: usize = forks.iter().map(|fork| fork.n_rows).sum();
    let queries = random(n_rows * width, 3);
    for isa in Isa::available() {
        let cache = forked(attention.layout, isa, forks);
        let spans = spans(attention, &cache, forks);
        let one = Threads::new(1).expect("threads");
        let alone = spans.iter().map(|span| {
            let of = span.first_row * width..(span.first_row + span.n_rows) * width;
            let span = Span {
                first_row: 0,
                ..*span
            };
            attend(
                attention,
                (&one, isa),
                &[span],
                &queries[of],
                &cache.storage,
            )
        });
        let alone = alone.collect::<Vec<_>>().concat();
        for n_threads in [1, 2, 4] {
            let threads = Threads::new(n_threads).expect("threads");
            let together = attend(attention, (&threads, isa), &spans, &queries, &cache.storage);
            let differs = together.iter().zip(&alone).position(|(a, b)| a != b);
            assert_eq!(
                differs,
                None,
                "{isa:?} {attention:?}, {} forks, {n_threads} threads",
                forks.len()
            );
        }
        for (sequence, span) in cache.sequences.iter().zip(&spans) {
            for head in 0..attention.n_heads {
                let at = (span.first_row * attention.n_heads + head) * head_dim;
                let query = &queries[at..at + head_dim];
                let want = sequence.expected(attention, head, span.position, query);
                for (&got, want) in alone[at..at + head_dim].iter().zip(want) {
                    let error = (f64::from(got) - want).abs();
                    let most = tolerance(attention.layout.format);
                    assert!(error <= most, "{isa:?} {attention:?}: {got} for {want}");
                }
            }
        }
    }
}

/// Forks at the given places, with a few tokens of their own and the given rows, in turn.
fn forks_at(places: &[usize], n: usize, rows: &[usize]) -> Vec<Fork> {
    let forks = (0..n).map(|i| Fork {
        n_common: places[i % places.len()],
        n_own: 1 + 11 * i % 70,
        n_rows: rows[i % rows.len()],
    });
    let forks = forks.map(|fork| Fork {
        n_own: fork.n_own.max(fork.n_rows),
        ..fork
    });
    forks.collect()
}

#[test]
fn any_number_of_forks_gets_what_each_gets_alone() {
    for format in KvFormat::ALL {
        for n in 2..=17 {
            check_forks(&layer(format, 1, 2, 40), &forks_at(&[300], n, &[1]));
        }
    }
}

#[test]
fn forks_may_begin_anywhere() {
    let places = [0, 31, 32, 255, 256, 257, 300, 512, 700];
    for format in KvFormat::ALL {
        let attention = layer(format, 2, 2, 40);
        for place in places {
            check_forks(&attention, &forks_at(&[place], 5, &[1]));
        }
        check_forks(&attention, &forks_at(&places, 17, &[1]));
        check_forks(&attention, &forks_at(&[700, 600, 320], 9, &[1]));
    }
}

#[test]
fn forks_with_drafts_and_prompts_go_together() {
    for format in KvFormat::ALL {
        for rows in [&[2, 1, 3][..], &[3], &[1, 50, 2, 60, 1], &[1, 120]] {
            check_forks(&layer(format, 2, 2, 40), &forks_at(&[600], 8, rows));
        }
    }
}

#[test]
fn forks_share_for_any_number_of_query_heads() {
    for format in KvFormat::ALL {
        for group in 1..=8 {
            check_forks(
                &layer(format, 1, group, 33),
                &forks_at(&[330], 6, &[1, 1, 2]),
            );
        }
    }
}

#[test]
fn forks_share_inside_of_windows() {
    let sinks = [0.5, -3.0, 4.0, 0.0];
    for format in KvFormat::ALL {
        for window in [1, 40, 256, 300, 600, 2000] {
            let attention = Attention {
                window: Some(window),
                softcap: Some(2.0),
                sinks: Some(&sinks),
                ..layer(format, 2, 2, 40)
            };
            check_forks(&attention, &forks_at(&[900], 7, &[1, 4]));
            check_forks(&attention, &forks_at(&[900, 700], 8, &[1]));
        }
    }
}

/// Drafts of which the first does not see the end of a shared block yet, or the last no longer its
/// beginning.
#[test]
fn what_not_all_rows_see_is_not_shared() {
    let fork = |n_common, n_own| Fork {
        n_common,
        n_own,
        n_rows: 4,
    };
    for format in KvFormat::ALL {
        for group in [1, 2] {
            let attention = layer(format, 2, group, 40);
            check_forks(&attention, &[fork(256, 0); 3]);
            // The first of the rows sees from token 256 on, where a segment begins.
            let attention = Attention {
                window: Some(907 - 256),
                ..attention
            };
            check_forks(&attention, &[fork(900, 10); 3]);
        }
    }
}

/// What is planned: each shared block is read once for each KV head, and nothing is left out.
#[test]
fn shared_blocks_are_read_once() {
    let attention = layer(KvFormat::F16, 2, 2, 32);
    // 21 blocks in common: two segments and five blocks of the third.
    let forks = forks_at(&[690], 6, &[1]);
    let cache = forked(attention.layout, Isa::Scalar, &forks);
    let mut plan = Plan::default();
    plan.make(&attention, &spans(&attention, &cache, &forks), 1);
    let parts = plan.parts.iter();
    let parts = parts.map(|part| (part.segment, part.n_shared, plan.members(part).len()));
    let parts: Vec<_> = parts.collect();
    assert_eq!(parts, [(0, 8, 6), (1, 8, 6), (2, 5, 6)]);

    // A window that begins in the first segment: that is read by each alone, the second by all.
    let attention = Attention {
        window: Some(500),
        ..attention
    };
    plan.make(&attention, &spans(&attention, &cache, &forks), 1);
    let shared = plan.parts.iter().filter(|part| part.n_shared > 0);
    let shared = shared.map(|part| (part.segment, part.n_shared, plan.members(part).len()));
    assert_eq!(shared.collect::<Vec<_>>(), [(1, 8, 6), (2, 5, 6)]);

    // Sequences that have nothing in common have no parts on one thread.
    let forks = forks_at(&[0], 6, &[1]);
    let cache = forked(attention.layout, Isa::Scalar, &forks);
    plan.make(&attention, &spans(&attention, &cache, &forks), 1);
    assert!(plan.parts.is_empty());
}
