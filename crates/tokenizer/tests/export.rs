//! From a folder in Hugging Face layout to the metadata of a GGUF file.

mod common;

use common::tiny::{SENTENCEPIECES, byte_level_gguf, byte_level_json, sentencepiece_gguf, write};
use common::{assets, present};
use ponder_tokenizer::{GgufVocab, Tokenizer};
use serde_json::{Map, Value, json};

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The byte-level tokenizer with a pre-tokenizer that GGUF has a name for.
fn byte_level() -> Value {
    let mut file = byte_level_json();
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN2.into();
    file
}

/// The SentencePiece tokenizer as converters to `tokenizer.json` write it: all pairs that make a
/// piece, by the score of the piece.
fn sentencepiece() -> Value {
    let pieces = sentencepiece_gguf().tokens;
    let vocab: Map<String, Value> = pieces
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.clone(), json!(id)))
        .collect();
    let is_piece = |text: &str| SENTENCEPIECES.contains(&text);
    let mut merges = Vec::new();
    for piece in SENTENCEPIECES.iter().filter(|piece| **piece != "<think>") {
        let cuts = piece
            .char_indices()
            .skip(1)
            .map(|(at, _)| piece.split_at(at));
        let pairs = cuts.filter(|(left, right)| is_piece(left) && is_piece(right));
        merges.extend(pairs.map(|(left, right)| json!([left, right])));
    }
    let added = |id: usize, text: &str, special: bool| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": special})
    };
    json!({
        "added_tokens": [added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true),
                         added(pieces.len() - 1, "<think>", false)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": true,
                  "fuse_unk": true, "unk_token": "<unk>", "ignore_merges": false},
    })
}

fn export(files: &[(&str, Value)], name: &str, n_rows: usize) -> Result<GgufVocab, String> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    GgufVocab::from_folder(dir.path(), name, n_rows).map_err(|error| error.to_string())
}

fn configs(bos: &str, eos: &str) -> Value {
    json!({"bos_token": bos, "eos_token": eos, "unk_token": "<unk>", "chat_template": "{{ x }}"})
}

#[test]
fn byte_level_vocabularies_come_out_as_gguf_has_them() {
    let config = ("tokenizer_config.json", configs("<|bos|>", "<|im_end|>"));
    let vocab = export(&[("tokenizer.json", byte_level()), config], "tiny", 0).unwrap();
    let im_end = byte_level_gguf().eos.unwrap();
    let expected = GgufVocab {
        name: "tiny".to_owned(),
        add_eos: Some(false),
        stop: vec![im_end],
        chat_template: Some("{{ x }}".to_owned()),
        ..byte_level_gguf()
    };
    assert_eq!(vocab, expected);
}

#[test]
fn sentencepiece_vocabularies_get_their_scores_back() {
    let config = ("tokenizer_config.json", configs("<s>", "</s>"));
    let files = [("tokenizer.json", sentencepiece()), config];
    let vocab = export(&files, "tiny", 0).unwrap();
    let expected = sentencepiece_gguf();
    assert_eq!(
        (&vocab.tokens, &vocab.types),
        (&expected.tokens, &expected.types)
    );
    assert_eq!((vocab.model.as_str(), vocab.unk), ("llama", Some(0)));
    assert_eq!(
        (vocab.add_bos, vocab.add_space_prefix),
        (Some(true), Some(true))
    );
    // Where both have a score for what a merge makes, they have the same order.
    let made: Vec<usize> = (0..vocab.tokens.len())
        .filter(|id| vocab.scores[*id] > -1e8)
        .collect();
    assert!(made.len() >= 7, "{made:?}");
    assert!(
        made.is_sorted_by(|a, b| vocab.scores[*a] > vocab.scores[*b]),
        "{made:?}"
    );

    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &files);
    let (source, made) = (
        Tokenizer::from_folder(dir.path()).unwrap(),
        Tokenizer::from_gguf(vocab).unwrap(),
    );
    for text in ["the cat", "thé  catch\n<think>the", "", " that", "ca ca at"] {
        let (expected, ids) = (source.encode(text, true), made.encode(text, true));
        assert_eq!(ids.unwrap(), expected.unwrap(), "{text}");
    }
}

#[test]
fn rows_without_a_piece_are_named() {
    let n_pieces = byte_level_gguf().tokens.len();
    let files = [("tokenizer.json", byte_level())];
    let vocab = export(&files, "tiny", n_pieces + 3).unwrap();
    assert_eq!(vocab.tokens.len(), n_pieces + 3);
    assert_eq!(vocab.tokens[n_pieces + 2], format!("[PAD{}]", n_pieces + 2));
    assert_eq!(vocab.types[n_pieces..], [5, 5, 5]);
    // A number out of a broken configuration fills no memory.
    let vocab = export(&files, "tiny", usize::MAX).unwrap();
    assert_eq!(vocab.tokens.len(), n_pieces);
}

#[test]
fn misleading_names_are_not_kept() {
    // Control tokens of files called Phi-3 swallow spaces; these do not.
    let vocab = export(&[("tokenizer.json", byte_level())], "my-phi-3", 0).unwrap();
    assert_eq!(vocab.name, "model");
    let mut strips = byte_level();
    for token in strips["added_tokens"].as_array_mut().unwrap() {
        token["rstrip"] = token["special"].clone();
    }
    let files = [("tokenizer.json", strips)];
    assert_eq!(export(&files, "my-phi-3", 0).unwrap().name, "my-phi-3");
    let error = export(&files, "other", 0).unwrap_err();
    assert!(error.contains("rules GGUF cannot say"), "{error}");
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    type Change = fn(&mut Value);
    let refusals: [(&str, Change); 6] = [
        ("pre-tokenizer in tokenizer.json `{", |file| {
            file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "a+".into();
        }),
        ("pre-tokenizer", |file| {
            file["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true.into();
        }),
        ("rules GGUF cannot say", |file| {
            file["normalizer"] = json!({"type": "Lowercase"});
        }),
        ("rules GGUF cannot say", |file| {
            file["added_tokens"][2]["lstrip"] = true.into();
        }),
        ("post-processor", |file| {
            let single = &mut file["post_processor"]["single"];
            let again = single[0].clone();
            single.as_array_mut().unwrap().insert(0, again);
        }),
        ("Unigram", |file| {
            file["model"] = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]]});
        }),
    ];
    for (part, change) in refusals {
        let mut file = byte_level();
        change(&mut file);
        let error = export(&[("tokenizer.json", file)], "tiny", 0).unwrap_err();
        assert!(
            error.contains(part) && error.contains("hint: keep"),
            "{part}: {error}"
        );
    }
}

#[test]
fn real_tokenizers_become_vocabularies() {
    for (name, pre) in [
        ("qwen3", "qwen2"),
        ("llama3_1", "llama3"),
        ("gptoss", "gpt-4o"),
    ] {
        let Some(folder) = present(assets().join("tokenizers").join(name)) else {
            continue;
        };
        let vocab = GgufVocab::from_folder(&folder, name, 0).unwrap();
        assert_eq!(vocab.pre.as_deref(), Some(pre));
    }
}
