//! Whether a sequence's logits depend on what else is in the step.

use ponder_runtime::{
    cache::SeqId,
    decoder::{LogitsFor, Model, Step},
};

use crate::oracle::{logits_in_chunks, worst_relative_error};

/// Texts of different lengths, and their beginnings in common.
pub fn texts(n: usize, vocab_size: usize) -> Vec<Vec<u32>> {
    let token = |text: usize, place: usize| {
        let family = if place < 20 { text % 3 } else { text };
        ((family * 131 + place * place * 7 + place) % vocab_size) as u32
    };
    (0..n)
        .map(|text| {
            (0..25 + text % 24)
                .map(|place| token(text, place))
                .collect()
        })
        .collect()
}

/// The largest relative difference between the logits of `texts` when each is computed alone, a token
/// at a time, and when all are computed in the same steps, some in chunks while others get single
/// tokens. 0 where all bits are equal, as a backend must have it whose answers are not to depend on
/// who else asks.
pub fn worst_difference(model: &mut dyn Model, texts: &[Vec<u32>]) -> f64 {
    let alone: Vec<_> = texts
        .iter()
        .map(|text| logits_in_chunks(model, text, 1, text.len()))
        .collect();
    let together = logits_together(model, texts);
    let width = model.spec().vocab_size;
    let pairs = alone.iter().zip(&together);
    pairs
        .filter(|(alone, together)| {
            let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            bits(alone) != bits(together)
        })
        .map(|(alone, together)| {
            worst_relative_error(together, alone, width).max(f64::MIN_POSITIVE)
        })
        .fold(0.0, f64::max)
}

/// All logits of all texts. Text `i` arrives at step `i / 4`, and its first step has `i % 5` tokens
/// more than the others.
fn logits_together(model: &mut dyn Model, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let width = model.spec().vocab_size;
    let mut logits = vec![Vec::new(); texts.len()];
    let mut sequences: Vec<Option<SeqId>> = vec![None; texts.len()];
    let mut done = vec![0; texts.len()];
    for step in 0.. {
        let mut steps = Vec::new();
        let mut fed = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let n = if done[i] == 0 { 1 + i % 5 } else { 1 };
            let tokens = &text[done[i]..text.len().min(done[i] + n)];
            if step < i / 4 || tokens.is_empty() {
                continue;
            }
            let sequence = *sequences[i]
                .get_or_insert_with(|| model.start(text.len()).expect("a free sequence"));
            steps.push(Step {
                sequence,
                tokens,
                logits: LogitsFor::All,
            });
            fed.push((i, tokens.len()));
        }
        if steps.is_empty() {
            break;
        }
        let mut rows = &*model.forward(&steps).expect("a forward pass");
        for (i, n) in fed {
            let (own, rest) = rows.split_at(n * width);
            logits[i].extend_from_slice(own);
            done[i] += n;
            rows = rest;
        }
    }
    for sequence in sequences.into_iter().flatten() {
        model.free(sequence).expect("the sequence");
    }
    logits
}
