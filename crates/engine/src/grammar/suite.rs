//! Schemas of others: the JSON Schema Test Suite where `cargo xtask assets schemas` has fetched it, and
//! any folder of schemas that `PONDER_SCHEMAS` names.
//!
//! Every schema is refused, by the name of a keyword or with what contradicts itself, or compiled;
//! and every document that comes of it by chance is valid, says a validator that shares no code with
//! the compiler. With `--nocapture` it says how many, and how long masks take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ponder_tokenizer::Tokenizer;
use serde_json::Value;

use super::tests::{Chance, parts, vocabulary};
use super::*;
use crate::sampling::SamplingDefaults;

/// Tokens of a document at most.
const MAX_TOKENS: usize = 1500;

fn assets() -> PathBuf {
    std::env::var_os("PONDER_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/assets"),
        PathBuf::from,
    )
}

/// The JSON files below a folder.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            out.push(path);
        }
    }
    out.sort();
}

/// The schemas in a folder: of the suite's lists of tests, or one in each file.
fn schemas(folder: &Path) -> Vec<(String, Value)> {
    let mut paths = Vec::new();
    files(folder, &mut paths);
    let read = |path: &PathBuf| -> Option<Vec<(String, Value)>> {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        let name = path.strip_prefix(folder).ok()?.display().to_string();
        let Value::Array(cases) = value else {
            return Some(vec![(name, value)]);
        };
        let case = |case: &Value| {
            let what = format!("{name}: {}", case["description"].as_str().unwrap_or("?"));
            (what, case["schema"].clone())
        };
        Some(cases.iter().map(case).collect())
    };
    paths.iter().filter_map(read).flatten().collect()
}

/// What came of a folder.
#[derive(Default)]
struct Report {
    n_compiled: usize,
    refused: BTreeMap<String, usize>,
    n_whole: usize,
    n_cut: usize,
    n_stuck: usize,
    masks: Vec<Duration>,
    compiling: Vec<Duration>,
    cloning: Vec<Duration>,
}

/// A document by chance, drawn from the masks alone; `None` where it was not complete in time.
fn document(
    grammars: &Grammars,
    compiled: compile::Compiled,
    chance: &mut Chance,
    masks: &mut Vec<Duration>,
) -> Result<Option<String>, EngineError> {
    let words = &grammars.words;
    let mut machine = compiled.machine;
    let mut digits = digits::Digits::new(Where::Json);
    let mut mask = Mask::none(words.len());
    let mut bytes = Vec::new();
    for n_tokens in 0..MAX_TOKENS {
        mask.fill(false);
        let began = Instant::now();
        machine.allow(&mut mask)?;
        digits.limit(&grammars.digits, &mut mask);
        masks.push(began.elapsed());
        let allowed: Vec<u32> = (0..words.len() as u32)
            .filter(|&id| mask.contains(id))
            .collect();
        let ends = |id: &u32| {
            let text = words.bytes(*id);
            words.stop.contains(id) || (text.len() < 3 && text.iter().any(|b| b"\"]}".contains(b)))
        };
        let ending: Vec<u32> = allowed.iter().copied().filter(ends).collect();
        // What closes something is likelier the longer the text is.
        let share = 0.1 + n_tokens as f32 / 100.0;
        let from = match !ending.is_empty() && chance.share() < share {
            true => &ending,
            false => &allowed,
        };
        let token = from[chance.next() as usize % from.len()];
        if words.stop.contains(&token) {
            return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
        }
        assert!(machine.try_accept(token)?, "a token of the mask");
        digits.push(words.bytes(token));
        bytes.extend_from_slice(words.bytes(token));
        if machine.is_over() {
            return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(None)
}

impl Report {
    fn add(&mut self, grammars: &Grammars, name: &str, schema: &Value, n_documents: u64) {
        let began = Instant::now();
        let format = Format::JsonSchema(schema.clone());
        let compiled = grammars.compiler.format(&format, &grammars.words);
        self.compiling.push(began.elapsed());
        let compiled = match compiled {
            Ok(compiled) => compiled.expect("a grammar"),
            Err(error) => {
                let error = error.to_string();
                let keyword = error.split('`').nth(1);
                let why = keyword.map_or(error.as_str(), |keyword| keyword);
                *self
                    .refused
                    .entry(why.chars().take(90).collect())
                    .or_default() += 1;
                return;
            }
        };
        self.n_compiled += 1;
        let validator = match jsonschema::validator_for(schema) {
            Ok(validator) => validator,
            // The compiler takes schemas that are not valid themselves, in places that say nothing.
            Err(_) => return,
        };
        for seed in 0..n_documents {
            let mut chance = Chance(seed);
            let began = Instant::now();
            let fresh = compiled.clone();
            self.cloning.push(began.elapsed());
            match document(grammars, fresh, &mut chance, &mut self.masks) {
                Ok(None) => self.n_cut += 1,
                Err(error) => {
                    println!("{name}: {error}");
                    self.n_stuck += 1;
                }
                Ok(Some(text)) => {
                    let document: Value = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("{name}: {schema}\n{text}: {error}"));
                    let is_valid = validator.is_valid(&document);
                    assert!(is_valid, "{name}: {schema}\n{text}");
                    self.n_whole += 1;
                }
            }
        }
    }

    fn print(&mut self, what: &str) {
        let n_refused: usize = self.refused.values().sum();
        println!(
            "{what}: {} compiled, {n_refused} refused; {} documents, all valid; {} cut at {MAX_TOKENS} tokens, {} stuck",
            self.n_compiled, self.n_whole, self.n_cut, self.n_stuck
        );
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|&(why, n)| (std::cmp::Reverse(*n), why));
        for (why, n) in refused {
            println!("  {n:4} {why}");
        }
        let at = |times: &mut Vec<Duration>, share: f64| {
            times.sort_unstable();
            let index = (times.len() as f64 * share) as usize;
            times.get(index.min(times.len().saturating_sub(1))).copied()
        };
        for (label, times) in [
            ("mask", &mut self.masks),
            ("compile", &mut self.compiling),
            ("clone", &mut self.cloning),
        ] {
            println!(
                "  {label}: n {}, p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
                times.len(),
                at(times, 0.5),
                at(times, 0.9),
                at(times, 0.99),
                at(times, 1.0)
            );
        }
    }
}

