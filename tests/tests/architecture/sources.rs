//! Rules on the text of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::words::{Word, code_words};
use crate::{assert_none, root, rust_files};

/// The only places that may hold `unsafe`, relative to the root.
const UNSAFE: &[&str] = &["kernels/", "crates/runtime/src/weights/source.rs"];

/// A source file may have this many lines.
const MAX_LINES: usize = 800;

/// Tables of constants, which no one reads from top to bottom.
const TABLES: &[&str] = &["kernels/cpu/src/scalar/tables.rs"];

/// Texts in the runtime that name something other than a family.
const NOT_A_FAMILY: &[(&str, &str)] = &[
    (
        "Llama3",
        "a formula for scaling rotary positions, named by its `rope_type`",
    ),
    ("llama3", "that `rope_type` in config.json"),
    (
        "llama_4_scaling_beta",
        "a key of config.json, in whichever family it stands",
    ),
    ("qwen3:0.6b", "an example of a short name in a message"),
];

/// Keywords of code, as against tables of included files.
const CODE: &[&str] = &[
    "async",
    "enum",
    "extern",
    "fn",
    "for",
    "if",
    "impl",
    "let",
    "loop",
    "macro_rules",
    "match",
    "move",
    "struct",
    "trait",
    "type",
    "unsafe",
    "while",
];

/// All folders with Rust code, relative to the root.
const FOLDERS: &[&str] = &[
    "benches", "crates", "fuzz", "kernels", "models", "tests", "xtask",
];

/// All source files with their path relative to the root.
fn all_sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        for path in rust_files(&root().join(folder)) {
            sources.push((relative(&path), fs::read_to_string(&path).expect("UTF-8")));
        }
    }
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("a path below the root");
    path.to_string_lossy().replace('\\', "/")
}

#[test]
fn unsafe_stays_in_the_kernels_and_the_mapping() {
    let mut found = Vec::new();
    for (path, source) in all_sources() {
        if UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for Word { text, line } in code_words(&source) {
            if text == "unsafe" {
                found.push(format!("{path}:{line}"));
            }
        }
    }
    assert_none("`unsafe` outside the places that may hold it", &found);
}

/// The files that rustc begins a library or a program with.
fn crate_roots() -> Vec<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let targets = metadata
        .packages
        .into_iter()
        .flat_map(|package| package.targets);
    let roots = targets.filter(|target| target.is_lib() || target.is_bin());
    roots
        .map(|target| target.src_path.into_std_path_buf())
        .collect()
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let mut missing = Vec::new();
    for root_file in crate_roots() {
        let path = relative(&root_file);
        // The runtime cannot forbid what its mapping module is allowed to do.
        let (level, is_exempt) = match path.as_str() {
            "crates/runtime/src/lib.rs" => ("deny", false),
            path => ("forbid", path.starts_with("kernels/")),
        };
        let words = code_words(&fs::read_to_string(&root_file).expect("UTF-8"));
        let has = words
            .windows(2)
            .any(|pair| pair[0].text == level && pair[1].text == "unsafe_code");
        if !has && !is_exempt {
            missing.push(format!("{path}: no #![{level}(unsafe_code)]"));
        }
    }
    assert_none("crates that may hold unsafe code", &missing);
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for (path, source) in all_sources() {
        let n_lines = source.lines().count();
        if n_lines > MAX_LINES && !TABLES.contains(&path.as_str()) {
            long.push(format!("{path}: {n_lines} lines, at most {MAX_LINES}"));
        }
    }
    assert_none("files to be split", &long);
}

/// The names in `models/families`, and those without their version.
fn family_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("models/families")).expect("models/families") {
        let name = entry.expect("a readable folder").file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else {
            continue;
        };
        names.insert(stem.to_owned());
        // `qwen3_moe` also stands for `qwen3` and `qwen`, but `seed_oss` not for `seed`.
        let first = stem.split('_').next().unwrap_or(stem);
        let bare = first.trim_end_matches(|c: char| c.is_ascii_digit());
        if bare != first || first == stem {
            names.extend([first.to_owned(), bare.to_owned()]);
        }
    }
    names
}

/// The family that `text` (an identifier or a literal) names, if any.
fn named_family<'a>(text: &str, families: &'a BTreeSet<String>) -> Option<&'a str> {
    // `Qwen3Attention` and `"qwen3.block_count"` become `_qwen3_attention_` and so on.
    let mut text = text.to_owned();
    for (other, _reason) in NOT_A_FAMILY {
        if let Some(at) = text.find(other)
            && !text[at + other.len()..].starts_with(char::is_alphabetic)
        {
            text.replace_range(at..at + other.len(), "");
        }
    }
    let mut snake = String::from("_");
    let mut before = '_';
    for c in text.chars() {
        if c.is_uppercase() && (before.is_lowercase() || before.is_numeric()) {
            snake.push('_');
        }
        before = c;
        snake.push(if c.is_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    snake.push('_');
    let is_named = |family: &&String| {
        snake
            .match_indices(&format!("_{family}"))
            .any(|(at, found)| {
                // A version may follow the name, another letter may not.
                let rest =
                    snake[at + found.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
                rest.starts_with('_')
            })
    };
    families.iter().find(is_named).map(String::as_str)
}

#[test]
fn no_family_name_in_the_runtime() {
    let families = family_names();
    assert!(families.len() > 5, "models/families was not found");
    let mut found = Vec::new();
    for path in rust_files(&root().join("crates/runtime/src")) {
        let path = relative(&path);
        if path.ends_with("tests.rs") || path.contains("/tests/") {
            continue;
        }
        let source = fs::read_to_string(root().join(&path)).expect("UTF-8");
        for Word { text, line } in code_words(&source) {
            if let Some(family) = named_family(&text, &families) {
                found.push(format!("{path}:{line}: {text} names the family {family}"));
            }
        }
    }
    assert_none("families are data, not code", &found);
}

#[test]
fn family_names_are_found_in_words() {
    let families: BTreeSet<String> = ["llama", "qwen", "qwen3_moe", "phi", "seed_oss"]
        .map(String::from)
        .into();
    for text in [
        "Qwen3Attention",
        "Llama3Attention",
        "load_llama",
        "\"llama.block_count\"",
        "PHI",
        "is_qwen2",
        "SeedOss",
    ] {
        assert!(named_family(text, &families).is_some(), "{text}");
    }
    for text in [
        "seed",
        "Delphi",
        "philosophy",
        "\"llama3\"",
        "Llama3",
        "qwendoline",
    ] {
        assert_eq!(named_family(text, &families), None, "{text}");
    }
}

#[test]
fn models_hold_data_only() {
    let path = root().join("models/src/lib.rs");
    let source = fs::read_to_string(path).expect("models/src/lib.rs");
    let mut code = Vec::new();
    for Word { text, line } in code_words(&source) {
        if CODE.contains(&text.as_str()) {
            code.push(format!("models/src/lib.rs:{line}: {text}"));
        }
    }
    assert_none("models hold tables of included files and no code", &code);
    assert_eq!(
        rust_files(&root().join("models")).len(),
        1,
        "one Rust file is enough for tables"
    );
}
