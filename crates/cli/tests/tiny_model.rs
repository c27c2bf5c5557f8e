//! The program with a model of random weights: pipes, JSON, chat, inspection.

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::tiny::{Style, tiny_model};
use support::{output_of, ponder, stderr, stdout};

/// Writes the letter A `tokens` times.
fn only_a(model: &Path, command: &str, tokens: &str, more: &[&str]) -> Command {
    only("65=100", model, command, tokens, more)
}

/// Writes the favoured token `tokens` times.
fn only(bias: &str, model: &Path, command: &str, tokens: &str, more: &[&str]) -> Command {
    let model = model.to_str().expect("a UTF-8 path");
    let fixed = [
        command,
        "-m",
        model,
        "--logit-bias",
        bias,
        "--max-tokens",
        tokens,
    ];
    ponder(&[&fixed[..], more].concat())
}

#[test]
fn piped_output_is_the_content_and_a_newline() {
    let model = tiny_model(Style::Plain);
    let output = output_of(only_a(model.path(), "run", "3", &["hi"]), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, b"AAA\n");
    assert_eq!(
        stderr(&output),
        "",
        "nothing else is said where nobody watches"
    );
}

#[test]
fn the_cache_is_as_it_was_asked_for() {
    let model = tiny_model(Style::Plain);
    let run = |words: &[&str]| {
        let output = output_of(only_a(model.path(), "run", "40", words), "");
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let text = format!("{}\n", "A".repeat(40));
    for cache_type in ["f32", "f16", "bf16", "q8_0", "q4_0"] {
        let words = ["hi", "--cache-type", cache_type, "--max-sequences", "1"];
        assert_eq!(run(&words), (Some(0), text.clone(), String::new()));
    }
    for drafts in ["--prompt-lookup", "--no-prompt-lookup"] {
        assert_eq!(run(&["hi", drafts]), (Some(0), text.clone(), String::new()));
    }
    // What does not fit ends the answer: one block for the tokens, another for the sequence.
    let (code, cut, _) = run(&["hi", "--cache-tokens", "32", "--max-sequences", "1"]);
    assert_eq!(code, Some(0));
    assert!(cut.len() > 1 && cut.len() < text.len() && text.starts_with(cut.trim_end()));
    let (code, _, error) = run(&["hi", "--cache-tokens", "32", "--context", "64"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("the cache holds 32 tokens"), "{error}");
    let (code, _, error) = run(&["hi", "--device", "reference", "--cache-type", "q8_0"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("not as q8_0\nhint: "), "{error}");
    let (code, _, error) = run(&["hi", "--device", "cpu", "--cache-type", "fp8"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("not stored as fp8 there\nhint: q8_0 is"),
        "{error}"
    );
}

#[test]
fn escape_sequences_pass_a_pipe_unchanged() {
    let model = tiny_model(Style::Plain);
    let args = ["--color", "always", "hi"];
    let output = output_of(only("27=100", model.path(), "run", "2", &args), "");
    assert_eq!(output.stdout, b"\x1b\x1b\n");
}

#[test]
fn reasoning_is_kept_out_of_the_pipe() {
    let model = tiny_model(Style::Thinking);
    // A quarter of the tokens is the answer's, and closing the thought may take nine.
    let content = format!("{}\n", "A".repeat(11));
    let output = output_of(only_a(model.path(), "run", "20", &["hi"]), "");
    assert_eq!(stdout(&output), content);
    assert_eq!(stderr(&output), "");
    let args = ["hi", "--show-thinking", "full"];
    let output = output_of(only_a(model.path(), "run", "20", &args), "");
    assert_eq!(stdout(&output), content);
    assert_eq!(stderr(&output), "AAAAAA\n");
}

#[test]
fn json_has_exactly_the_contract() {
    let model = tiny_model(Style::Plain);
    let output = output_of(only_a(model.path(), "run", "3", &["hi", "--json"]), "");
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let keys = |value: &Value| {
        let object = value.as_object().expect("an object");
        let mut keys: Vec<_> = object.keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(
        keys(&answer),
        [
            "content",
            "finish_reason",
            "reasoning",
            "reasoning_ended_by",
            "timings",
            "tool_calls",
            "usage"
        ]
    );
    assert_eq!(
        keys(&answer["usage"]),
        [
            "cached_tokens",
            "completion_tokens",
            "probe_tokens",
            "prompt_tokens",
            "reasoning_tokens"
        ]
    );
    assert_eq!(
        keys(&answer["timings"]),
        ["decode_tps", "load_s", "prefill_tps", "ttfo_s", "ttft_s"]
    );
    assert_eq!(answer["content"], "AAA");
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(answer["tool_calls"], json!([]));
    assert_eq!(answer["usage"]["completion_tokens"], 3);
}

#[test]
fn stop_strings_and_seeds_are_passed_on() {
    let model = tiny_model(Style::Plain);
    let args = ["hi", "--stop", "AA", "--json"];
    let output = output_of(only_a(model.path(), "run", "9", &args), "");
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(answer["content"], "");
    assert_eq!(answer["finish_reason"], "stop");

    let model = model.path().to_str().expect("a UTF-8 path");
    let args = [
        "run",
        "-m",
        model,
        "--max-tokens",
        "8",
        "--temperature",
        "1",
        "--seed",
        "7",
        "hi",
    ];
    let (first, second) = (output_of(ponder(&args), ""), output_of(ponder(&args), ""));
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn values_that_the_sampler_refuses_are_wrong_usage() {
    let model = tiny_model(Style::Plain);
    let output = output_of(only("65=1000", model.path(), "run", "2", &["hi"]), "");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn prompts_come_from_everywhere() {
    let model = tiny_model(Style::Plain);
    let tokens = |args: &[&str], stdin: &str| {
        let args = [args, &["--json"]].concat();
        let output = output_of(only_a(model.path(), "run", "1", &args), stdin);
        let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        answer["usage"]["prompt_tokens"].as_u64().expect("a number")
    };
    let file = model.path().join("prompt.txt");
    fs::write(&file, "cd\n").expect("written");
    let file = file.to_str().expect("a UTF-8 path");
    let one = tokens(&["ab"], "");
    assert_eq!(tokens(&["-"], "ab"), one);
    assert_eq!(tokens(&[], "ab\n"), one);
    assert_eq!(tokens(&["--file", file], ""), one);
    // Two newlines stand between the parts, and every byte is a token.
    assert_eq!(tokens(&["ab"], "cd"), one + 4);
    assert_eq!(tokens(&["ab", "--file", file], "ef"), one + 8);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let model = tiny_model(Style::Plain);
    let mut child = only_a(model.path(), "run", "300", &["hi"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ponder starts");
    drop(child.stdout.take());
    let mut errors = String::new();
    let mut pipe = child.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut errors).expect("readable");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(errors, "");
}

#[test]
fn piped_chat_answers_every_line() {
    let model = tiny_model(Style::Plain);
    let input =
        "one\n/system Be terse.\ntwo \\\nlines\n/nope\n\"\"\"\nthree\n\"\"\"\n/exit\nfour\n";
    let output = output_of(only_a(model.path(), "chat", "2", &[]), input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "AA\nAA\nAA\n");
    assert!(stderr(&output).contains("error: there is no command /nope"));
}

#[test]
fn chat_keeps_the_conversation() {
    let model = tiny_model(Style::Plain);
    let output = output_of(only_a(model.path(), "chat", "2", &["--json"]), "one\none\n");
    let answers: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let tokens = |i: usize| {
        answers[i]["usage"]["prompt_tokens"]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(answers.len(), 2);
    assert!(
        tokens(1) > tokens(0) + 2,
        "the first turn is part of the second"
    );
}

#[test]
fn tokens_have_ids_and_pieces() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    fs::remove_file(model.path().join("model.safetensors")).expect("weights are not needed");
    let args = ["inspect", "tokens", "-m", dir, "-A b<think>", "--json"];
    let output = output_of(ponder(&args), "");
    let tokens: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let expected = json!({"ids": [45, 65, 32, 98, 259], "pieces": ["-", "A", " ", "b", "<think>"]});
    assert_eq!(tokens, expected, "{}", stderr(&output));
    let output = output_of(ponder(&args[..4]), "AB");
    assert!(stdout(&output).contains("65"), "text comes from a pipe too");
}

#[test]
fn templates_are_rendered() {
    let model = tiny_model(Style::Plain);
    let dir = model.path();
    let file = |name: &str, text: &str| {
        fs::write(dir.join(name), text).expect("written");
        dir.join(name).to_str().expect("a UTF-8 path").to_owned()
    };
    let request = file(
        "r.json",
        r#"{"messages": [{"role": "user", "content": "hi"}]}"#,
    );
    let model = dir.to_str().expect("a UTF-8 path");
    let args = [
        "inspect",
        "template",
        "-m",
        model,
        "--request",
        &request,
        "--json",
    ];
    let output = output_of(ponder(&args), "");
    let rendered: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(rendered["prompt"], prompt, "{}", stderr(&output));
    assert_eq!(rendered["ids"][0], 257);

    let template = file("t.jinja", "{{ x }} {{ strftime_now('%Y') }}");
    let vars = file("v.json", r#"{"x": [1, "a"]}"#);
    let now = "2026-01-15T12:34:56";
    let args = [
        "inspect",
        "template",
        "--template",
        &template,
        "--vars",
        &vars,
        "--now",
        now,
    ];
    let output = output_of(ponder(&args), "");
    assert_eq!(stdout(&output), "[1, 'a'] 2026\n", "{}", stderr(&output));
    let output = output_of(ponder(&[&args[..], &["--json"]].concat()), "");
    assert_eq!(stdout(&output), "{\"prompt\":\"[1, 'a'] 2026\"}\n");
}

#[test]
fn logits_are_written() {
    let model = tiny_model(Style::Plain);
    let file = model.path().join("out.safetensors");
    let (dir, out) = (model.path().to_str(), file.to_str());
    let (dir, out) = (dir.expect("a UTF-8 path"), out.expect("a UTF-8 path"));
    let args = [
        "inspect", "logits", "-m", dir, "--ids", "1,2,3", "--greedy", "2", "--out", out,
    ];
    let output = output_of(ponder(&args), "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bytes = fs::read(&file).expect("written");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    assert_eq!(header["logits"]["dtype"], "F32");
    assert_eq!(header["logits"]["shape"], json!([3, 261]));
    assert_eq!(header["greedy"]["dtype"], "I64");
    assert_eq!(header["greedy"]["shape"], json!([2]));
}

#[test]
fn show_says_what_a_model_is() {
    let model = tiny_model(Style::Plain);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let output = output_of(ponder(&["show", dir, "--json", "--context", "100"]), "");
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(shown["family"], "llama", "{}", stderr(&output));
    assert_eq!(shown["context"], 512);
    let memory = &shown["memory"][0];
    assert_eq!(memory["context"], 100);
    let bytes = |name: &str| memory[name].as_u64().expect("a number");
    assert!(bytes("cache_bytes") > 0);
    assert_eq!(
        bytes("total_bytes"),
        bytes("weights_bytes") + bytes("cache_bytes")
    );
    let output = output_of(ponder(&["show", dir]), "");
    for word in [
        "architecture",
        "llama",
        "parameters",
        "quantization",
        "licence",
        "MEMORY",
        "EFFORT",
    ] {
        assert!(stdout(&output).contains(word), "{word}");
    }
}

#[test]
fn thinking_is_limited_from_everywhere() {
    let model = tiny_model(Style::Thinking);
    let dir = model.path().to_str().expect("a UTF-8 path");
    let config = model.path().join("config.toml");
    fs::write(
        &config,
        "effort = \"low\"\n[levels.low]\nthink_tokens = 12\n",
    )
    .expect("written");
    let config = config.to_str().expect("a UTF-8 path");
    let tokens = |more: &[&str]| {
        let args = [&["hi", "--json"], more].concat();
        let output = output_of(only_a(model.path(), "run", "60", &args), "");
        let answer: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert!(
            answer["content"].as_str().expect("text").starts_with('A'),
            "{answer}"
        );
        let by = answer["reasoning_ended_by"].as_str().map(str::to_owned);
        let tokens = answer["usage"]["reasoning_tokens"]
            .as_u64()
            .expect("a number");
        (by, tokens)
    };
    let budget = || Some("budget".to_owned());
    // A byte vocabulary: the rest of a marker that is begun is seven tokens, the marker itself one.
    assert_eq!(tokens(&["--think-tokens", "20"]), (budget(), 14));
    assert_eq!(tokens(&["--config", config]), (budget(), 6));
    assert_eq!(
        tokens(&["--config", config, "--think-tokens", "20"]),
        (budget(), 14)
    );
    assert_eq!(tokens(&["--effort", "none"]), (None, 0));
    assert_eq!(
        tokens(&["--think-time", "0.001ms"]).0.as_deref(),
        Some("deadline")
    );
    let output = output_of(ponder(&["show", dir, "--json", "--config", config]), "");
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        shown["effort_levels"][0]["think_tokens"],
        0,
        "{}",
        stderr(&output)
    );
    assert_eq!(shown["effort_levels"][2]["think_tokens"], 12);
    assert_eq!(shown["effort_levels"][6]["think_tokens"], Value::Null);
    let output = output_of(ponder(&["show", dir, "--config", config]), "");
    assert!(stdout(&output).contains("12 tokens"), "{}", stdout(&output));
}