/// Grammars over the vocabulary of a large model, where it was fetched.
fn large() -> Option<Grammars> {
    let folder = assets().join("tokenizers/qwen3");
    let tokenizer = Tokenizer::from_folder(&folder).ok()?;
    let vocab_size = tokenizer.vocab_size();
    let text = TextParts::new(tokenizer, SamplingDefaults::default(), vocab_size);
    Some(Grammars::new(&text.ok()?).expect("grammars"))
}

#[test]
fn documents_of_the_test_suite_are_valid() {
    let folder = assets().join("schemas");
    let schemas = schemas(&folder);
    if schemas.is_empty() {
        println!(
            "skipped: {} is not there (cargo xtask assets schemas)",
            folder.display()
        );
        return;
    }
    let grammars = Grammars::new(&parts(vocabulary())).expect("grammars");
    let mut report = Report::default();
    for (name, schema) in &schemas {
        report.add(&grammars, name, schema, 5);
    }
    report.print("test suite, small vocabulary");
    assert!(
        report.n_compiled * 3 > schemas.len(),
        "{}",
        report.n_compiled
    );
    if let Some(grammars) = large() {
        let mut report = Report::default();
        for (name, schema) in schemas.iter().step_by(3) {
            report.add(&grammars, name, schema, 1);
        }
        report.print("test suite, large vocabulary");
    }
}

#[test]
fn documents_of_schemas_in_use_are_valid() {
    let Some(folder) = std::env::var_os("PONDER_SCHEMAS").map(PathBuf::from) else {
        println!("skipped: PONDER_SCHEMAS names no folder of schemas");
        return;
    };
    let schemas = schemas(&folder);
    assert!(!schemas.is_empty(), "{} holds no schemas", folder.display());
    let grammars =
        large().unwrap_or_else(|| Grammars::new(&parts(vocabulary())).expect("grammars"));
    let mut report = Report::default();
    for (name, schema) in &schemas {
        report.add(&grammars, name, schema, 2);
    }
    report.print(&folder.display().to_string());
}
