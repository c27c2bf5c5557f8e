//! Tokenizers from the metadata of real GGUF files, against ids that other programs give.

use std::path::{Path, PathBuf};

use ponder_engine::gguf_vocab;
use ponder_runtime::weights::Checkpoint;
use ponder_tokenizer::Tokenizer;
use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder from the environment, or one relative to the workspace; `None` if it is not there.
fn folder(variable: &str, default: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn assets(name: &str) -> Option<PathBuf> {
    let path = folder("PONDER_ASSETS", "target/assets")?.join(name);
    path.exists().then_some(path)
}

fn load(path: &Path) -> Result<Tokenizer, String> {
    let checkpoint = Checkpoint::open_metadata(path).map_err(|error| error.to_string())?;
    let metadata = checkpoint.gguf().ok_or("no GGUF")?;
    let vocab = gguf_vocab(metadata).map_err(|error| error.to_string())?;
    Tokenizer::from_gguf(vocab).map_err(|error| error.to_string())
}

/// Token by token, as a model would make it.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.decode_stream();
    let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    text.push_str(&stream.finish());
    text
}

/// The separator of texts in llama.cpp's vocabulary vectors.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Every vocabulary of llama.cpp with a tokenizer of a generative model: how many texts it
/// has, and those that are expected to differ.
///
/// llama.cpp does not normalize. The tokenizers of Qwen do (NFC), so its ids for decomposed
/// accents are not the ones that the models were trained on.
const VECTORS: &[(&str, usize, &[&str])] = &[
    ("command-r", 46, &[]),
    ("deepseek-coder", 46, &[]),
    ("deepseek-llm", 46, &[]),
    ("falcon", 46, &[]),
    ("gemma-4", 46, &[]),
    ("gpt-2", 46, &[]),
    ("llama-bpe", 46, &[]),
    ("llama-spm", 46, &[]),
    ("mpt", 46, &[]),
    ("phi-3", 46, &[]),
    ("qwen2", 46, &[]),
    (
        "qwen35",
        50,
        &["e\u{301}", "re\u{301}sume\u{301}", "a\u{300}a\u{300}"],
    ),
    ("refact", 46, &[]),
    ("starcoder", 46, &[]),
];

#[test]
fn vectors_of_llama_cpp() {
    let Some(vocabs) = assets("vocabs") else {
        return;
    };
    for &(name, n_texts, differing) in VECTORS {
        let path = vocabs.join(format!("ggml-vocab-{name}.gguf"));
        let tokenizer = load(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let read = |extension| std::fs::read_to_string(path.with_extension(extension)).unwrap();
        let (texts, expected) = (read("gguf.inp"), read("gguf.out"));
        let mut n_equal = 0;
        for (text, expected) in texts.split(SEPARATOR).zip(expected.lines()) {
            let expected: Vec<u32> = expected
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            let ids = tokenizer.encode(text, false).unwrap();
            if differing.iter().any(|start| text.starts_with(start)) {
                assert_ne!(ids, expected, "{name}: {text:?} is equal by now");
                continue;
            }
            assert_eq!(ids, expected, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&ids, false), text, "{name}");
            assert_eq!(streamed(&tokenizer, &ids), text, "{name}");
            n_equal += 1;
        }
        println!("{name}: {n_equal} of {n_texts} equal");
        assert_eq!(n_equal, n_texts - differing.len(), "{name}");
    }
}

