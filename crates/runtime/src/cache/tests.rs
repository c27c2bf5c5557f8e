//! The bookkeeping against sequences that are kept whole.

use std::collections::HashMap;

use super::*;

mod prefix;

/// Two groups, one with a window, and a recurrent layer or none.
fn plan(window: usize, recurrent: bool) -> CachePlan {
    let group = |window| KvGroup {
        window,
        shapes: vec![KvShape {
            n_heads: 1,
            head_dim: 1,
        }],
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

/// What a backend would hold: a token per position in each block, a digest of all tokens in each slot.
#[derive(Default)]
struct Storage {
    blocks: HashMap<(usize, u32), [u32; BLOCK_LEN]>,
    slots: HashMap<u32, u64>,
    kept_blocks: HashMap<(usize, u32), [u32; BLOCK_LEN]>,
    kept_slots: HashMap<u32, u64>,
    /// Blocks that came back from where they were kept.
    n_restored: usize,
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
                CacheCopy::KeepBlock { group, from, to } => {
                    let block = self.blocks[&(group, from)];
                    self.kept_blocks.insert((group, to), block);
                }
                CacheCopy::RestoreBlock { group, from, to } => {
                    let block = self.kept_blocks[&(group, from)];
                    self.blocks.insert((group, to), block);
                    self.n_restored += 1;
                }
                CacheCopy::KeepSlot { from, to } => {
                    self.kept_slots.insert(to, self.slots[&from]);
                }
                CacheCopy::RestoreSlot { from, to } => {
                    self.slots.insert(to, self.kept_slots[&from]);
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
                let state = self.slots.get_mut(&slot).expect("a cleared slot");
                *state = digest(*state, token);
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
            let state = whole.iter().fold(0, |state, &token| digest(state, token));
            assert_eq!(self.slots[&slot], state);
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

/// A state that depends on every token and on their order.
fn digest(state: u64, token: u32) -> u64 {
    (state ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3) + 1
}

/// A cache, what a backend would hold for it, and the sequences kept whole.
struct Walk {
    random: Random,
    window: usize,
    cache: Cache,
    storage: Storage,
    whole: Vec<(SeqId, Vec<u32>)>,
    /// Texts of sequences that have ended, from which new prompts begin.
    texts: Vec<Vec<u32>>,
    copies: Vec<CacheCopy>,
    /// Where the state of a sequence was saved.
    saved: HashMap<SeqId, usize>,
    found: usize,
    /// How often a sequence came back to where it was saved.
    undone: usize,
}

impl Walk {
    fn new(
        seed: u64,
        (window, recurrent): (usize, bool),
        [max_tokens, n_kept]: [usize; 2],
    ) -> Self {
        Self {
            random: Random(seed),
            window,
            cache: Cache::new(plan(window, recurrent), max_tokens, 6).keeping(n_kept),
            storage: Storage::default(),
            whole: Vec::new(),
            texts: Vec::new(),
            copies: Vec::new(),
            saved: HashMap::new(),
            found: 0,
            undone: 0,
        }
    }

    fn tokens(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.random.below(3) as u32).collect()
    }

    /// Opens a sequence: half of the prompts begin as an earlier text does.
    fn open(&mut self) {
        let known = self.texts.len() + self.whole.len();
        let mut prompt = Vec::new();
        if known > 0 && self.random.below(2) == 0 {
            let pick = self.random.below(known);
            let text = match self.texts.get(pick) {
                Some(text) => text,
                None => &self.whole[pick - self.texts.len()].1,
            };
            let len = match self.random.below(2) {
                0 => text.len(),
                _ => self.random.below(text.len() + 1),
            };
            prompt = text[..len].to_vec();
        }
        let n = 1 + self.random.below(60);
        prompt.extend(self.tokens(n));
        let (room, n_more) = (Room::default(), prompt.len() * 37 % 300);
        let new = (&prompt[..], 100, false);
        let fits = self.cache.fits_new(&room, new, n_more);
        let opened = self.cache.open(&prompt, 100, &mut self.copies);
        let Opened { sequence, cached } = opened.expect("a free slot");
        assert!(cached < prompt.len());
        let n = prompt.len() - cached + n_more;
        let really = self.cache.fits(&mut Room::default(), sequence, n);
        assert_eq!(Ok(fits), really, "{n} tokens after {cached}");
        self.found += cached;
        let rest = prompt.split_off(cached);
        self.whole.push((sequence, prompt));
        let pick = self.whole.len() - 1;
        self.append(pick, &rest);
    }

    fn append(&mut self, pick: usize, new: &[u32]) {
        let (id, tokens) = &mut self.whole[pick];
        let mut room = Room::default();
        let fits = self.cache.fits(&mut room, *id, new.len());
        match self.cache.append(*id, new.len(), &mut self.copies) {
            Ok(()) => {
                assert_eq!(fits, Ok(true));
                self.storage.copy(&mut self.copies);
                let sequence = self.cache.sequence(*id).expect("a sequence");
                self.storage.write(sequence, tokens.len(), new);
                let committed = self.cache.commit(*id, new, &mut self.copies);
                committed.expect("a sequence");
                tokens.extend(new);
            }
            Err(error) => {
                assert!(matches!(error, CacheError::Full { .. }), "{error}");
                assert_eq!(fits, Ok(false));
            }
        }
    }

    fn end(&mut self, pick: usize) {
        let (id, tokens) = self.whole.swap_remove(pick);
        self.saved.remove(&id);
        self.cache.free(id).expect("a sequence");
        self.texts.push(tokens);
        if self.texts.len() > 8 {
            self.texts.remove(0);
        }
    }

    fn step(&mut self) {
        let pick = self.random.below(self.whole.len().max(1));
        let has_room = self.whole.len() < 6;
        match self.random.below(10) {
            0 if has_room => {
                let id = self.cache.start(100, &mut self.copies);
                self.whole.push((id.expect("a free slot"), Vec::new()));
            }
            1 | 2 if has_room => self.open(),
            3 if has_room && !self.whole.is_empty() => {
                let (id, tokens) = self.whole[pick].clone();
                let twin = self.cache.fork(id, &mut self.copies).expect("a free slot");
                self.whole.push((twin, tokens));
            }
            4 if !self.whole.is_empty() => {
                let len = self.random.below(self.whole[pick].1.len() + 1);
                let (id, tokens) = &mut self.whole[pick];
                match self.cache.truncate(*id, len) {
                    Ok(left) => {
                        let (is_shorter, was_saved) = (left < tokens.len(), self.saved.get(id));
                        assert!(left == len || (left < len && was_saved == Some(&left)));
                        tokens.truncate(left);
                        self.undone += usize::from(is_shorter && was_saved == Some(&left));
                        if is_shorter {
                            self.saved.remove(id);
                        }
                    }
                    Err(error) => assert!(matches!(error, CacheError::Forgotten { .. }), "{error}"),
                }
            }
            5 if !self.whole.is_empty() => self.end(pick),
            6 if !self.whole.is_empty() => {
                let (id, tokens) = &self.whole[pick];
                let is_saved = self.cache.save(*id, &mut self.copies);
                assert_eq!(is_saved, Ok(true), "two slots for each sequence");
                self.saved.insert(*id, tokens.len());
            }
            _ if !self.whole.is_empty() => {
                let n = 1 + self.random.below(50);
                let new = self.tokens(n);
                self.append(pick, &new);
            }
            _ => {}
        }
        self.storage.copy(&mut self.copies);
        self.check();
    }

    fn check(&self) {
        let mut held = Vec::new();
        let mut slots = 0;
        for (id, tokens) in &self.whole {
            self.storage.check(&self.cache, *id, tokens, self.window);
            let sequence = self.cache.sequence(*id).expect("a sequence");
            slots += usize::from(sequence.slot().is_some());
            slots += usize::from(sequence.saved.is_some());
            for group in 0..2 {
                let blocks = sequence.table(group).blocks().iter();
                held.extend(blocks.map(|&block| (group, block)));
            }
        }
        self.cache.tree.check(&held, slots);
    }
}

/// Random calls; what a sequence sees is always what it was told, whatever it shares.
fn random_walk(seed: u64, kind: (usize, bool), size: [usize; 2]) -> [usize; 3] {
    let mut walk = Walk::new(seed, kind, size);
    (0..400).for_each(|_| walk.step());
    while !walk.whole.is_empty() {
        walk.end(0);
    }
    walk.check();
    assert_eq!(
        walk.cache.free_tokens(),
        (size[0].div_ceil(BLOCK_LEN) + 6) * BLOCK_LEN,
        "every block can be had again"
    );
    [walk.found, walk.undone, walk.storage.n_restored]
}

/// What walks with many seeds come to.
fn random_walks(kind: (usize, bool), size: [usize; 2]) -> [usize; 3] {
    let walks = (0..15).map(|seed| random_walk(seed, kind, size));
    walks.fold([0; 3], |sum, walk| [0, 1, 2].map(|i| sum[i] + walk[i]))
}

#[test]
fn random_walks_keep_every_sequence_apart() {
    for window in [1, 31, 32, 33, 100] {
        for recurrent in [false, true] {
            let [found, undone, restored] = random_walks((window, recurrent), [600, 0]);
            assert!(found > 1000, "{found} tokens were found again");
            assert!(!recurrent || undone > 5, "{undone} states were restored");
            assert_eq!(restored, 0);
        }
    }
}

#[test]
fn what_is_kept_elsewhere_comes_back_as_it_was() {
    for window in [1, 33, 100] {
        for recurrent in [false, true] {
            for n_kept in [1, 6, 100] {
                let [_, _, restored] = random_walks((window, recurrent), [200, n_kept]);
                assert!(restored > 2, "{restored} blocks came back");
            }
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

#[test]
fn a_recurrent_state_comes_back_to_where_it_was_saved() {
    let mut cache = Cache::new(plan(100, true), 640, 1);
    let mut copies = Vec::new();
    let id = cache.start(0, &mut copies).unwrap();
    cache.append(id, 40, &mut copies).unwrap();
    let forgotten = |len, to| Err(CacheError::Forgotten { len, to });
    assert_eq!(cache.truncate(id, 39), forgotten(40, 39));
    let slot = cache.sequence(id).unwrap().slot().unwrap();
    copies.clear();
    assert_eq!(cache.save(id, &mut copies), Ok(true));
    let [CacheCopy::Slot { from, to: saved }] = copies[..] else {
        panic!("{copies:?}");
    };
    assert_eq!(from, slot);
    cache.append(id, 6, &mut copies).unwrap();
    assert_eq!(cache.truncate(id, 46), Ok(46), "nothing to forget");
    assert_eq!(cache.truncate(id, 39), forgotten(46, 39));
    assert_eq!(
        cache.truncate(id, 43),
        Ok(40),
        "three are to be appended again"
    );
    assert_eq!(cache.sequence(id).unwrap().slot(), Some(saved));
    cache.append(id, 3, &mut copies).unwrap();
    assert_eq!(cache.truncate(id, 42), forgotten(43, 42), "it was used up");
    // The slot that came free is saved to next, and both are given back.
    copies.clear();
    assert_eq!(cache.save(id, &mut copies), Ok(true));
    assert_eq!(
        copies,
        [CacheCopy::Slot {
            from: saved,
            to: slot
        }]
    );
    cache.free(id).unwrap();
    cache.tree.check(&[], 0);
}

#[test]
fn a_fork_has_a_state_of_its_own() {
    let mut cache = Cache::new(plan(100, true), 640, 2);
    let mut copies = Vec::new();
    let first = cache.start(0, &mut copies).unwrap();
    cache.append(first, 10, &mut copies).unwrap();
    cache.save(first, &mut copies).unwrap();
    let twin = cache.fork(first, &mut copies).unwrap();
    cache.append(twin, 1, &mut copies).unwrap();
    let error = CacheError::Forgotten { len: 11, to: 10 };
    assert_eq!(cache.truncate(twin, 10), Err(error));
    cache.append(first, 1, &mut copies).unwrap();
    assert_eq!(cache.truncate(first, 10), Ok(10));
    // Three slots are in use; the fourth is the last.
    assert_eq!(cache.save(twin, &mut copies), Ok(true));
    assert_eq!(cache.start(0, &mut copies), Err(CacheError::NoSlot(4)));
    let third = Cache::new(plan(100, true), 640, 1).save(first, &mut copies);
    assert_eq!(third, Err(CacheError::Unknown(first)));
}
