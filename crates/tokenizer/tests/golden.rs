//! Real tokenizers against token ids and texts from the tokenizers of transformers.

mod common;

use common::{assets, ids, present, read_json, shared};
use ponder_tokenizer::Tokenizer;
use serde_json::Value;

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("`{key}` in {case}"))
}

/// Token by token, as a model would make it.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.decode_stream();
    let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    text.push_str(&stream.finish());
    text
}

#[test]
fn published_tokenizers() {
    let Some(folder) = present(shared().join("tokenizers")) else {
        return;
    };
    for name in ["qwen3", "llama3_1", "gptoss"] {
        let Some(tokenizer) = present(assets().join("tokenizers").join(name)) else {
            continue;
        };
        let tokenizer = Tokenizer::from_folder(&tokenizer).unwrap();
        let cases = read_json(&folder.join(name).with_extension("json"));
        let cases = cases.as_array().unwrap();
        assert!(cases.len() >= 16);
        for case in cases {
            let input = text(case, "text");
            let expected = ids(&case["ids"]);
            assert_eq!(
                tokenizer.encode(input, false).unwrap(),
                expected,
                "{name}: {input:?}"
            );
            assert_eq!(
                tokenizer.encode(input, true).unwrap(),
                ids(&case["ids_with_special"]),
                "{name}: {input:?}"
            );
            assert_eq!(
                tokenizer.decode(&expected, false),
                text(case, "decoded"),
                "{name}"
            );
            assert_eq!(
                streamed(&tokenizer, &expected),
                text(case, "decoded"),
                "{name}"
            );
        }
        println!("{name}: {} of {} texts equal", cases.len(), cases.len());
    }
}

#[test]
fn tokenizers_of_the_golden_models() {
    let Some(golden) = present(shared().join("oracle/golden")) else {
        return;
    };
    let mut n_folders = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let folder = entry.unwrap().path();
        let cases = folder.join("tokenizer_golden.json");
        if cases.exists() {
            check_folder(
                &Tokenizer::from_folder(&folder).unwrap(),
                &read_json(&cases),
                &folder.display().to_string(),
            );
            n_folders += 1;
        }
    }
    println!("{n_folders} folders equal");
    assert!(n_folders > 0);
}

fn check_folder(tokenizer: &Tokenizer, golden: &Value, name: &str) {
    for case in golden["tokenizer"].as_array().unwrap() {
        let input = text(case, "text");
        let (with, without) = (ids(&case["ids"]), ids(&case["ids_without_special"]));
        assert_eq!(
            tokenizer.encode(input, true).unwrap(),
            with,
            "{name}: {input:?}"
        );
        assert_eq!(
            tokenizer.encode(input, false).unwrap(),
            without,
            "{name}: {input:?}"
        );
        assert_eq!(
            tokenizer.decode(&without, false),
            text(case, "decoded"),
            "{name}: {input:?}"
        );
        assert_eq!(
            tokenizer.decode(&with, true),
            text(case, "decoded_skip_special"),
            "{name}: {input:?}"
        );
        assert_eq!(
            streamed(tokenizer, &without),
            text(case, "decoded"),
            "{name}: {input:?}"
        );
    }
    for case in golden["chat"].as_array().unwrap() {
        assert_eq!(
            tokenizer.encode(text(case, "text"), false).unwrap(),
            ids(&case["ids"]),
            "{name}"
        );
    }
    assert!(tokenizer.chat_template().is_some(), "{name} has a template");
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert!(
        tokenizer.stop_tokens().contains(&end) && tokenizer.is_special(end),
        "{name}"
    );
    let think = tokenizer.token_id("<think>").unwrap();
    assert!(
        !tokenizer.is_special(think) && tokenizer.is_added(think),
        "{name}"
    );
}
