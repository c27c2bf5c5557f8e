//! What the controller knows of a model, all of it as token ids: made once, shared by all answers.

use super::classes::Classes;

/// A marker of a thought, in all the ways in which it may come to stand in a text.
#[derive(Debug, Clone, Default)]
pub struct Marker {
    /// Tokens that write what is left of it after so many of its bytes; the first writes all of it.
    tails: Vec<Vec<u32>>,
    /// Tokens that complete it after so many of its bytes.
    completing: Vec<Vec<u32>>,
}

impl Marker {
    /// The marker `text`, of which the first `n_decisive` bytes decide; the rest only follows where
    /// the engine writes it. `encode` writes a part of it as tokens; `tokens` is the vocabulary.
    /// `others` are tokens that do the same as the whole marker.
    pub fn new<'a>(
        text: &str,
        n_decisive: usize,
        others: &[u32],
        mut encode: impl FnMut(&str) -> Vec<u32>,
        tokens: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> Self {
        let n_decisive = n_decisive.min(text.len());
        let is_cut = |at: &usize| text.is_char_boundary(*at);
        let tail = |at| {
            if is_cut(&at) {
                encode(&text[at..])
            } else {
                Vec::new()
            }
        };
        let tails = (0..n_decisive.max(1)).map(tail).collect();
        let marker = &text.as_bytes()[..n_decisive];
        let mut completing = vec![others.to_vec(); n_decisive.max(1)];
        for (id, bytes) in tokens {
            if marker.is_empty() || bytes.is_empty() {
                continue;
            }
            let holds_all = bytes.windows(marker.len()).any(|window| window == marker);
            for (n_written, completing) in completing.iter_mut().enumerate() {
                let completes = holds_all || bytes.starts_with(&marker[n_written..]);
                if completes && !completing.contains(&id) {
                    completing.push(id);
                }
            }
        }
        Self { tails, completing }
    }

    /// The tokens that write it after `n_written` of its bytes.
    fn tail(&self, n_written: usize) -> &[u32] {
        self.tails
            .get(n_written)
            .filter(|tail| !tail.is_empty())
            .or(self.tails.first())
            .map_or(&[], Vec::as_slice)
    }

    /// Tokens that would complete it after `n_written` of its bytes.
    fn completing(&self, n_written: usize) -> &[u32] {
        self.completing
            .get(n_written)
            .or(self.completing.first())
            .map_or(&[], Vec::as_slice)
    }

    fn longest_tail(&self) -> usize {
        self.tails.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// What the engine may have to write.
#[derive(Debug, Clone, Default)]
pub struct Scripts {
    /// Words by which a thought that is cut hands over to the answer.
    pub hand_over: Vec<u32>,
    /// What the template expects between the close marker and the answer.
    pub after_close: Vec<u32>,
    /// Words that go on with a thought that would be too short.
    pub cue: Vec<u32>,
}

/// All that is known of a model.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    pub(super) classes: Classes,
    /// Tokens that end the turn.
    pub(super) stop: Vec<u32>,
    open: Marker,
    close: Marker,
    pub(super) scripts: Scripts,
    /// Tokens that end the turn, and those that close a thought at once.
    pub(super) ending: Vec<u32>,
}

/// Bytes that a character may lack, and so tokens that may be needed to finish it.
const CHARACTER: usize = 3;

impl Tables {
    /// The tables of a model. Without a close marker, thoughts are neither cut nor kept from opening.
    pub fn new(
        classes: Classes,
        stop: Vec<u32>,
        open: Marker,
        close: Marker,
        scripts: Scripts,
    ) -> Self {
        let ending = [&stop, close.completing(0)].concat();
        Self {
            classes,
            stop,
            open,
            close,
            scripts,
            ending,
        }
    }

    /// Whether thoughts can be closed.
    pub fn can_close(&self) -> bool {
        !self.close.tail(0).is_empty()
    }

    /// Tokens of the close marker, which a thought costs that is closed at once; 0 without one.
    pub fn least_close(&self) -> usize {
        self.close.tail(0).len()
    }

    /// Tokens of thought that the shortest one takes that is closed by force.
    pub fn least_thought(&self) -> usize {
        self.reserve(false) + 1
    }

    pub(super) fn close(&self, n_written: usize) -> &[u32] {
        self.close.tail(n_written)
    }

    pub(super) fn closing(&self, n_written: usize) -> &[u32] {
        self.close.completing(n_written)
    }

    pub(super) fn opening(&self, n_written: usize) -> &[u32] {
        self.open.completing(n_written)
    }

    /// Tokens that must be left to close a thought wherever it stands: to finish a character, to
    /// hand over, to close; or to finish a marker that was begun.
    pub(super) fn reserve(&self, with_hand_over: bool) -> usize {
        let hand_over = match with_hand_over {
            true => self.scripts.hand_over.len(),
            false => 0,
        };
        (CHARACTER + hand_over + self.close.tail(0).len()).max(self.close.longest_tail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 9] = ["<", "/", "t", "<t", "</t", "t>", ">", "</t>", ">\n"];

    /// The longest piece first.
    fn encode(text: &str) -> Vec<u32> {
        let (mut rest, mut ids) = (text, Vec::new());
        while !rest.is_empty() {
            let fits = |&id: &usize| rest.starts_with(VOCABULARY[id]);
            let best = (0..VOCABULARY.len())
                .filter(fits)
                .max_by_key(|&id| VOCABULARY[id].len())
                .expect("a piece");
            ids.push(best as u32);
            rest = &rest[VOCABULARY[best].len()..];
        }
        ids
    }

    #[test]
    fn markers_know_how_they_end() {
        let tokens = VOCABULARY.iter().enumerate();
        let tokens = tokens.map(|(id, piece)| (id as u32, piece.as_bytes()));
        let marker = Marker::new("</t>", 4, &[42], encode, tokens);
        assert_eq!(marker.tail(0), [7]);
        assert_eq!(marker.tail(1), [1, 5]);
        assert_eq!(marker.tail(3), [6]);
        assert_eq!(marker.tail(9), [7], "what cannot be is taken for nothing");
        assert_eq!(marker.completing(0), [42, 7]);
        assert_eq!(marker.completing(2), [42, 5, 7]);
        assert_eq!(marker.completing(3), [42, 6, 7, 8]);
        let tables = Tables::new(
            Classes::default(),
            vec![50],
            Marker::default(),
            marker,
            Scripts {
                hand_over: vec![0; 10],
                ..Scripts::default()
            },
        );
        assert_eq!((tables.reserve(true), tables.reserve(false)), (14, 4));
        assert_eq!(tables.ending, [50, 42, 7]);
        assert!(tables.can_close() && !Tables::default().can_close());
    }
}
