//! The program's contract where no model is needed: usage, exit codes, errors, documents.

mod support;

use support::{output_of, ponder, stderr, stdout};

/// Exit code, standard output and standard error without any input.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = output_of(ponder(args), "");
    let code = output.status.code().expect("no signal ended it");
    (code, stdout(&output), stderr(&output))
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["run", "--typo"],
        &["run", "--top-p", "2", "hi"],
        &["inspect", "template", "--template", "x.jinja"],
        &["rm"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains("--help"), "{args:?}: {err}");
    }
}

#[test]
fn an_empty_prompt_is_wrong_usage() {
    let (code, out, err) = run(&["run", "-m", "no-such.gguf"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.starts_with("error: the prompt is empty\nhint: "),
        "{err}"
    );
}

#[test]
fn help_and_version_are_0() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(
        (code, out),
        (0, format!("ponder {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for name in [
        "run",
        "chat",
        "serve",
        "pull",
        "list",
        "show",
        "rm",
        "inspect",
        "quantize",
        "eval",
        "bench",
        "Exit codes",
    ] {
        assert!(out.contains(name), "{name}");
    }
    assert!(!out.contains("--votes"));
}

#[test]
fn failures_are_1_with_two_lines_at_most() {
    for args in [
        &["run", "-m", "no/such/model.gguf", "hi"][..],
        &["run", "-m", "no/such/model.gguf", "hi", "--json"],
        &["show", "no/such/model.gguf"],
        &[
            "inspect",
            "tokens",
            "-m",
            "no/such/folder",
            "text",
            "--json",
        ],
        &["run", "--device", "cuda", "hi"],
        &["run", "--file", "no/such/prompt.txt"],
        &[
            "inspect",
            "template",
            "--template",
            "no.jinja",
            "--vars",
            "no.json",
        ],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        let lines: Vec<&str> = err.lines().collect();
        assert!(lines[0].starts_with("error: "), "{args:?}: {err}");
        assert!(
            lines[1..].iter().all(|line| line.starts_with("hint: ")),
            "{err}"
        );
        assert!(lines.len() <= 2, "{err}");
    }
}

#[test]
fn styles_follow_the_flag_and_not_the_pipe() {
    let failing = ["show", "no/such/model.gguf"];
    assert!(!run(&failing).2.contains('\u{1b}'));
    let colored = run(&[&failing[..], &["--color", "always"]].concat()).2;
    assert!(colored.starts_with("\u{1b}["), "{colored}");
}

#[test]
fn removing_without_a_person_needs_yes() {
    let (code, _, err) = run(&["rm", "owner/model"]);
    assert_eq!(code, 2);
    assert!(err.contains("--yes"), "{err}");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("show-thinking"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).0, 2);
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let dir = tempfile::tempdir().expect("a folder");
    let man = dir.path().join("man/man1");
    let (code, ..) = run(&["man", man.to_str().expect("a UTF-8 path")]);
    assert_eq!(code, 0);
    for page in ["ponder.1", "ponder-run.1", "ponder-inspect-logits.1"] {
        let text = std::fs::read_to_string(man.join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn an_empty_store_is_an_empty_list() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = ponder(&["list", "--json"]);
    command.env("HF_HOME", home.path());
    let output = output_of(command, "");
    assert_eq!(stdout(&output), "{\"models\":[]}\n");
}
