//! What the controller must know of a vocabulary.

use ponder_effort::control::{Classes, Marker, Scripts, Tables};
use ponder_tokenizer::{Tokenizer, split::ChatFormat};

use super::Profile;

/// The tables of a model: where sentences end, which tokens cut characters, how the markers are
/// written, and the words that may have to be forced.
pub(crate) fn thought_tables(
    tokenizer: &Tokenizer,
    format: &ChatFormat,
    profile: &Profile,
    stop: &[u32],
    vocab_size: usize,
) -> Tables {
    // A tokenizer may have tokens that the model has no logit for.
    let is_known = |id: &u32| (*id as usize) < vocab_size;
    let stop: Vec<u32> = stop.iter().copied().filter(is_known).collect();
    let tokens: Vec<Vec<u8>> = (0..vocab_size as u32)
        .map(|id| tokenizer.token_bytes(id))
        .collect();
    let mut classes = Classes::new(tokens.iter());
    for (id, bytes) in (0..).zip(&tokens) {
        let is_break = std::str::from_utf8(bytes).is_ok_and(|text| {
            profile
                .breaks()
                .iter()
                .any(|word| word == text.trim_start())
        });
        if is_break {
            classes.mark_break(id);
        }
    }
    let (Some(markers), Some(reasoning)) = (format.thought_markers(), &format.reasoning) else {
        let none = Marker::default;
        return Tables::new(classes, stop, none(), none(), Scripts::default());
    };
    let known = || (0..).zip(tokens.iter().map(Vec::as_slice));
    let encode = |text: &str| {
        let ids = fragment(tokenizer, text).unwrap_or_default();
        if ids.iter().all(is_known) {
            return ids;
        }
        Vec::new()
    };
    let others = markers.others.iter();
    let others: Vec<u32> = others
        .filter_map(|piece| tokenizer.token_id(piece))
        .filter(is_known)
        .collect();
    let open = Marker::new(
        &markers.open,
        markers.open.len(),
        &[],
        |_| Vec::new(),
        known(),
    );
    let close = Marker::new(markers.close, markers.n_decisive, &others, encode, known());
    let scripts = Scripts {
        hand_over: encode(&reasoning.hand_over),
        after_close: encode(&reasoning.after_close),
        cue: encode(profile.cue()),
    };
    Tables::new(classes, stop, open, close, scripts)
}

/// The tokens of a text that goes on with another one: exactly its bytes. `None` where the tokenizer
/// has no such tokens.
pub(crate) fn fragment(tokenizer: &Tokenizer, text: &str) -> Option<Vec<u32>> {
    let bytes = |ids: &[u32]| -> Vec<u8> {
        ids.iter()
            .flat_map(|&id| tokenizer.token_bytes(id))
            .collect()
    };
    let ids = tokenizer.encode(text, false).ok()?;
    if bytes(&ids) == text.as_bytes() {
        return Some(ids);
    }
    // Some tokenizers put a space before a text; behind a line end they do not.
    let before = tokenizer.encode("\n", false).ok()?;
    let both = tokenizer.encode(&format!("\n{text}"), false).ok()?;
    let ids = both.strip_prefix(before.as_slice())?;
    (bytes(ids) == text.as_bytes()).then(|| ids.to_vec())
}
