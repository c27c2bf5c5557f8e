//! Tokenizers small enough to work out by hand: 256 bytes, a few merges, a few added tokens.

use std::path::Path;

use ponder_tokenizer::GgufVocab;
use serde_json::{Map, Value, json};

/// Merges of the byte-level tokenizer, in order of rank; their results follow the bytes.
pub const MERGES: &[(&str, &str)] = &[
    ("h", "e"),
    ("l", "l"),
    ("he", "ll"),
    ("hell", "o"),
    ("Ġ", "w"),
    ("Ã", "©"),
];

/// Added tokens: text, and whether they are control tokens.
pub const ADDED: &[(&str, bool)] = &[
    ("<|bos|>", true),
    ("<|im_end|>", true),
    ("<think>", false),
    ("</think>", false),
    ("<｜é｜>", false),
];

/// The character that stands for a byte in byte-level vocabularies.
pub fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let n_before = (0..byte).filter(|&other| !printable(other)).count();
    char::from_u32(0x100 + u32::try_from(n_before).unwrap()).unwrap()
}

/// The pieces in order of their ids: bytes 0 to 255, merges from 256, added tokens after.
pub fn byte_level_pieces() -> Vec<String> {
    let bytes = (0..=u8::MAX).map(|byte| byte_char(byte).to_string());
    let merges = MERGES.iter().map(|(left, right)| format!("{left}{right}"));
    bytes
        .chain(merges)
        .chain(ADDED.iter().map(|(text, _)| (*text).to_owned()))
        .collect()
}

/// The id of a piece of the byte-level tokenizer.
pub fn byte_level_id(piece: &str) -> u32 {
    let id = byte_level_pieces().iter().position(|known| known == piece);
    u32::try_from(id.unwrap_or_else(|| panic!("no piece {piece}"))).unwrap()
}

/// The byte-level tokenizer as `tokenizer.json`.
pub fn byte_level_json() -> Value {
    let pieces = byte_level_pieces();
    let n_model = pieces.len() - ADDED.len();
    let vocab: Map<String, Value> = pieces[..n_model]
        .iter()
        .enumerate()
        .map(|(id, piece)| (piece.clone(), json!(id)))
        .collect();
    let added: Vec<Value> = ADDED
        .iter()
        .enumerate()
        .map(|(i, (text, special))| {
            json!({"id": n_model + i, "content": text, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": special})
        })
        .collect();
    let merges: Vec<Value> = MERGES
        .iter()
        .map(|(left, right)| json!([left, right]))
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}| ?\\p{L}+|\\s+|[^\\s\\p{L}\\p{N}]+"},
             "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [n_model], "tokens": ["<|bos|>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    })
}

/// The same tokenizer as GGUF metadata.
pub fn byte_level_gguf() -> GgufVocab {
    let tokens = byte_level_pieces();
    let n_model = tokens.len() - ADDED.len();
    let kinds = ADDED
        .iter()
        .map(|(_, special)| if *special { 3 } else { 4 });
    GgufVocab {
        model: "gpt2".to_owned(),
        pre: Some("qwen2".to_owned()),
        types: std::iter::repeat_n(1, n_model).chain(kinds).collect(),
        merges: MERGES
            .iter()
            .map(|(left, right)| format!("{left} {right}"))
            .collect(),
        bos: Some(u32::try_from(n_model).unwrap()),
        eos: Some(u32::try_from(n_model + 1).unwrap()),
        add_bos: Some(true),
        tokens,
        ..GgufVocab::default()
    }
}

/// Ids of the SentencePiece tokenizer: three special tokens, 256 bytes, then these pieces
/// with falling scores.
pub const SENTENCEPIECES: &[&str] = &[
    "▁the", "▁t", "he", "th", "▁", "t", "h", "e", "c", "a", "ca", "▁ca", "▁cat", "at", "é",
    "<think>",
];

/// The id of a piece of the SentencePiece tokenizer.
pub fn sentencepiece_id(piece: &str) -> u32 {
    let id = SENTENCEPIECES.iter().position(|known| *known == piece);
    259 + u32::try_from(id.unwrap_or_else(|| panic!("no piece {piece}"))).unwrap()
}

/// A SentencePiece tokenizer with byte fallback, as GGUF metadata.
pub fn sentencepiece_gguf() -> GgufVocab {
    let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = SENTENCEPIECES.iter().map(|piece| (*piece).to_owned());
    let tokens: Vec<String> = special.into_iter().chain(bytes).chain(pieces).collect();
    let kind = |(id, piece): (usize, &String)| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ if piece == "<think>" => 4,
        _ => 1,
    };
    GgufVocab {
        model: "llama".to_owned(),
        types: tokens.iter().enumerate().map(kind).collect(),
        scores: (0..tokens.len())
            .map(|id| if id < 259 { 0.0 } else { 259.0 - id as f32 })
            .collect(),
        bos: Some(1),
        eos: Some(2),
        unk: Some(0),
        tokens,
        ..GgufVocab::default()
    }
}

/// Writes JSON files into a folder.
pub fn write(folder: &Path, files: &[(&str, Value)]) {
    for (name, value) in files {
        std::fs::write(folder.join(name), value.to_string()).unwrap();
    }
}
