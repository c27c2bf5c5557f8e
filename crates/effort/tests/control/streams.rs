//! Ten thousand random streams: several thoughts, tool calls, characters cut at every byte, markers
//! in pieces.

use ponder_effort::control::Limits;

use super::support::*;

/// splitmix64: the same streams everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Says anything, with a leaning to what is hard.
struct Random {
    rng: Rng,
    hard: Vec<u32>,
    n_tokens: usize,
    /// A marker that is being written piece by piece.
    pending: Vec<u32>,
}

impl Random {
    fn token(&mut self) -> u32 {
        if let Some(token) = self.pending.pop() {
            return token;
        }
        match self.rng.below(100) {
            0..30 => u32::from(b'a') + self.rng.below(26) as u32,
            30..65 => self.hard[self.rng.below(self.hard.len())],
            65..75 => {
                let marker = [OPEN, CLOSE, OPEN, CLOSE, "😀é€"][self.rng.below(5)];
                // A prefix of it, byte by byte.
                let n = 1 + self.rng.below(marker.len());
                self.pending = marker.bytes().take(n).rev().map(u32::from).collect();
                self.token()
            }
            _ => self.rng.below(self.n_tokens) as u32,
        }
    }
}

impl Model for Random {
    fn wishes(&mut self, text: &Text) -> Vec<u32> {
        // Thoughts are begun and ended often, and turns not at once.
        let place = text.place();
        let marker = if place.in_thought { CLOSE } else { OPEN };
        if self.pending.is_empty() && self.rng.below(20) == 0 {
            self.pending = marker.bytes().rev().map(u32::from).collect();
        }
        let is_fresh = ["", "</tool>", CLOSE].iter().any(|edge| {
            text.bytes.ends_with(edge.as_bytes()) && (!edge.is_empty() || text.bytes.is_empty())
        });
        if self.pending.is_empty() && is_fresh && self.rng.below(2) == 0 {
            self.pending = OPEN.bytes().rev().map(u32::from).collect();
        }
        // What stands second is only said where the first may not be.
        let rest = (0..4)
            .map(|_| self.rng.below(self.n_tokens) as u32)
            .collect();
        [vec![self.token()], rest].concat()
    }
}

fn limits(rng: &mut Rng) -> Limits {
    let max_tokens = 1 + rng.below(300);
    Limits {
        max_tokens,
        answer_tokens: rng.below(max_tokens / 3 + 1),
        think_tokens: (rng.below(4) > 0).then(|| rng.below(250)),
        used_tokens: if rng.below(4) == 0 { rng.below(40) } else { 0 },
        think_min: if rng.below(3) == 0 { rng.below(60) } else { 0 },
        landing: [1.0, 0.0, 0.5, 0.9][rng.below(4)],
        ..Limits::default()
    }
}

/// A thought that the prompt has opened costs its close marker, whatever the budget; a budget that
/// has no room even for that is no budget to open a thought with.
fn least(vocabulary: &Vocabulary, in_thought: bool) -> usize {
    if in_thought {
        vocabulary.encode(CLOSE).len()
    } else {
        0
    }
}

#[test]
fn ten_thousand_streams() {
    let mut rng = Rng(1);
    let vocabularies = [Spelling::Whole, Spelling::Pieces].map(Vocabulary::new);
    let (mut n_thoughtful, mut n_exact, mut n_many) = (0, 0, 0);
    for n in 0..10_000 {
        let vocabulary = &vocabularies[n % 2];
        let in_thought = n % 3 == 0;
        let limits = limits(&mut rng);
        let n_tokens = vocabulary.tokens.len();
        let hard = (256..n_tokens as u32).chain([0x80, 0xe2, 0xf0, 0xff, b'<'.into()]);
        let mut model = Random {
            rng: Rng(rng.next()),
            hard: hard.collect(),
            n_tokens,
            pending: Vec::new(),
        };
        let outcome = run(vocabulary, &mut model, limits, in_thought);
        let (place, text) = (outcome.text.place(), &outcome.text);
        let budget = limits.budget().max(least(vocabulary, in_thought));
        assert!(place.thought_tokens <= budget, "{limits:?} {outcome:?}");
        assert!(outcome.tokens.len() <= limits.max_tokens);
        assert!(text.n_opened - text.n_closed <= 1, "{outcome:?}");
        let room = vocabulary.tables.least_thought() + limits.answer_tokens.max(1);
        if text.n_opened > 0 && limits.max_tokens > room {
            assert!(!place.in_thought, "{limits:?} {outcome:?}");
            // Its tokens are kept, and the turn does not end before there is something.
            let left = limits.max_tokens - outcome.tokens.len();
            assert!(place.answered || left == 0, "{limits:?} {outcome:?}");
        }
        n_thoughtful += usize::from(text.n_closed > 0);
        n_many += usize::from(text.n_closed > 1);
        n_exact += usize::from(place.thought_tokens + 4 > budget);
        check_forced(vocabulary, &outcome);
    }
    assert!(
        n_thoughtful > 5000 && n_many > 1000 && n_exact > 1000,
        "{n_thoughtful} {n_many} {n_exact}"
    );
}

/// What is forced stands in one piece: the words of hand-over and the marker, or what a marker lacked.
fn check_forced(vocabulary: &Vocabulary, outcome: &Outcome) {
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    for &at in &outcome.forced {
        let bytes = &vocabulary.tokens[outcome.tokens[at] as usize];
        match runs.last_mut() {
            Some((end, run)) if *end == at => {
                run.extend_from_slice(bytes);
                *end += 1;
            }
            _ => runs.push((at + 1, bytes.clone())),
        }
    }
    let whole = format!("{HAND_OVER}{CLOSE}\n\n");
    let closes = |run: &[u8]| run.contains(&b'>');
    let n_closes = runs.iter().filter(|(_, run)| closes(run)).count();
    assert!(
        n_closes <= outcome.text.n_closed,
        "closed twice: {outcome:?}"
    );
    for (end, run) in runs {
        let run = String::from_utf8(run).expect("whole characters");
        let is_cut = end == outcome.tokens.len();
        let known = [whole.as_str(), &whole[..whole.len() - 2]];
        let is_close = known.iter().any(|known| {
            known.ends_with(&run)
                || (is_cut && (0..known.len()).any(|at| known[at..].starts_with(&run)))
        });
        let is_cue = CUE.ends_with(&run) || (is_cut && CUE[1..].starts_with(&run));
        assert!(is_close || is_cue, "{run:?} in {outcome:?}");
    }
}
