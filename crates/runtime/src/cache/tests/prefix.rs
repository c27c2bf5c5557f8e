//! What is found again, and what is evicted when.

use super::*;

const UNBOUNDED: usize = 100_000;

fn text(seed: u32, n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| seed * 1000 + i).collect()
}

/// Opens, computes what is missing, and returns the sequence with how much was found.
fn compute(cache: &mut Cache, prompt: &[u32]) -> (SeqId, usize) {
    let mut copies = Vec::new();
    let opened = cache.open(prompt, 0, &mut copies).expect("a slot");
    let rest = &prompt[opened.cached..];
    cache
        .append(opened.sequence, rest.len(), &mut copies)
        .expect("room");
    cache
        .commit(opened.sequence, rest, &mut copies)
        .expect("a sequence");
    (opened.sequence, opened.cached)
}

/// Computes a text and leaves it behind.
fn leave(cache: &mut Cache, prompt: &[u32]) -> usize {
    let (id, cached) = compute(cache, prompt);
    cache.free(id).expect("a sequence");
    cached
}

#[test]
fn a_prompt_is_found_again_up_to_its_last_token() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 70);
    assert_eq!(leave(&mut cache, &prompt), 0);
    assert_eq!(leave(&mut cache, &prompt), 69);
    let longer = [prompt.clone(), text(2, 50)].concat();
    assert_eq!(leave(&mut cache, &longer), 70);
    assert_eq!(leave(&mut cache, &longer[..64]), 63);
    let other = [&prompt[..40], &text(3, 20)].concat();
    assert_eq!(leave(&mut cache, &other), 40, "also inside a block");
    assert_eq!(leave(&mut cache, &text(4, 70)), 0);
}

#[test]
fn sequences_at_work_share_too() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 100);
    let (first, _) = compute(&mut cache, &prompt);
    let before = cache.free_tokens();
    let (second, cached) = compute(&mut cache, &prompt);
    assert_eq!(cached, 96, "whole blocks are found while they are in use");
    assert_eq!(before - cache.free_tokens(), BLOCK_LEN);
    let tables = [first, second].map(|id| cache.sequence(id).expect("it").table(0).blocks());
    assert_eq!(tables[0][..3], tables[1][..3]);
    assert_ne!(tables[0][3], tables[1][3]);
}

#[test]
fn what_two_have_computed_at_once_is_kept_once() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 64);
    let mut copies = Vec::new();
    let both = [0, 1].map(|_| {
        let opened = cache.open(&prompt, 0, &mut copies).expect("a sequence");
        assert_eq!(opened.cached, 0);
        cache
            .append(opened.sequence, 64, &mut copies)
            .expect("room");
        opened.sequence
    });
    let before = cache.free_tokens();
    for id in both {
        cache.commit(id, &prompt, &mut copies).expect("a sequence");
    }
    assert_eq!(cache.free_tokens() - before, 64);
    let tables = both.map(|id| cache.sequence(id).expect("it").table(0).blocks());
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn the_least_recently_used_leaf_goes_first() {
    // Eight blocks and one for the sequence.
    let mut cache = Cache::new(plan(UNBOUNDED, false), 8 * BLOCK_LEN, 1);
    let (old, new) = (text(1, 3 * BLOCK_LEN), text(2, 3 * BLOCK_LEN));
    leave(&mut cache, &old);
    leave(&mut cache, &new);
    // Five more blocks: three are free, and the old text loses its last two.
    let (id, _) = compute(&mut cache, &text(3, 5 * BLOCK_LEN));
    let mut copies = Vec::new();
    let mut found = |prompt: &[u32]| {
        let found = cache.open(prompt, 0, &mut copies).expect("a sequence");
        cache.free(found.sequence).expect("a sequence");
        found.cached
    };
    assert_eq!(found(&[&old[..], &[0]].concat()), BLOCK_LEN);
    assert_eq!(found(&[&new[..], &[0]].concat()), 3 * BLOCK_LEN);
    cache.free(id).expect("a sequence");
}

#[test]
fn a_block_in_use_is_never_evicted() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 4 * BLOCK_LEN, 1);
    let prompt = text(1, 2 * BLOCK_LEN);
    leave(&mut cache, &[prompt.clone(), text(2, BLOCK_LEN)].concat());
    let mut copies = Vec::new();
    let long = [prompt, text(3, 1)].concat();
    let user = cache.open(&long, 0, &mut copies).expect("a sequence");
    assert_eq!(user.cached, 2 * BLOCK_LEN);
    // Two blocks are free, a third only the tree holds; two are in use.
    let other = cache.start(0, &mut copies).expect("a sequence");
    let error = cache.append(other, 4 * BLOCK_LEN, &mut copies);
    assert_eq!(error, Err(CacheError::Full { needed: 4, free: 3 }));
    cache
        .append(other, 3 * BLOCK_LEN, &mut copies)
        .expect("room");
    let used = cache.sequence(user.sequence).expect("it").table(0).blocks();
    let new = cache.sequence(other).expect("it").table(0).blocks();
    assert!(used.iter().all(|block| !new.contains(block)));
    assert_eq!(cache.free_tokens(), 0);
}

