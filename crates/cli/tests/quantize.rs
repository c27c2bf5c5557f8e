//! `ponder quantize` as a process.

mod support;

use std::path::Path;

use serde_json::Value;
use support::tiny::{Style, tiny_model};
use support::{output_of, ponder, stderr, stdout};

/// A greedy continuation by `inspect logits`.
fn greedy(model: &str, out: &Path) -> Vec<u8> {
    let out_text = out.to_str().expect("a UTF-8 path");
    let args = [
        "inspect",
        "logits",
        "-m",
        model,
        "--ids",
        "72,105,33",
        "--greedy",
        "12",
        "--out",
    ];
    let output = output_of(ponder(&[&args[..], &[out_text]].concat()), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bytes = std::fs::read(out).expect("written");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let at = |i: usize| {
        header["greedy"]["data_offsets"][i]
            .as_u64()
            .expect("an offset") as usize
    };
    bytes[8 + length + at(0)..8 + length + at(1)].to_vec()
}

#[test]
fn a_folder_becomes_a_file_that_answers_alike() {
    let model = tiny_model(Style::Thinking);
    let folder = model.path().to_str().expect("a UTF-8 path");
    let out = model.path().join("out.gguf");
    let file = out.to_str().expect("a UTF-8 path");
    let args = [
        "quantize",
        folder,
        file,
        "--type",
        "bf16",
        "--json",
        "--threads",
        "1",
    ];
    let output = output_of(ponder(&args), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(summary["type"], "bf16");
    assert_eq!(summary["path"], file);
    assert_eq!(summary["tensors"]["BF16"], 15);
    assert_eq!(summary["tensors"]["F32"], 5);
    let size = std::fs::metadata(&out).expect("a file").len();
    assert_eq!(summary["file_bytes"].as_u64(), Some(size));
    let bits = summary["bits_per_weight"].as_f64().expect("a number");
    assert!((16.0..16.5).contains(&bits), "{bits}");

    let logits = model.path().join("logits.safetensors");
    assert_eq!(greedy(folder, &logits), greedy(file, &logits));
    let prompt = |model: &str| {
        let args = [
            "inspect",
            "tokens",
            "-m",
            model,
            "<|im_start|>Hé 42!\n<think>",
            "--json",
        ];
        stdout(&output_of(ponder(&args), ""))
    };
    assert_eq!(prompt(folder), prompt(file));
    let shown = stdout(&output_of(ponder(&["show", file, "--json"]), ""));
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["template"], true);
    assert_eq!(shown["quantization"], "BF16");
}

#[test]
fn people_read_size_and_bits() {
    let model = tiny_model(Style::Plain);
    let folder = model.path().to_str().expect("a UTF-8 path");
    let out = model.path().join("out.gguf");
    let file = out.to_str().expect("a UTF-8 path");
    let args = ["quantize", folder, file, "--type", "q8_0"];
    let output = output_of(ponder(&args), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in ["15 Q8_0", "bits per weight", "8.", " kB from "] {
        assert!(stdout(&output).contains(part), "{}", stdout(&output));
    }
    assert_eq!(
        stderr(&output),
        "",
        "nothing else is said where nobody watches"
    );

    // The file that is there stays unless --force says otherwise.
    let before = std::fs::read(&out).expect("a file");
    let output = output_of(ponder(&["quantize", folder, file, "--type", "q4_0"]), "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("exists already\nhint: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(std::fs::read(&out).expect("a file"), before);
    let forced = ["quantize", folder, file, "--type", "q4_0", "--force"];
    assert_eq!(output_of(ponder(&forced), "").status.code(), Some(0));
    assert!(std::fs::read(&out).expect("a file").len() < before.len());
}

#[test]
fn errors_say_what_to_do() {
    let model = tiny_model(Style::Plain);
    let folder = model.path().to_str().expect("a UTF-8 path");
    let code = |args: &[&str]| {
        let output = output_of(ponder(args), "");
        (output.status.code(), stderr(&output))
    };
    let (status, text) = code(&["quantize", folder, "out.bin", "--type", "q8_0"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("ends in .gguf"), "{text}");
    let (status, text) = code(&["quantize", folder, "out.gguf", "--type", "q9"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("expected one of f16"), "{text}");
    let (status, text) = code(&["quantize", folder, "no/where/out.gguf", "--type", "q8_0"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("hint: make the folder first"), "{text}");
    std::fs::remove_file(model.path().join("tokenizer.json")).expect("removed");
    let (status, text) = code(&["quantize", folder, "out.gguf", "--type", "q8_0"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("tokenizer.json"), "{text}");
}
