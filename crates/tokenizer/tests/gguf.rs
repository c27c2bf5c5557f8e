//! Tokenizers from GGUF metadata.

mod common;

use common::tiny::{self, byte_level_id, sentencepiece_id};
use ponder_tokenizer::{GgufVocab, Tokenizer};

#[test]
fn byte_level() {
    let tokenizer = Tokenizer::from_gguf(tiny::byte_level_gguf()).unwrap();
    let id = byte_level_id;
    let expected = [
        id("hello"),
        id("Ġw"),
        id("<think>"),
        id("Ã©"),
        id("<|im_end|>"),
    ];
    assert_eq!(
        tokenizer
            .encode("hello w<think>e\u{301}<|im_end|>", false)
            .unwrap(),
        expected
    );
    assert_eq!(tokenizer.decode(&expected, true), "hello w<think>é");
    assert_eq!(
        tokenizer.encode("he", true).unwrap(),
        [id("<|bos|>"), id("he")]
    );
    assert_eq!(tokenizer.stop_tokens(), [id("<|im_end|>")]);
    assert!(tokenizer.is_special(id("<|bos|>")) && !tokenizer.is_special(id("<think>")));
}

#[test]
fn sentencepiece_merges_by_score() {
    let tokenizer = Tokenizer::from_gguf(tiny::sentencepiece_gguf()).unwrap();
    let id = sentencepiece_id;
    assert_eq!(
        tokenizer.encode("the cat", false).unwrap(),
        [id("▁the"), id("▁cat")]
    );
    assert_eq!(
        tokenizer.encode("the cat", true).unwrap(),
        [1, id("▁the"), id("▁cat")]
    );
    let bytes = |text: &str| {
        text.bytes()
            .map(|byte| 3 + u32::from(byte))
            .collect::<Vec<_>>()
    };
    let expected = [vec![id("▁")], bytes("日"), vec![id("<think>"), id("▁t")]].concat();
    assert_eq!(tokenizer.encode("日<think>t", false).unwrap(), expected);
    assert_eq!(
        tokenizer.decode(&[id("▁the"), id("▁cat")], false),
        "the cat"
    );
    assert_eq!(tokenizer.decode(&[1, id("▁the")], true), "the");
    assert_eq!(tokenizer.decode(&[1, id("▁the")], false), "<s> the");
}

#[test]
fn without_space_prefix_nothing_is_stripped() {
    let vocab = GgufVocab {
        add_space_prefix: Some(false),
        add_bos: Some(false),
        ..tiny::sentencepiece_gguf()
    };
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    let ids = tokenizer.encode("the the", true).unwrap();
    assert_eq!(
        ids,
        [
            sentencepiece_id("t"),
            sentencepiece_id("he"),
            sentencepiece_id("▁the")
        ]
    );
    assert_eq!(tokenizer.decode(&ids[2..], false), " the");
}

#[test]
fn stop_tokens_are_all_ends() {
    let vocab = GgufVocab {
        eot: Some(7),
        eom: Some(8),
        stop: vec![9, 400_000],
        ..tiny::byte_level_gguf()
    };
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    assert_eq!(
        tokenizer.stop_tokens(),
        [7, 8, 9, byte_level_id("<|im_end|>")]
    );
}

