//! The bookkeeping against sequences that are kept whole.

use std::collections::HashMap;

use super::*;

/// Two groups, one with a window, and a recurrent layer or none.
fn plan(window: usize, recurrent: bool) -> CachePlan {
    let group = |window| KvGroup {
        window,
        widths: vec![(1, 1)],
    };
    CachePlan {
        layers: Vec::new(),
        groups: vec![group(None), group(Some(window))],
        recurrent: if recurrent {
            vec![RecurrentState { len: 1 }]
        } else {
            Vec::new()
        },
    }
}

/// What a backend would hold: a token per position in each block, a sum of tokens in each slot.
#[derive(Default)]
struct Storage {
    blocks: HashMap<(usize, u32), [u32; BLOCK_LEN]>,
    slots: HashMap<u32, u32>,
}

impl Storage {
    fn copy(&mut self, copies: &mut Vec<CacheCopy>) {
        for copy in copies.drain(..) {
            match copy {
                CacheCopy::Block { group, from, to } => {
                    let block = self.blocks[&(group, from)];
                    self.blocks.insert((group, to), block);
                }
                CacheCopy::Slot { from, to } => {
                    self.slots.insert(to, self.slots[&from]);
                }
                CacheCopy::ClearSlot { slot } => {
                    self.slots.insert(slot, 0);
                }
            }
        }
    }

    fn write(&mut self, sequence: &Sequence, first: usize, tokens: &[u32]) {
        for (i, &token) in tokens.iter().enumerate() {
            for group in 0..2 {
                let (block, row) = sequence.table(group).locate(first + i);
                self.blocks.entry((group, block)).or_insert([0; BLOCK_LEN])[row] = token;
            }
            if let Some(slot) = sequence.slot() {
                *self.slots.get_mut(&slot).expect("a cleared slot") += token;
            }
        }
    }

    fn check(&self, cache: &Cache, id: SeqId, whole: &[u32], window: usize) {
        let sequence = cache.sequence(id).expect("a sequence");
        assert_eq!(sequence.len(), whole.len());
        for (group, seen) in [(0, usize::MAX), (1, window)] {
            // What the next token will attend to, itself not counted.
            let from = (whole.len() + 1).saturating_sub(seen);
            for (position, &token) in whole.iter().enumerate().skip(from) {
                let (block, row) = sequence.table(group).locate(position);
                assert_eq!(
                    self.blocks[&(group, block)][row],
                    token,
                    "group {group}, position {position}"
                );
            }
        }
        if let Some(slot) = sequence.slot() {
            assert_eq!(self.slots[&slot], whole.iter().sum::<u32>());
        }
    }
}

/// A small generator, so that a failure comes back with the same seed (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn random_walk(seed: u64, window: usize, recurrent: bool) {
    let mut random = Random(seed);
    let mut cache = Cache::new(plan(window, recurrent), 600, 6);
    let mut storage = Storage::default();
    let mut whole: Vec<(SeqId, Vec<u32>)> = Vec::new();
    let mut copies = Vec::new();
    for step in 0..400u32 {
        let pick = random.below(whole.len().max(1));
        match random.below(8) {
            0 if whole.len() < 6 => whole.push((
                cache.start(100, &mut copies).expect("a free slot"),
                Vec::new(),
            )),
            1 if whole.len() < 6 && !whole.is_empty() => {
                let twin = cache.fork(whole[pick].0, &mut copies).expect("a free slot");
                whole.push((twin, whole[pick].1.clone()));
            }
            2 if !whole.is_empty() => {
                let (id, tokens) = &mut whole[pick];
                let len = random.below(tokens.len() + 1);
                match cache.truncate(*id, len) {
                    Ok(()) => tokens.truncate(len),
                    Err(error) => assert!(matches!(error, CacheError::Forgotten { .. }), "{error}"),
                }
            }
            3 if !whole.is_empty() => cache.free(whole.swap_remove(pick).0).expect("a sequence"),
            _ if !whole.is_empty() => {
                let (id, tokens) = &mut whole[pick];
                let new: Vec<u32> = (0..1 + random.below(50) as u32)
                    .map(|i| step * 100 + i)
                    .collect();
                match cache.append(*id, new.len(), &mut copies) {
                    Ok(()) => {
                        storage.copy(&mut copies);
                        storage.write(cache.sequence(*id).expect("a sequence"), tokens.len(), &new);
                        tokens.extend(new);
                    }
                    Err(error) => assert!(matches!(error, CacheError::Full { .. }), "{error}"),
                }
            }
            _ => {}
        }
        storage.copy(&mut copies);
        whole
            .iter()
            .for_each(|(id, tokens)| storage.check(&cache, *id, tokens, window));
    }
    for (id, _) in whole {
        cache.free(id).expect("a sequence");
    }
    assert_eq!(
        cache.free_tokens(),
        (600usize.div_ceil(BLOCK_LEN) + 6) * BLOCK_LEN,
        "every block came back"
    );
}

#[test]
fn random_walks_keep_every_sequence_apart() {
    for seed in 0..60 {
        for window in [1, 31, 32, 33, 100] {
            random_walk(seed, window, seed % 2 == 0);
        }
    }
}

#[test]
fn forks_share_until_one_writes() {
    let mut cache = Cache::new(plan(1000, false), 320, 2);
    let mut copies = Vec::new();
    let first = cache.start(0, &mut copies).unwrap();
    cache.append(first, 40, &mut copies).unwrap();
    let before = cache.free_tokens();
    let second = cache.fork(first, &mut copies).unwrap();
    assert_eq!(
        (cache.free_tokens(), copies.len()),
        (before, 0),
        "a fork costs nothing"
    );
    cache.append(second, 1, &mut copies).unwrap();
    let copied = |group| {
        copies
            .iter()
            .filter(|copy| matches!(copy, CacheCopy::Block { group: g, .. } if *g == group))
            .count()
    };
    assert_eq!(
        (copied(0), copied(1)),
        (1, 1),
        "only the half-full block is copied"
    );
    copies.clear();
    cache.append(first, 1, &mut copies).unwrap();
    assert!(
        copies.is_empty(),
        "the first sequence owns its block alone now"
    );
}

#[test]
fn a_full_cache_refuses_and_changes_nothing() {
    let mut cache = Cache::new(plan(8, false), 32, 1);
    let mut copies = Vec::new();
    let id = cache.start(0, &mut copies).unwrap();
    let error = cache.append(id, 65, &mut copies).unwrap_err();
    assert_eq!(error, CacheError::Full { needed: 3, free: 2 });
    assert!(cache.sequence(id).unwrap().is_empty());
    cache.append(id, 64, &mut copies).unwrap();
    cache.free(id).unwrap();
    assert_eq!(
        cache.append(id, 1, &mut copies),
        Err(CacheError::Unknown(id))
    );
}

#[test]
fn windows_let_go_of_blocks_and_say_so_on_rollback() {
    let mut cache = Cache::new(plan(16, false), 640, 1);
    let mut copies = Vec::new();
    let id = cache.start(0, &mut copies).unwrap();
    (0..10).for_each(|_| cache.append(id, 32, &mut copies).unwrap());
    let sequence = cache.sequence(id).unwrap();
    assert_eq!(
        (
            sequence.table(0).blocks().len(),
            sequence.table(1).blocks().len()
        ),
        (10, 2)
    );
    assert!(matches!(
        cache.truncate(id, 100),
        Err(CacheError::Forgotten { len: 320, to: 100 })
    ));
    cache.truncate(id, 310).unwrap();
    assert_eq!(cache.sequence(id).unwrap().len(), 310);
}
