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

/// The words of a table that begins at a byte.
fn words(tables: &StepTables, at: Arg<'_>, n: usize) -> Vec<u32> {
    let Arg::Memory(memory, at) = at else {
        panic!("tables are in memory")
    };
    let all = download_words(&tables.device, memory, memory.len() / 4);
    all[at / 4..at / 4 + n].to_vec()
}

/// Fills a step in, in two steps of which the first has nothing to do with the second.
fn put(tables: &mut StepTables) {
    tables.push(span(0, 1, 0), [list(&[70], 0), list(&[10], 0)]);
    tables.upload().expect("it fits");
    tables.clear();
    tables.push(span(0, 10, 60), [list(&[7, 8, 9], 0), list(&[1, 2, 3], 0)]);
    tables.push(span(11, 2, 80), [list(&[5, 6, 4], 0), list(&[40, 41], 1)]);
    tables.set_tokens(&[3; 13]);
    tables.choose(&[9, 12]);
}

fn check(tables: &StepTables, n_rows: usize, [n_short, n_long]: [usize; 2]) {
    let (memory, at) = tables.tokens();
    assert_eq!(words(tables, Arg::Memory(memory, at), 14)[12..], [3, 0]);
    assert_eq!(words(tables, tables.chosen(), 3), [9, 12, 0]);
    let mut rows = vec![[0, 0, NONE, 0]; n_rows];
    let mut places = vec![[NONE; 2]; n_rows];
    for i in 0..10 {
        rows[i] = [60 + i as u32, 1000, n_short as u32, 0];
        let block = [[8, 9], [2, 3]].map(|of| of[usize::from(i >= 4)]);
        places[i] = block.map(|block| block * 32 + (60 + i as u32) % 32);
    }
    for i in 0..2 {
        rows[11 + i as usize] = [80 + i, 1000, 0, 0];
        places[11 + i as usize] = [4, 41].map(|block| block * 32 + 16 + i);
    }
    assert_eq!(words(tables, tables.rows(), 4 * n_rows), rows.concat());
    for group in 0..2 {
        let own: Vec<u32> = places.iter().map(|places| places[group]).collect();
        assert_eq!(words(tables, tables.places(group), n_rows), own);
    }
    for (group, [short, long]) in [[[6, 0], [0, 0]], [[9, 1], [3, 0]]].into_iter().enumerate() {
        let mut spans = vec![[0; 8]; n_short + n_long];
        spans[0] = [11, 2, 80, 2, short[0], short[1], 0, 0];
        spans[n_short] = [0, 10, 60, 2, long[0], long[1], 0, 0];
        let got = words(tables, tables.spans(group), 8 * spans.len());
        assert_eq!(got, spans.concat());
        assert_eq!(words(tables, tables.long_spans(group), 2), [0, 10]);
    }
    let blocks = [7, 8, 9, 1, 2, 3, 5, 6, 4, 40, 41];
    assert_eq!(words(tables, tables.blocks(), 11), blocks);
}

#[test]
fn tables_say_what_a_step_is_and_nothing_else() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    let n_allocations = tables.device.n_allocations();
    put(&mut tables);
    tables.upload().expect("it fits");
    check(&tables, 16, [4, 4]);
    let n_grown = tables.device.n_allocations() - n_allocations;
    assert_eq!(n_grown, 1, "eleven blocks are more than eight");
}

#[test]
fn tables_are_laid_out_for_the_bounds_that_they_are_uploaded_for() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    put(&mut tables);
    let bounds = StepBounds {
        n_rows: 14,
        n_short: 2,
        ..tables.bounds()
    };
    tables.upload_for(&bounds).expect("it fits");
    tables.check(&bounds);
    check(&tables, 14, [2, 1]);
    let larger = StepBounds {
        n_rows: 40,
        n_short: 9,
        ..bounds
    };
    tables.upload_for(&larger).expect("there is memory");
    check(&tables, 40, [9, 1]);
    assert_eq!(tables.shape().max_rows, 64);
}

#[test]
#[should_panic(expected = "is beyond")]
fn tables_for_a_smaller_step_do_not_serve_a_larger_one() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    put(&mut tables);
    let bounds = tables.bounds();
    tables.upload_for(&bounds).expect("it fits");
    tables.check(&StepBounds {
        n_rows: 14,
        ..bounds
    });
}

#[test]
#[should_panic(expected = "a step that was not uploaded")]
fn a_step_must_be_uploaded() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    put(&mut tables);
    tables.check(&tables.bounds());
}

#[test]
fn bounds_cover_what_is_no_larger() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
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
    let mut tables = StepTables::new(&Device::for_tests(), shape).expect("there is memory");
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
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    tables.push(span(0, 3, 70), [list(&[7, 8], 1), list(&[1, 2], 1)]);
}

#[test]
#[should_panic(expected = "a block beyond the 50 of the cache")]
fn a_block_must_be_in_the_cache() {
    let mut tables = StepTables::new(&Device::for_tests(), shape()).expect("there is memory");
    tables.push(span(0, 3, 72), [list(&[7, 8, 99], 0), list(&[1, 50], 1)]);
}

#[test]
#[should_panic(expected = "slot Some(2) of 2")]
fn a_slot_must_be_there() {
    let mut shape = shape();
    shape.n_slots = 2;
    let mut tables = StepTables::new(&Device::for_tests(), shape).expect("there is memory");
    tables.push(span(0, 1, 0), [list(&[7], 0), list(&[1], 0)]);
}
