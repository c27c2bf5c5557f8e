use super::*;
use crate::testing::download_words;

fn shape() -> StepShape {
    StepShape {
        max_rows: 16,
        max_spans: 4,
        max_blocks: 8,
        groups: vec![
            GroupShape {
                window: None,
                n_blocks: 100,
            },
            GroupShape {
                window: Some(40),
                n_blocks: 50,
            },
        ],
        n_slots: 3,
    }
}

fn span(first_row: usize, n_rows: usize, position: usize) -> StepSpan {
    StepSpan {
        first_row,
        n_rows,
        position,
        planned_len: 1000,
        slot: Some(2),
    }
}

fn list(blocks: &[u32], n_dropped: usize) -> BlockList<'_> {
    BlockList { blocks, n_dropped }
}

/// The words of a table.
fn words(tables: &StepTables, at: usize, n: usize) -> Vec<u32> {
    let all = download_words(&tables.device, &tables.memory, tables.memory.len() / 4);
    all[at / 4..at / 4 + n].to_vec()
}

#[test]
fn tables_say_what_a_step_is_and_nothing_else() {
    let mut tables = StepTables::new(&Device::emulated(), shape()).expect("there is memory");
    let layout = tables.layout;
    for _ in 0..2 {
        tables.clear();
        tables.push(span(0, 10, 60), [list(&[7, 8, 9], 0), list(&[1, 2, 3], 0)]);
        tables.push(span(11, 2, 80), [list(&[5, 6, 4], 0), list(&[40, 41], 1)]);
        tables.set_tokens(&[3; 13]);
        tables.choose(&[9, 12]);
        tables.upload().expect("it fits");
    }
    assert_eq!(tables.generation(), 1, "eleven blocks are more than eight");
    let layout = Layout {
        blocks: layout.blocks,
        ..tables.layout
    };
    assert_eq!(layout, tables.layout, "blocks come last");

    let spans = words(&tables, layout.spans, 4 * SPAN_WORDS);
    assert_eq!(spans[..5], [0, 10, 60, 2, 1000]);
    assert_eq!(spans[SPAN_WORDS..][..5], [11, 2, 80, 2, 1000]);
    assert_eq!(spans[2 * SPAN_WORDS..], [0; 2 * SPAN_WORDS]);
    assert_eq!(words(&tables, layout.short, 4), [1, NONE, NONE, NONE]);
    assert_eq!(words(&tables, layout.long, 4), [0, NONE, NONE, NONE]);
    let mut rows = [NONE; 16];
    rows[..10].fill(0);
    rows[11..13].fill(1);
    assert_eq!(words(&tables, layout.spans_of_rows, 16), rows);
    assert_eq!(words(&tables, layout.tokens, 14)[12..], [3, 0]);
    assert_eq!(words(&tables, layout.chosen, 3), [9, 12, 0]);
    assert_eq!(words(&tables, layout.lists, 4), [0, 0, 6, 0]);
    assert_eq!(words(&tables, layout.lists + 4 * 8, 4), [3, 0, 9, 1]);
    let blocks = [7, 8, 9, 1, 2, 3, 5, 6, 4, 40, 41];
    assert_eq!(words(&tables, layout.blocks, 11), blocks);
}

#[test]
fn bounds_cover_what_is_no_larger() {
    let mut tables = StepTables::new(&Device::emulated(), shape()).expect("there is memory");
    tables.push(span(0, 3, 60), [list(&[7, 8], 0), list(&[1, 2], 0)]);
    let own = tables.bounds();
    assert!(StepBounds::decode(2, 3, 64).covers(&own));
    assert!(!StepBounds::decode(2, 2, 64).covers(&own));
    assert!(!StepBounds::decode(2, 3, 62).covers(&own));
    tables.push(span(3, 9, 31), [list(&[7, 8], 0), list(&[1, 2], 0)]);
    assert_eq!(tables.bounds().n_long, 1);
    assert!(!StepBounds::decode(4, 4, 64).covers(&tables.bounds()));
}

#[test]
fn a_few_rows_of_a_long_text_are_split() {
    let mut shape = shape();
    shape.groups.truncate(1);
    shape.max_blocks = 100;
    let mut tables = StepTables::new(&Device::emulated(), shape).expect("there is memory");
    let blocks: Vec<u32> = (0..40).collect();
    tables.push(span(0, 64, 1000), [list(&blocks, 0)]);
    tables.push(span(64, 64, 100), [list(&blocks, 0)]);
    tables.push(span(128, 65, 1000), [list(&blocks, 0)]);
    let bounds = tables.bounds();
    assert_eq!(
        (bounds.n_short, bounds.short_rows, bounds.short_len),
        (1, 64, 1064)
    );
    assert_eq!((bounds.n_long, bounds.long_rows), (2, 65));
}

#[test]
#[should_panic(expected = "blocks 0..3 are seen, 1..3 are there")]
fn a_block_that_is_seen_must_be_there() {
    let mut tables = StepTables::new(&Device::emulated(), shape()).expect("there is memory");
    tables.push(span(0, 3, 70), [list(&[7, 8], 1), list(&[1, 2], 1)]);
}

#[test]
#[should_panic(expected = "a block beyond the 50 of the cache")]
fn a_block_must_be_in_the_cache() {
    let mut tables = StepTables::new(&Device::emulated(), shape()).expect("there is memory");
    tables.push(span(0, 3, 72), [list(&[7, 8, 99], 0), list(&[1, 50], 1)]);
}

#[test]
#[should_panic(expected = "slot Some(2) of 2")]
fn a_slot_must_be_there() {
    let mut shape = shape();
    shape.n_slots = 2;
    let mut tables = StepTables::new(&Device::emulated(), shape).expect("there is memory");
    tables.push(span(0, 1, 0), [list(&[7], 0), list(&[1], 0)]);
}
