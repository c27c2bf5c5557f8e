//! Which tokens end generation.
//!
//! No single file is reliable: quantized files often name only one of two end tokens, and
//! base models' configurations are copied into chat models. So the set is the union of what
//! every file says and of well-known end-of-turn pieces that are control tokens here.

use std::collections::BTreeSet;

use crate::vocab::pieces::{Kind, Pieces};

/// Pieces that end a turn wherever they are control tokens.
const END_PIECES: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<seed:eos>",
    "[|endofturn|]",
];

/// Formats in which `<|end|>` ends one message of a turn, and the turn goes on: they have
/// both of these pieces, for the end of the turn and for a call of a tool.
const MESSAGE_FORMATS: &[[&str; 2]] = &[["<|return|>", "<|call|>"], ["<|flush|>", "<|calls|>"]];
const END_OF_MESSAGE: &str = "<|end|>";

/// The sorted union of `named` ids that the vocabulary holds and of the well-known pieces.
pub(crate) fn stop_tokens(
    pieces: &Pieces,
    named: impl IntoIterator<Item = u32>,
    id_of: impl Fn(&str) -> Option<u32>,
) -> Vec<u32> {
    let control = |piece: &str| id_of(piece).filter(|&id| pieces.kind(id) == Some(Kind::Special));
    let mut stop: BTreeSet<u32> = named
        .into_iter()
        .filter(|&id| pieces.kind(id).is_some())
        .collect();
    let named_end = control(END_OF_MESSAGE).is_some_and(|end| stop.contains(&end));
    stop.extend(END_PIECES.iter().filter_map(|piece| control(piece)));
    let has_messages = MESSAGE_FORMATS
        .iter()
        .any(|[end, call]| id_of(end).is_some() && id_of(call).is_some());
    if let Some(end) = control(END_OF_MESSAGE).filter(|_| has_messages && !named_end) {
        stop.remove(&end);
    }
    stop.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::spelling::Spelling;

    /// Pieces in id order; all but the ordinary `a` are control tokens.
    fn stops(pieces: &[&str], named: &[u32]) -> Vec<u32> {
        let mut table = Pieces::with_capacity(pieces.len(), Spelling::byte_level());
        for piece in pieces {
            table.push(
                piece,
                if *piece == "a" {
                    Kind::Normal
                } else {
                    Kind::Special
                },
            );
        }
        let id_of = |piece: &str| {
            pieces
                .iter()
                .position(|known| *known == piece)
                .map(|id| id as u32)
        };
        stop_tokens(&table, named.iter().copied(), id_of)
    }

    #[test]
    fn union_of_named_and_known() {
        assert_eq!(
            stops(
                &["a", "<|im_start|>", "<|im_end|>", "<|endoftext|>"],
                &[0, 2, 99]
            ),
            [0, 2, 3]
        );
        assert_eq!(stops(&["a"], &[]), [0; 0]);
    }

    #[test]
    fn end_of_message_is_no_end_of_turn() {
        assert_eq!(stops(&["<|end|>", "<|return|>", "<|call|>"], &[]), [1, 2]);
        assert_eq!(stops(&["<|end|>", "<|return|>"], &[]), [0, 1]);
        assert_eq!(
            stops(&["<|end|>", "<|return|>", "<|call|>"], &[0]),
            [0, 1, 2]
        );
    }
}
