//! Metadata that means harm or nothing gives errors, or tokenizers that work: no panics.

mod common;

use common::tiny;
use ponder_tokenizer::{GgufVocab, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Exercises everything that depends on the vocabulary.
fn use_it(tokenizer: &Tokenizer) {
    let text = "<s>he  llo▁ é日<|im_end|>\n\u{0}\u{10FFFF} 123";
    for add_special in [false, true] {
        if let Ok(ids) = tokenizer.encode(text, add_special) {
            assert!(ids.iter().all(|&id| tokenizer.contains(id)), "{ids:?}");
            tokenizer.decode(&ids, add_special);
        }
    }
    let n = u32::try_from(tokenizer.vocab_size()).unwrap();
    let every_id: Vec<u32> = (0..=n).collect();
    let whole = tokenizer.decode(&every_id, false);
    let mut stream = tokenizer.decode_stream();
    let parts = every_id
        .iter()
        .filter(|&&id| tokenizer.contains(id))
        .map(|&id| stream.push(id).unwrap());
    assert!(parts.map(|part| part.len()).sum::<usize>() <= whole.len());
    assert!(
        tokenizer
            .stop_tokens()
            .iter()
            .all(|&id| tokenizer.contains(id))
    );
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab▁Ġé ]{0,3}",
        "<0x[0-9A-F]{2}>",
        prop::sample::select(vec![
            "<s>",
            "</s>",
            "<unk>",
            "<|im_end|>",
            "\n",
            "h",
            "e",
            "l"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn gguf_vocab() -> impl Strategy<Value = GgufVocab> {
    let models = prop::sample::select(vec!["gpt2", "llama", "t5", "gemma4"]);
    let pres = prop::sample::select(vec!["qwen2", "llama-bpe", "superbpe", "default", "kimi-k2"]);
    let pieces = prop::collection::hash_set(piece(), 0..40);
    let merges = prop::collection::vec((piece(), piece()), 0..8);
    let ids = prop::collection::vec(prop::option::of(0u32..45), 4);
    (
        models,
        pres,
        pieces,
        merges,
        ids,
        any::<u64>(),
        any::<[bool; 4]>(),
    )
        .prop_map(|(model, pre, pieces, merges, ids, seed, flags)| {
            let tokens: Vec<String> = pieces.into_iter().collect();
            let types = (0..tokens.len())
                .map(|id| ((seed >> (id % 60)) & 7) as i32)
                .collect();
            let scores = (0..tokens.len())
                .map(|id| -(((seed >> (id % 50)) & 1023) as f32))
                .collect();
            GgufVocab {
                model: model.to_owned(),
                pre: Some(pre.to_owned()),
                types,
                scores,
                merges: merges
                    .into_iter()
                    .map(|(left, right)| format!("{left} {right}"))
                    .collect(),
                bos: ids[0],
                eos: ids[1],
                unk: ids[2],
                eot: ids[3],
                add_bos: Some(flags[0]),
                add_eos: Some(flags[1]),
                add_space_prefix: Some(flags[2]),
                remove_extra_whitespaces: Some(flags[3]),
                tokens,
                ..GgufVocab::default()
            }
        })
}

/// What takes the place of some part of a sound file.
fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u32..300).prop_map(Value::from),
        piece().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"type": "Sequence"})),
        Just(json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})),
        Just(json!({"type": "Precompiled", "precompiled_charsmap": "AAQAAAA="})),
        Just(json!({"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.5]]})),
        Just(
            json!({"type": "Strip", "content": " ", "start": 18_446_744_073_709_551_615u64, "stop": 0})
        ),
        Just(json!({"type": "Prepend", "prepend": ""})),
        Just(json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"})),
        Just(
            json!({"type": "Split", "pattern": {"Regex": "(a*)*$"}, "behavior": "Removed", "invert": true})
        ),
    ]
}

/// Walks down `value` by the choices of `path` and puts `new` there.
fn replace(value: &mut Value, path: &[usize], new: Value) {
    let n = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    let Some((&choice, rest)) = path.split_first().filter(|_| n > 0) else {
        *value = new;
        return;
    };
    match value {
        Value::Array(items) => replace(&mut items[choice % n], rest, new),
        Value::Object(fields) => {
            if let Some(field) = fields.values_mut().nth(choice % n) {
                replace(field, rest, new);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gguf_metadata(vocab in gguf_vocab()) {
        if let Ok(tokenizer) = Tokenizer::from_gguf(vocab) {
            use_it(&tokenizer);
        }
    }

    #[test]
    fn precompiled_charsmaps(charsmap in prop::collection::vec(any::<u8>(), 0..40), length in 0u8..40) {
        let mut precompiled_charsmap = charsmap;
        precompiled_charsmap.splice(0..0, [length, 0, 0, 0]);
        let model = "t5".to_owned();
        let vocab = GgufVocab { model, precompiled_charsmap, ..tiny::sentencepiece_gguf() };
        if let Ok(tokenizer) = Tokenizer::from_gguf(vocab) {
            use_it(&tokenizer);
        }
    }

    #[test]
    fn tokenizer_json(path in prop::collection::vec(0usize..300, 0..6), new in replacement()) {
        let mut json = tiny::byte_level_json();
        replace(&mut json, &path, new);
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), &[("tokenizer.json", json)]);
        if let Ok(tokenizer) = Tokenizer::from_folder(folder.path()) {
            use_it(&tokenizer);
        }
    }
}
