//! Promises of room, on a model without tensors.

use ponder_runtime::decoder::{LogitsFor, Step};

use super::*;
use crate::fake::{Fake, Kind};

const LIMITS: Limits = Limits {
    max_sequences: 8,
    context: 10_000,
    chunk_alone: 10_000,
    chunk_beside: 10_000,
    with_drafts: true,
};

/// A model whose cache has this many blocks.
fn model(n_blocks: usize) -> Box<dyn Model> {
    let kind = Kind {
        max_sequences: 1,
        ..Kind::plain((n_blocks - 1) * BLOCK_LEN)
    };
    Fake::make(kind).0
}

/// Lets a sequence in of which `n_computed` tokens are there and `n_pending` are not.
fn run(
    scheduler: &mut Scheduler<&'static str>,
    model: &mut dyn Model,
    payload: &'static str,
    [n_computed, n_pending]: [usize; 2],
) {
    let key = scheduler.next_key();
    // No two have a beginning in common.
    let tokens = vec![key as u32; n_computed + n_pending];
    let sequence = model.start(LIMITS.context).expect("a sequence");
    let step = Step {
        sequence,
        tokens: &tokens[..n_computed],
        logits: LogitsFor::None,
    };
    model.forward(&[step]).expect("room");
    let mut entry = Entry::new(key, Turn::default(), tokens, payload);
    (entry.sequence, entry.n_computed) = (Some(sequence), n_computed);
    scheduler.running.push(entry);
}

/// What each running sequence gets in the next step, for which there is room.
fn planned(
    scheduler: &mut Scheduler<&'static str>,
    model: &mut dyn Model,
) -> Vec<(&'static str, usize)> {
    assert_eq!(scheduler.plan(model).expect("a plan"), None);
    let running = scheduler.running();
    let steps: Vec<_> = running.iter().filter_map(Entry::step).collect();
    model.forward(&steps).expect("the room that was promised");
    let fed = running.iter().map(|entry| (entry.payload, entry.n_fed()));
    fed.collect()
}

#[test]
fn what_was_promised_to_who_gives_way_is_free_again() {
    // The answer is promised a third block; then the prompt before it takes all that there are.
    let mut model = model(6);
    let mut scheduler = Scheduler::new(LIMITS);
    run(&mut scheduler, model.as_mut(), "prompt", [32, 160]);
    run(&mut scheduler, model.as_mut(), "answer", [64, 1]);
    let fed = planned(&mut scheduler, model.as_mut());
    assert_eq!(fed, [("prompt", 160)]);
    assert_eq!(scheduler.waiting.len(), 1);
}

#[test]
fn what_was_promised_to_others_stays_theirs() {
    // As before, with an answer between the two that is promised a block and keeps it.
    let mut model = model(8);
    let mut scheduler = Scheduler::new(LIMITS);
    run(&mut scheduler, model.as_mut(), "prompt", [32, 160]);
    run(&mut scheduler, model.as_mut(), "first", [32, 1]);
    run(&mut scheduler, model.as_mut(), "second", [64, 1]);
    let fed = planned(&mut scheduler, model.as_mut());
    assert_eq!(fed, [("prompt", 160), ("first", 1)]);
    assert_eq!(scheduler.waiting.len(), 1);
}

#[test]
fn tokens_that_were_undone_come_with_the_next_one() {
    let mut model = model(8);
    let mut scheduler = Scheduler::new(LIMITS);
    run(&mut scheduler, model.as_mut(), "answer", [40, 1]);
    let entry = &mut scheduler.running_mut()[0];
    for token in [3, 4, 5] {
        entry.accept(token);
    }
    entry.go_back(40);
    let fed = planned(&mut scheduler, model.as_mut());
    assert_eq!(fed, [("answer", 4)]);
    let entry = &mut scheduler.running_mut()[0];
    assert_eq!(entry.n_rows(), 1, "only the last one's logits are wanted");
    entry.advance();
    entry.accept(6);
    let fed = planned(&mut scheduler, model.as_mut());
    assert_eq!(fed, [("answer", 1)]);
}
