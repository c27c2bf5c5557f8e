//! A folder in Hugging Face layout: what each file contributes.

mod common;

use common::tiny::{self, byte_level_id as id};
use ponder_tokenizer::Tokenizer;
use serde_json::{Value, json};

/// A folder with the byte-level tokenizer and other files.
fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(
        folder.path(),
        &[("tokenizer.json", tiny::byte_level_json())],
    );
    tiny::write(folder.path(), files);
    folder
}

fn load(files: &[(&str, Value)]) -> Tokenizer {
    Tokenizer::from_folder(folder(files).path()).unwrap()
}

#[test]
fn encodes_by_merges_and_added_tokens() {
    let tokenizer = load(&[]);
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
    assert_eq!(
        tokenizer.decode(&expected, false),
        "hello w<think>é<|im_end|>"
    );
    assert_eq!(tokenizer.decode(&expected, true), "hello w<think>é");
    assert_eq!(
        tokenizer.encode("he", true).unwrap(),
        [id("<|bos|>"), id("he")]
    );
    assert_eq!(tokenizer.encode("", false).unwrap(), [0; 0]);
    assert_eq!(tokenizer.vocab_size(), tiny::byte_level_pieces().len());
}

#[test]
fn tells_tokens_apart() {
    let tokenizer = load(&[]);
    let (think, end, hello) = (id("<think>"), id("<|im_end|>"), id("hello"));
    assert_eq!(
        [think, end, hello].map(|id| tokenizer.is_special(id)),
        [false, true, false]
    );
    assert_eq!(
        [think, end, hello].map(|id| tokenizer.is_added(id)),
        [true, true, false]
    );
    assert_eq!(tokenizer.token_id("Ġw"), Some(id("Ġw")));
    assert_eq!(tokenizer.token_id("zebra"), None);
    assert_eq!(
        (tokenizer.piece(id("Ġw")), tokenizer.token_bytes(0xE9)),
        (" w".to_owned(), vec![0xE9])
    );
    assert_eq!(
        (tokenizer.piece(0xE9), tokenizer.piece(9999)),
        ("\u{FFFD}".to_owned(), String::new())
    );
    assert!(tokenizer.contains(0) && !tokenizer.contains(9999));
}

#[test]
fn special_tokens_come_from_the_configurations() {
    let none = load(&[]);
    assert_eq!((none.bos(), none.eos(), none.pad()), (None, None, None));
    let ids_only = load(&[(
        "config.json",
        json!({"bos_token_id": 3, "text_config": {"eos_token_id": 4}}),
    )]);
    assert_eq!((ids_only.bos(), ids_only.eos()), (Some(3), Some(4)));
    let named = load(&[
        (
            "tokenizer_config.json",
            json!({"bos_token": null, "eos_token": {"content": "<|im_end|>"}}),
        ),
        ("special_tokens_map.json", json!({"pad_token": "<|bos|>"})),
        ("config.json", json!({"bos_token_id": 3, "eos_token_id": 4})),
    ]);
    assert_eq!(
        (named.bos(), named.eos(), named.pad()),
        (None, Some(id("<|im_end|>")), Some(id("<|bos|>")))
    );
}

#[test]
fn stop_tokens_are_the_union() {
    let tokenizer = load(&[
        ("tokenizer_config.json", json!({"eos_token": "</think>"})),
        (
            "generation_config.json",
            json!({"eos_token_id": [7, 100_000]}),
        ),
        (
            "config.json",
            json!({"eos_token_id": 8, "text_config": {"eos_token_id": [9]}}),
        ),
    ]);
    assert_eq!(
        tokenizer.stop_tokens(),
        [7, 8, 9, id("<|im_end|>"), id("</think>")]
    );
}

