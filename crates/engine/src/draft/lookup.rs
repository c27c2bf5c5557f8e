//! Drafts from the text itself: what followed the last time the same tokens stood here.

use std::collections::HashMap;

/// Tokens that must have stood together before, longest first.
const LENGTHS: [usize; 2] = [4, 2];

/// Where each run of a few tokens of one text stood last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup {
    /// From a run to the position after it, by length of the run.
    places: [HashMap<[u32; LENGTHS[0]], u32>; LENGTHS.len()],
    /// The position after the earlier run that ends as the text does now.
    follows: Option<usize>,
    n_seen: usize,
}

impl Lookup {
    /// Takes in what was added to the text since the last call.
    pub(crate) fn update(&mut self, text: &[u32]) {
        for end in self.n_seen + 1..=text.len() {
            self.follows = None;
            for (places, n) in self.places.iter_mut().zip(LENGTHS) {
                let Some(start) = end.checked_sub(n) else {
                    continue;
                };
                let mut run = [0; LENGTHS[0]];
                run[..n].copy_from_slice(&text[start..end]);
                let before = places.insert(run, end as u32);
                self.follows = self.follows.or(before.map(|place| place as usize));
            }
        }
        self.n_seen = text.len();
    }

    /// Up to `n` tokens that may come next, appended to `drafts`. What repeats is taken to go on
    /// repeating. `text` is that of the last update.
    pub(crate) fn draft(&self, text: &[u32], n: usize, drafts: &mut Vec<u32>) {
        let Some(from) = self.follows else {
            return;
        };
        let first = drafts.len();
        for place in from..from + n {
            let token = match text.get(place) {
                Some(&token) => token,
                None => drafts[first + place - text.len()],
            };
            drafts.push(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &[u32], n: usize) -> Vec<u32> {
        let mut lookup = Lookup::default();
        // However the text comes in, the drafts are the same.
        let (first, _) = text.split_at(text.len() / 2);
        lookup.update(first);
        lookup.update(text);
        let mut drafts = vec![99];
        lookup.draft(text, n, &mut drafts);
        assert_eq!(drafts.remove(0), 99);
        drafts
    }

    #[test]
    fn what_followed_before_is_drafted() {
        assert_eq!(draft(&[1, 2, 3, 4, 5, 1, 2], 3), [3, 4, 5]);
        assert!(draft(&[1, 2, 3, 4, 5, 6, 7], 3).is_empty());
        assert!(draft(&[1], 3).is_empty());
        assert!(draft(&[], 3).is_empty());
    }

    #[test]
    fn the_longer_and_the_later_run_wins() {
        assert_eq!(draft(&[3, 4, 9, 3, 4, 8, 7, 3, 4], 1), [8], "the later one");
        let longer = [1, 2, 3, 4, 9, 5, 3, 4, 8, 1, 2, 3, 4];
        assert_eq!(draft(&longer, 1), [9], "the longer one");
    }

    #[test]
    fn what_repeats_goes_on_repeating() {
        assert_eq!(draft(&[1, 2, 3, 1, 2, 3, 1, 2], 7), [3, 1, 2, 3, 1, 2, 3]);
        assert_eq!(draft(&[5, 5, 5], 4), [5, 5, 5, 5]);
    }
}
