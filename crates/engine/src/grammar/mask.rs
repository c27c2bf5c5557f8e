//! Sets of tokens, as the sampler takes them.

/// A set of tokens: bit `t % 32` of word `t / 32` is token `t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    words: Vec<u32>,
    n_tokens: usize,
}

impl Mask {
    pub(super) fn none(n_tokens: usize) -> Self {
        Self {
            words: vec![0; n_tokens.div_ceil(32)],
            n_tokens,
        }
    }

    pub(super) fn fill(&mut self, with_all: bool) {
        self.words.fill(if with_all { u32::MAX } else { 0 });
    }

    /// A token without a logit is left out.
    pub(super) fn insert(&mut self, token: u32) {
        if (token as usize) < self.n_tokens {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    pub(super) fn remove(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    pub(super) fn contains(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / 32);
        word.is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Adds the tokens of a set that may be of another length.
    pub(super) fn union(&mut self, words: &[u32]) {
        for (word, other) in self.words.iter_mut().zip(words) {
            *word |= other;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let unused = self.words.len() * 32 - self.n_tokens;
        match self.words.split_last() {
            Some((last, words)) => {
                words.iter().all(|&word| word == 0) && last & (u32::MAX >> unused) == 0
            }
            None => true,
        }
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }
}