#[test]
fn hostile_metadata_is_an_error() {
    let good = tiny::byte_level_gguf;
    let spm = tiny::sentencepiece_gguf;
    let cases = [
        (
            "has 0 pieces",
            GgufVocab {
                tokens: vec![],
                ..good()
            },
        ),
        (
            "token_type has 1 entries",
            GgufVocab {
                types: vec![1],
                ..good()
            },
        ),
        (
            "scores has 2 entries",
            GgufVocab {
                scores: vec![0.0; 2],
                ..spm()
            },
        ),
        (
            "scores is missing",
            GgufVocab {
                scores: vec![],
                ..spm()
            },
        ),
        (
            "not a number",
            GgufVocab {
                scores: vec![f32::NAN; spm().tokens.len()],
                ..spm()
            },
        ),
        (
            "bos_token_id is 4000000000, which is none",
            GgufVocab {
                bos: Some(4_000_000_000),
                ..good()
            },
        ),
        (
            "tokenizer.ggml.model `bert`",
            GgufVocab {
                model: "bert".into(),
                ..good()
            },
        ),
        (
            "tokenizer.ggml.pre `newest`",
            GgufVocab {
                pre: Some("newest".into()),
                ..good()
            },
        ),
        (
            "convert the model again",
            GgufVocab {
                pre: None,
                ..good()
            },
        ),
        (
            "is not of two pieces",
            GgufVocab {
                merges: vec!["ab".into()],
                ..good()
            },
        ),
        (
            "is not of two pieces",
            GgufVocab {
                merges: vec![String::new()],
                ..good()
            },
        ),
        (
            "BPE model",
            GgufVocab {
                merges: vec!["h xyz".into()],
                ..good()
            },
        ),
    ];
    for (expected, vocab) in cases {
        let error = Tokenizer::from_gguf(vocab).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut double = good();
    double.tokens[5] = double.tokens[6].clone();
    assert!(
        Tokenizer::from_gguf(double)
            .unwrap_err()
            .to_string()
            .contains("has two ids, 5 and 6")
    );
    let mut charsmap = GgufVocab {
        model: "t5".into(),
        ..spm()
    };
    charsmap.precompiled_charsmap = vec![0xFF; 16];
    assert!(
        Tokenizer::from_gguf(charsmap)
            .unwrap_err()
            .to_string()
            .contains("precompiled_charsmap")
    );
}

#[test]
fn tokens_without_text_are_holes() {
    let mut vocab = tiny::byte_level_gguf();
    let n = vocab.tokens.len();
    vocab.tokens.extend([String::new(), String::new()]);
    vocab.types.extend([5, 5]);
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    assert_eq!(tokenizer.vocab_size(), n + 2);
    assert!(!tokenizer.contains(u32::try_from(n).unwrap()));
}

#[test]
fn unigram_takes_the_most_likely_pieces() {
    let pieces = [
        ("<pad>", 0.0, 3),
        ("</s>", 0.0, 3),
        ("<unk>", 0.0, 2),
        ("▁", -2.0, 1),
        ("▁the", -3.0, 1),
        ("▁t", -3.5, 1),
        ("he", -1.0, 1),
    ];
    let vocab = GgufVocab {
        model: "t5".into(),
        tokens: pieces
            .iter()
            .map(|(piece, ..)| (*piece).to_owned())
            .collect(),
        scores: pieces.iter().map(|(_, score, _)| *score).collect(),
        types: pieces.iter().map(|(.., kind)| *kind).collect(),
        eos: Some(1),
        unk: Some(2),
        remove_extra_whitespaces: Some(true),
        ..GgufVocab::default()
    };
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    assert_eq!(tokenizer.encode("  the   the ", true).unwrap(), [4, 4, 1]);
    assert_eq!(tokenizer.encode("he", false).unwrap(), [3, 6]);
    assert_eq!(tokenizer.decode(&[4, 4], false), "the the");
}

#[test]
fn control_tokens_of_some_models_swallow_whitespace() {
    let vocab = GgufVocab {
        name: "Phi-3 Mini".into(),
        ..tiny::sentencepiece_gguf()
    };
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    let the = sentencepiece_id("▁the");
    assert_eq!(
        tokenizer.encode("</s> \nthe<think>", false).unwrap(),
        [2, the, sentencepiece_id("<think>")]
    );
    let other = Tokenizer::from_gguf(tiny::sentencepiece_gguf()).unwrap();
    assert!(other.encode("</s> \nthe", false).unwrap().len() > 2);
}
