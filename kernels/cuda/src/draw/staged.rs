//! Draws as the kernel reads them: numbers of a fixed size for each, and behind those of all of them the
//! lists that they name.

use super::{Draw, DrawnToken, MAX_LIKELIEST, changes_row};
use crate::view::count;

/// Stands for a token, a copy or a list that is not there.
const NOTHING: u32 = u32::MAX;

/// Words of a draw, as `Draw` in `cu/draw.cu` has them.
const WORDS: usize = 20;

/// Bytes of what it gives, as `Drawn` there has them.
pub(super) const RESULT: usize = 24 + 8 * MAX_LIKELIEST;

/// Draws that are on their way.
#[derive(Debug, Default)]
pub(super) struct Staged {
    draws: Vec<[u32; WORDS]>,
    words: Vec<u32>,
    n_rows: usize,
    n_copies: u32,
}

impl Staged {
    pub(super) fn clear(&mut self) {
        self.draws.clear();
        self.words.clear();
        (self.n_rows, self.n_copies) = (0, 0);
    }

    pub(super) fn n_draws(&self) -> usize {
        self.draws.len()
    }

    /// One more than the last row that is named.
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Rows that are copied.
    pub(super) fn n_copies(&self) -> usize {
        self.n_copies as usize
    }

    pub(super) fn push(&mut self, draw: &Draw<'_>) {
        let changes_row = changes_row(draw);
        let copy = match changes_row {
            true => self.n_copies,
            false => NOTHING,
        };
        self.n_copies += u32::from(changes_row);
        self.n_rows = self.n_rows.max(draw.row + 1);
        let mask = draw.mask.map(|mask| self.list(mask.iter().copied()));
        let seen = draw.seen.iter();
        let seen = self.list(seen.flat_map(|&(token, n)| [token, n]));
        let added = draw.added.iter();
        let added = self.list(added.flat_map(|&(token, amount)| [token, amount.to_bits()]));
        let (raised, share) = draw.raised.unwrap_or((NOTHING, 0.0));
        // Halves of a number of 64 bits in the order of the machine, which the device shares.
        let [low, high] =
            [draw.number.to_bits(), draw.number.to_bits() >> 32].map(|half| half as u32);
        self.draws.push([
            low,
            high,
            count(draw.row),
            copy,
            mask.unwrap_or(NOTHING),
            seen,
            count(draw.seen.len()),
            added,
            count(draw.added.len()),
            raised,
            share.to_bits(),
            draw.repetition.to_bits(),
            draw.presence.to_bits(),
            draw.frequency.to_bits(),
            draw.sharpness.to_bits(),
            count(draw.top_k),
            draw.top_p.to_bits(),
            draw.min_p.to_bits(),
            draw.likeliest.map_or(NOTHING, count),
            0,
        ]);
    }

    /// Appends everything as bytes. Returns where the lists begin.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) -> usize {
        let draws = self.draws.iter().flatten();
        bytes.extend(draws.flat_map(|word| word.to_ne_bytes()));
        let words_at = bytes.len();
        bytes.extend(self.words.iter().flat_map(|word| word.to_ne_bytes()));
        words_at
    }

    /// Appends a list. Returns where it begins.
    fn list(&mut self, words: impl Iterator<Item = u32>) -> u32 {
        let start = count(self.words.len());
        self.words.extend(words);
        start
    }
}

/// What a draw has given.
pub(super) fn result(bytes: &[u8; RESULT]) -> Option<DrawnToken> {
    let word = |index: usize| {
        let words = bytes.as_chunks().0;
        u32::from_ne_bytes(words[index])
    };
    let wide = |index: usize| {
        let words = bytes.as_chunks().0;
        u64::from_ne_bytes(words[index])
    };
    if word(2) == NOTHING {
        return None;
    }
    let n_likeliest = (word(5) as usize).min(MAX_LIKELIEST);
    let mut likeliest = [(0, 0.0); MAX_LIKELIEST];
    for (i, likely) in likeliest[..n_likeliest].iter_mut().enumerate() {
        *likely = candidate(wide(3 + i));
    }
    Some(DrawnToken {
        token: word(2),
        logit: f32::from_bits(word(3)),
        max: f32::from_bits(word(4)),
        mass: f64::from_bits(wide(0)),
        likeliest,
        n_likeliest,
    })
}

/// A token and its logit, as `cu/candidates.cuh` has them in one number.
fn candidate(number: u64) -> (u32, f32) {
    let order = (number >> 32) as u32;
    let bits = match order >> 31 {
        1 => order & 0x7fff_ffff,
        _ => !order,
    };
    (!(number as u32), f32::from_bits(bits))
}
