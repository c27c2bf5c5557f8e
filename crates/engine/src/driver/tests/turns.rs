//! Who goes first where several wait.

use super::*;

/// The order in which answers end, of those that are asked for in this order.
fn order(asks: &[Ask], kind: &Kind, max_sequences: usize) -> Vec<usize> {
    let (mut driver, _) = driver(kind, max_sequences);
    let handles: Vec<_> = asks.iter().map(|ask| push(&mut driver, ask)).collect();
    let mut ended = Vec::new();
    while !driver.is_empty() {
        assert!(driver.step(), "there is something to do");
        let new = (0..handles.len()).filter(|i| handles[*i].end().is_some());
        ended.extend(new.filter(|i| !ended.contains(i)).collect::<Vec<_>>());
    }
    for (ask, handle) in asks.iter().zip(&handles) {
        assert_eq!(handle.tokens(), ask.expected(kind), "no answer changes");
    }
    ended
}

fn ask(i: u32, client: u64, is_background: bool) -> Ask {
    Ask::new(vec![i, i + 1, 7], u64::from(i), 5).of(client, is_background)
}

#[test]
fn places_are_dealt_among_clients() {
    // The first client asks four times before the second comes.
    let asks = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2)].map(|(i, client)| ask(i, client, false));
    let ended = order(&asks, &Kind::plain(4096), 2);
    assert_eq!(
        ended,
        [0, 4, 1, 2, 3],
        "the other client's comes before the first one's second"
    );
    let alone = [(1, 1), (2, 1), (3, 1)].map(|(i, client)| ask(i, client, false));
    assert_eq!(order(&alone, &Kind::plain(4096), 1), [0, 1, 2]);
}

#[test]
fn the_background_waits_for_everybody() {
    let asks = [(1, true), (2, false), (3, true), (4, false)].map(|(i, back)| ask(i, 9, back));
    assert_eq!(order(&asks, &Kind::plain(4096), 1), [1, 3, 0, 2]);
}

#[test]
fn the_background_gives_its_place_to_who_comes() {
    let kind = Kind::plain(4096);
    let (mut driver, _) = driver(&kind, 1);
    let long = Ask::new(vec![1, 2, 3], 1, 50).of(1, true);
    let background = push(&mut driver, &long);
    for _ in 0..10 {
        driver.step();
    }
    let said = background.tokens().len();
    assert!((1..50).contains(&said));
    let short = ask(4, 2, false);
    let comes = push(&mut driver, &short);
    while comes.end().is_none() {
        driver.step();
    }
    assert_eq!(background.tokens().len(), said, "it rests");
    finish(&mut driver);
    assert_eq!(background.tokens(), long.expected(&kind));
}

#[test]
fn blocks_of_the_background_are_taken_first() {
    // Room for one long answer and a little more.
    let kind = Kind {
        max_sequences: 1,
        ..Kind::plain(5 * 32)
    };
    let first = Ask::new(vec![1, 2, 3], 1, 100).of(1, true);
    let second = Ask::new(vec![4, 5, 6], 2, 100).of(2, false);
    assert_eq!(order(&[first.clone(), second.clone()], &kind, 4), [1, 0]);
    let second = second.of(2, true);
    assert_eq!(order(&[first, second], &kind, 4), [0, 1]);
}