#[test]
fn a_bos_is_added_once() {
    let config = json!({"bos_token": "<|bos|>", "add_bos_token": true});
    let with_both = load(&[("tokenizer_config.json", config.clone())]);
    assert_eq!(
        with_both.encode("he", true).unwrap(),
        [id("<|bos|>"), id("he")]
    );
    assert!(
        with_both.adds_bos()
            && with_both.starts_with_bos("<|bos|>he")
            && !with_both.starts_with_bos("he")
    );

    let mut without_processor = tiny::byte_level_json();
    without_processor["post_processor"] = Value::Null;
    let by_flag = load(&[
        ("tokenizer.json", without_processor.clone()),
        ("tokenizer_config.json", config),
    ]);
    assert_eq!(
        by_flag.encode("he", true).unwrap(),
        [id("<|bos|>"), id("he")]
    );
    let neither = load(&[("tokenizer.json", without_processor)]);
    assert_eq!(neither.encode("he", true).unwrap(), [id("he")]);
    assert!(!neither.adds_bos());
}

#[test]
fn chat_templates_in_their_order() {
    let config = (
        "tokenizer_config.json",
        json!({"chat_template": "from config"}),
    );
    assert_eq!(load(&[]).chat_template(), None);
    assert_eq!(
        load(std::slice::from_ref(&config)).chat_template(),
        Some("from config")
    );
    let json = ("chat_template.json", json!({"chat_template": "from json"}));
    assert_eq!(
        load(&[config.clone(), json.clone()]).chat_template(),
        Some("from json")
    );

    let files = folder(&[config, json]);
    std::fs::write(files.path().join("chat_template.jinja"), "from jinja").unwrap();
    std::fs::create_dir(files.path().join("additional_chat_templates")).unwrap();
    std::fs::write(
        files.path().join("additional_chat_templates/rag.jinja"),
        "for rag",
    )
    .unwrap();
    let tokenizer = Tokenizer::from_folder(files.path()).unwrap();
    assert_eq!(tokenizer.chat_template(), Some("from jinja"));
    assert_eq!(tokenizer.chat_template_named("rag"), Some("for rag"));

    let list = json!([{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]);
    let tokenizer = load(&[("tokenizer_config.json", json!({"chat_template": list}))]);
    assert_eq!(
        (
            tokenizer.chat_template(),
            tokenizer.chat_template_named("tool_use")
        ),
        (Some("plain"), Some("tools"))
    );
}

#[test]
fn broken_files_are_errors_that_name_them() {
    let empty = tempfile::tempdir().unwrap();
    let error = Tokenizer::from_folder(empty.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("hint:"),
        "{error}"
    );

    let files = folder(&[]);
    std::fs::write(files.path().join("generation_config.json"), "{").unwrap();
    let error = Tokenizer::from_folder(files.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("generation_config.json"), "{error}");
}

/// Applies one change to a sound `tokenizer.json` and returns the error it causes.
fn error_after(change: impl FnOnce(&mut Value)) -> String {
    let mut json = tiny::byte_level_json();
    change(&mut json);
    Tokenizer::from_folder(folder(&[("tokenizer.json", json)]).path())
        .unwrap_err()
        .to_string()
}

#[test]
fn broken_tokenizers_are_errors() {
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(&str, Change); 10] = [
        ("make no piece", &|json| {
            json["model"]["merges"][0] = json!(["<|im_end|>hello", "<|im_end|>hello"])
        }),
        ("BPE model", &|json| {
            json["model"]["merges"][0] = json!(["h", "nope"])
        }),
        ("share the id 0", &|json| {
            json["model"]["vocab"]["hello"] = json!(0)
        }),
        ("there are only", &|json| {
            json["model"]["vocab"]["hello"] = json!(4_000_000_000u32)
        }),
        ("not valid", &|json| {
            json["model"]["vocab"]["hello"] = json!(-1)
        }),
        ("WordLevel", &|json| {
            json["model"]["type"] = json!("WordLevel")
        }),
        ("WordPiece", &|json| {
            json["decoder"] = json!({"type": "WordPiece"})
        }),
        ("pre-tokenizer", &|json| {
            json["pre_tokenizer"] = json!({"type": "Nonsense"})
        }),
        ("normalizer", &|json| {
            json["normalizer"] = json!({"type": 7})
        }),
        ("unknown token", &|json| {
            json["post_processor"]["special_tokens"]["<|bos|>"]["ids"] = json!([999_999])
        }),
    ];
    for (expected, change) in cases {
        let error = error_after(change);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