#[test]
fn what_was_not_computed_is_not_found() {
    let mut cache = Cache::new(plan(UNBOUNDED, true), 1000, 2);
    let prompt = text(1, 64);
    let mut copies = Vec::new();
    let opened = cache.open(&prompt, 0, &mut copies).expect("a sequence");
    cache
        .append(opened.sequence, 64, &mut copies)
        .expect("room");
    // The step failed, so nothing is committed.
    cache.free(opened.sequence).expect("a sequence");
    assert_eq!(leave(&mut cache, &prompt), 0);
    // Nor is the state of a sequence whose last step failed.
    let prompt = text(2, 50);
    let (id, _) = compute(&mut cache, &prompt);
    cache.append(id, 1, &mut copies).expect("room");
    cache.free(id).expect("a sequence");
    assert_eq!(leave(&mut cache, &[prompt, text(3, 9)].concat()), 0);
}

#[test]
fn sequences_that_keep_to_themselves_neither_find_nor_leave() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 64);
    let mut copies = Vec::new();
    let id = cache.start(0, &mut copies).expect("a sequence");
    cache.append(id, 64, &mut copies).expect("room");
    cache.commit(id, &prompt, &mut copies).expect("a sequence");
    cache.free(id).expect("a sequence");
    assert_eq!(leave(&mut cache, &prompt), 0);
}

#[test]
fn lengths_that_position_encodings_depend_on_are_kept_apart() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 64);
    leave(&mut cache, &prompt);
    let opened = cache.open(&prompt, 1, &mut Vec::new()).expect("a sequence");
    assert_eq!(opened.cached, 0);
}

#[test]
fn windows_need_only_what_they_still_see() {
    let mut cache = Cache::new(plan(BLOCK_LEN, false), 100 * BLOCK_LEN, 1);
    let prompt = text(1, 20 * BLOCK_LEN);
    let mut copies = Vec::new();
    let opened = cache.open(&prompt, 0, &mut copies).expect("a sequence");
    for chunk in prompt.chunks(BLOCK_LEN) {
        cache
            .append(opened.sequence, BLOCK_LEN, &mut copies)
            .expect("room");
        cache
            .commit(opened.sequence, chunk, &mut copies)
            .expect("a sequence");
    }
    cache.free(opened.sequence).expect("a sequence");
    let longer = [prompt.clone(), text(2, 5)].concat();
    assert_eq!(leave(&mut cache, &longer), 20 * BLOCK_LEN);
    // The window's blocks at the beginning were let go: they are not worth their memory.
    let early = [&prompt[..3 * BLOCK_LEN], &text(3, 5)].concat();
    assert_eq!(leave(&mut cache, &early), 0);
}

#[test]
fn recurrent_states_are_found_where_they_were_kept() {
    let mut cache = Cache::new(plan(UNBOUNDED, true), 1000, 2);
    let prompt = text(1, 2 * BLOCK_LEN);
    // A snapshot at the end of the prompt, while the sequence goes on; its own state at its end.
    let (id, _) = compute(&mut cache, &prompt);
    let answer = text(2, 40);
    for token in &answer {
        let mut copies = Vec::new();
        cache.append(id, 1, &mut copies).expect("room");
        cache.commit(id, &[*token], &mut copies).expect("it");
    }
    cache.free(id).expect("a sequence");
    let next = [&prompt[..], &answer, &text(3, 5)].concat();
    assert_eq!(leave(&mut cache, &next), 2 * BLOCK_LEN + 40);
    let other = [&prompt[..], &answer[..39], &text(4, 5)].concat();
    assert_eq!(leave(&mut cache, &other), 2 * BLOCK_LEN);
    assert_eq!(leave(&mut cache, &prompt[..BLOCK_LEN + 1]), 0);
}

#[test]
fn snapshots_give_way_to_sequences() {
    let mut cache = Cache::new(plan(UNBOUNDED, true), 1000, 2);
    for seed in 0..10 {
        leave(&mut cache, &text(seed, 50));
    }
    assert_eq!(leave(&mut cache, &[text(9, 50), text(0, 1)].concat()), 50);
    let mut copies = Vec::new();
    let all: Vec<_> = (0..4).map(|_| cache.start(0, &mut copies)).collect();
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(cache.start(0, &mut copies), Err(CacheError::NoSlot(4)));
}