#[test]
fn vocabularies_that_are_refused() {
    let Some(vocabs) = assets("vocabs") else {
        return;
    };
    for (name, reason) in [
        ("aquila", "tokenizer.ggml.pre"),
        ("gpt-neox", "tokenizer.ggml.pre"),
        ("bert-bge", "tokenizer.ggml.model `bert`"),
    ] {
        let error = load(&vocabs.join(format!("ggml-vocab-{name}.gguf"))).unwrap_err();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

/// SentencePiece unigram with a character map; its file has no vectors.
#[test]
fn unigram_round_trips() {
    let Some(vocabs) = assets("vocabs") else {
        return;
    };
    let tokenizer = load(&vocabs.join("ggml-vocab-nomic-bert-moe.gguf")).unwrap();
    for (text, decoded) in [
        ("Hello, world!", "Hello, world!"),
        ("  two   spaces ", "two spaces"),
        ("ﬁne ＡＢＣ ½", "fine ABC 1⁄2"),
    ] {
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!((ids.first(), ids.last()), (Some(&0), Some(&2)), "{text:?}");
        assert_eq!(tokenizer.decode(&ids, true), decoded);
    }
}

#[test]
fn goldens_of_gguf_models() {
    let Some(golden) = folder("PONDER_SHARED", "../shared") else {
        return;
    };
    let golden = golden.join("oracle/golden/gguf-dev");
    for architecture in ["qwen3", "llama"] {
        let tokenizer = load(&golden.join(format!("{architecture}-Q8_0.gguf"))).unwrap();
        let cases =
            std::fs::read_to_string(golden.join(format!("{architecture}.tokenizer_golden.json")))
                .unwrap();
        let cases: Value = serde_json::from_str(&cases).unwrap();
        let ids = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
        for case in cases["tokenizer"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let (with, without) = (ids(&case["ids"]), ids(&case["ids_without_special"]));
            assert_eq!(
                tokenizer.encode(text, true).unwrap(),
                with,
                "{architecture}: {text:?}"
            );
            assert_eq!(
                tokenizer.encode(text, false).unwrap(),
                without,
                "{architecture}: {text:?}"
            );
            assert_eq!(
                tokenizer.decode(&without, false),
                case["decoded"].as_str().unwrap()
            );
            assert_eq!(
                tokenizer.decode(&with, true),
                case["decoded_skip_special"].as_str().unwrap()
            );
            assert_eq!(
                streamed(&tokenizer, &without),
                case["decoded"].as_str().unwrap()
            );
        }
        for case in cases["chat"].as_array().unwrap() {
            assert_eq!(
                tokenizer
                    .encode(case["text"].as_str().unwrap(), false)
                    .unwrap(),
                ids(&case["ids"])
            );
        }
    }
}

#[test]
fn smollm2() {
    let Some(path) = assets("SmolLM2-135M-Instruct.Q4_1.gguf") else {
        return;
    };
    let tokenizer = load(&path).unwrap();
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert!(tokenizer.stop_tokens().contains(&end) && tokenizer.eos() == Some(end));
    assert!(tokenizer.chat_template().unwrap().contains("<|im_start|>"));
    assert!(!tokenizer.adds_bos());
    let text = "<|im_start|>user\nWhat is 2024 in  Roman numerals?<|im_end|>\n";
    let ids = tokenizer.encode(text, true).unwrap();
    assert_eq!(
        (ids[0], ids[ids.len() - 2]),
        (tokenizer.token_id("<|im_start|>").unwrap(), end)
    );
    assert_eq!(streamed(&tokenizer, &ids), text);
}

#[test]
fn gemma3() {
    let Some(path) = assets("gemma-3-270m-q4_k_m.gguf") else {
        return;
    };
    let tokenizer = load(&path).unwrap();
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos(), tokenizer.adds_bos()),
        (Some(2), Some(1), true)
    );
    assert!(
        tokenizer
            .stop_tokens()
            .contains(&tokenizer.token_id("<end_of_turn>").unwrap())
    );
    let pieces = |text: &str| -> Vec<String> {
        let ids = tokenizer.encode(text, false).unwrap();
        ids.iter().map(|&id| tokenizer.piece(id)).collect()
    };
    assert_eq!(
        pieces("The capital of France"),
        ["The", " capital", " of", " France"]
    );
    assert_eq!(pieces("a   b\n\nc"), ["a", "   ", "b", "\n\n", "c"]);
    assert_eq!(pieces(" 2024"), [" ", "2", "0", "2", "4"]);
    let text = "<start_of_turn>user\nx² + 你好 🦙 \u{10FFFF} <end_of_turn>\n";
    let ids = tokenizer.encode(text, true).unwrap();
    assert_eq!(
        ids[..2],
        [2, tokenizer.token_id("<start_of_turn>").unwrap()]
    );
    assert_eq!(streamed(&tokenizer, &ids[1..]), text);
    assert_eq!(tokenizer.encode("<bos>a", false).unwrap()[0], 2);
    assert!(tokenizer.starts_with_bos("<bos>a"));
}
