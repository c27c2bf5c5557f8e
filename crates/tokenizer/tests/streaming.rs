//! Decoding token by token gives what decoding at once gives.

mod common;

use common::{assets, present, tiny};
use ponder_tokenizer::Tokenizer;
use proptest::prelude::*;

/// What a stream returns for `ids`; each part must be whole characters by construction.
fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> Vec<String> {
    let mut stream = match skip_special {
        false => tokenizer.decode_stream(),
        true => tokenizer.decode_stream_skipping_special(),
    };
    let mut parts: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    parts.push(stream.finish());
    parts
}

/// The bytes of all tokens as text; a space at the beginning may not be part of it.
fn from_bytes(tokenizer: &Tokenizer, ids: &[u32], strips: bool) -> String {
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| tokenizer.token_bytes(id))
        .collect();
    let bytes = if strips {
        bytes.strip_prefix(b" ").unwrap_or(&bytes)
    } else {
        &bytes
    };
    String::from_utf8_lossy(bytes).into_owned()
}

fn byte_level() -> Tokenizer {
    Tokenizer::from_gguf(tiny::byte_level_gguf()).unwrap()
}

fn sentencepiece() -> Tokenizer {
    Tokenizer::from_gguf(tiny::sentencepiece_gguf()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any ids, so mostly invalid UTF-8.
    #[test]
    fn any_ids(ids in prop::collection::vec(0u32..256 + 11, 0..40)) {
        for (tokenizer, strips) in [(byte_level(), false), (sentencepiece(), true)] {
            let whole = tokenizer.decode(&ids, false);
            prop_assert_eq!(&streamed(&tokenizer, &ids, false).concat(), &whole);
            prop_assert_eq!(whole, from_bytes(&tokenizer, &ids, strips));
            prop_assert_eq!(streamed(&tokenizer, &ids, true).concat(), tokenizer.decode(&ids, true));
        }
    }

    /// Any text comes back, and stops and starts of a stream lose nothing of it.
    #[test]
    fn any_text(text in "(\\PC|[ \n\té日🦙]|<think>|</think>){0,40}") {
        // The byte-level tokenizer normalizes to NFC, so take text that is so already.
        let tokenizer = byte_level();
        let ids = tokenizer.encode(&text, false).unwrap();
        let normal = tokenizer.decode(&ids, false);
        prop_assert_eq!(&tokenizer.decode(&tokenizer.encode(&normal, false).unwrap(), false), &normal);
        prop_assert_eq!(streamed(&tokenizer, &ids, false).concat(), normal);

        let tokenizer = sentencepiece();
        let ids = tokenizer.encode(&text, false).unwrap();
        prop_assert_eq!(streamed(&tokenizer, &ids, false).concat(), tokenizer.decode(&ids, false));
        // After an added token a space comes in, as in the original; without, all comes back.
        if !text.contains("think>") && !text.contains('▁') {
            prop_assert_eq!(tokenizer.decode(&ids, false), text);
        }
    }
}

#[test]
fn no_character_is_split_and_no_marker_swallowed() {
    let tokenizer = byte_level();
    let byte = |byte: u8| u32::from(byte);
    let think = tiny::byte_level_id("<think>");
    let ids = [
        byte(0xF0),
        byte(0x9F),
        byte(0xA6),
        byte(0x99),
        byte(0xE6),
        think,
        byte(b'a'),
        byte(0xC3),
    ];
    let expected = ["", "", "", "🦙", "", "\u{FFFD}<think>", "a", "", "\u{FFFD}"];
    assert_eq!(streamed(&tokenizer, &ids, false), expected);
}

#[test]
fn an_unknown_id_leaves_the_stream_as_it_was() {
    let tokenizer = byte_level();
    let mut stream = tokenizer.decode_stream();
    assert_eq!(stream.push(0xC3).unwrap(), "");
    let error = stream.push(100_000).unwrap_err().to_string();
    assert!(error.contains("100000"), "{error}");
    assert_eq!(stream.push(0xA9).unwrap(), "é");
    assert_eq!(
        tokenizer.decode(&[0xC3, 100_000, 0xA9], false),
        "\u{FFFD}\u{FFFD}\u{FFFD}"
    );
}

#[test]
fn a_finished_stream_starts_anew() {
    let tokenizer = sentencepiece();
    let the = tiny::sentencepiece_id("▁the");
    let mut stream = tokenizer.decode_stream();
    for _ in 0..2 {
        assert_eq!(
            [
                stream.push(the).unwrap(),
                stream.push(the).unwrap(),
                stream.finish()
            ]
            .concat(),
            "the the"
        );
    }
}

#[test]
fn published_tokenizers_on_random_ids() {
    for name in ["qwen3", "llama3_1", "gptoss"] {
        let Some(folder) = present(assets().join("tokenizers").join(name)) else {
            continue;
        };
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        let n_vocab = u32::try_from(tokenizer.vocab_size()).unwrap();
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let known = (0..n_vocab).prop_filter("a hole", |&id| tokenizer.contains(id));
        let cases = prop::collection::vec(known, 0..60);
        runner
            .run(&cases, |ids| {
                let whole = tokenizer.decode(&ids, false);
                prop_assert_eq!(&streamed(&tokenizer, &ids, false).concat(), &whole);
                prop_assert_eq!(whole, from_bytes(&tokenizer, &ids, false));
                Ok(())
            })
            .unwrap();
    }
}