#[test]
fn rolled_back_tokens_are_forgotten_without_a_copy() {
    let mut cache = Cache::new(plan(UNBOUNDED, false), 1000, 2);
    let prompt = text(1, 30);
    let (id, _) = compute(&mut cache, &prompt);
    let mut copies = Vec::new();
    let before = cache.free_tokens();
    cache.append(id, 6, &mut copies).expect("room");
    cache.commit(id, &text(2, 6), &mut copies).expect("it");
    cache.truncate(id, 31).expect("it");
    assert_eq!(cache.free_tokens(), before);
    cache.append(id, 1, &mut copies).expect("room");
    assert!(copies.is_empty(), "the block is the sequence's own");
    cache.commit(id, &[7], &mut copies).expect("it");
    cache.free(id).expect("it");
    let drafts = [prompt, text(2, 6)].concat();
    assert_eq!(leave(&mut cache, &drafts), 31);
}

/// A cache of eight blocks, and one for the sequence, that keeps so many elsewhere.
fn small(n_kept: usize) -> Cache {
    let mut plan = plan(UNBOUNDED, false);
    plan.groups.truncate(1);
    Cache::new(plan, 8 * BLOCK_LEN, 1).keeping(n_kept)
}

#[test]
fn what_had_to_make_room_is_found_where_it_is_kept() {
    let (old, new) = (text(1, 6 * BLOCK_LEN), text(2, 8 * BLOCK_LEN));
    let longer = [&old[..], &[0]].concat();
    let mut without = small(0);
    leave(&mut without, &old);
    leave(&mut without, &new);
    assert_eq!(leave(&mut without, &longer), BLOCK_LEN);
    let mut cache = small(20);
    leave(&mut cache, &old);
    leave(&mut cache, &new);
    let mut copies = Vec::new();
    let opened = cache.open(&longer, 0, &mut copies).expect("a sequence");
    assert_eq!(opened.cached, 6 * BLOCK_LEN);
    let restored = |copy: &&CacheCopy| matches!(copy, CacheCopy::RestoreBlock { group: 0, .. });
    assert_eq!(copies.iter().filter(restored).count(), 5);
    // Somebody has to make room for those who come back.
    let kept = |copy: &&CacheCopy| matches!(copy, CacheCopy::KeepBlock { group: 0, .. });
    assert_eq!(copies.iter().filter(kept).count(), 5);
    cache.free(opened.sequence).expect("a sequence");
    assert_eq!(leave(&mut cache, &[&new[..], &[0]].concat()), 8 * BLOCK_LEN);
}

#[test]
fn where_little_is_kept_the_oldest_is_forgotten() {
    let mut cache = small(4);
    let texts: Vec<_> = (0..4).map(|seed| text(seed, 4 * BLOCK_LEN)).collect();
    for text in &texts {
        leave(&mut cache, text);
    }
    // Of sixteen blocks nine are here, and four elsewhere; leaves go before their parents.
    let found = texts.iter().map(|text| {
        let longer = [&text[..], &[0]].concat();
        let found = cache.find(&longer, 0);
        found.len / BLOCK_LEN
    });
    assert_eq!(found.collect::<Vec<_>>(), [1, 4, 4, 4]);
}

#[test]
fn what_is_kept_stays_there_while_there_is_no_room_for_it() {
    let mut cache = small(20);
    let old = text(1, 6 * BLOCK_LEN);
    leave(&mut cache, &old);
    let mut copies = Vec::new();
    let busy = cache.start(0, &mut copies).expect("a sequence");
    cache
        .append(busy, 7 * BLOCK_LEN, &mut copies)
        .expect("room");
    copies.clear();
    let longer = [&old[..], &[0]].concat();
    let opened = cache.open(&longer, 0, &mut copies).expect("a sequence");
    assert_eq!(opened.cached, 2 * BLOCK_LEN, "what is here");
    assert!(copies.is_empty(), "{copies:?}");
    for id in [opened.sequence, busy] {
        cache.free(id).expect("a sequence");
    }
    assert_eq!(leave(&mut cache, &longer), 6 * BLOCK_LEN);
}

#[test]
fn states_that_had_to_make_room_come_back() {
    for (n_kept, found) in [(0, 0), (50, 40)] {
        let mut cache = Cache::new(plan(UNBOUNDED, true), 1000, 1).keeping(n_kept);
        let texts: Vec<_> = (0..3).map(|seed| text(seed, 40)).collect();
        for text in &texts {
            leave(&mut cache, text);
        }
        // There are two slots.
        assert_eq!(leave(&mut cache, &[&texts[0][..], &[0]].concat()), found);
    }
}
