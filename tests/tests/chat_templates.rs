//! Chat templates against recorded renderings of transformers' Jinja environment.
//!
//! The large record (real templates of 26 models) is read where a checkout has it beside it;
//! a small one of our own, recorded with Python's jinja2 set up as transformers does, is
//! always there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ponder_tokenizer::chat::{ChatTemplate, LocalTime, TemplateError};
use serde_json::Value;

const OWN: &str = include_str!("../data/chat_templates.json");

type Compiled = Result<ChatTemplate, TemplateError>;

/// One recorded case; `Err` says what differs.
fn check(template: &Compiled, case: &Value, now: LocalTime) -> Result<(), String> {
    let name = format!("{} / {}", case["template"], case["case"]);
    let template = template
        .as_ref()
        .map_err(|err| format!("{name}: does not compile: {err}"))?;
    let rendered = template.render(&case["inputs"], Some(now));
    let error = &case["expected_error"];
    let same = match (&rendered, case["expected"].as_str()) {
        (Ok(text), Some(expected)) => text == expected,
        (Err(TemplateError::Raised { message }), None) if error["type"] == "TemplateError" => {
            error["message"] == message.as_str()
        }
        (Err(_), None) => error["type"] != "TemplateError",
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(format!(
        "{name}: expected {} {error}\n  got {rendered:?}",
        case["expected"]
    ))
}

/// Checks every case of a record and returns how many there are.
fn check_record(record: &Value) -> usize {
    let now: LocalTime = record["now"].as_str().unwrap().parse().unwrap();
    let templates: HashMap<&String, Compiled> = record["templates"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, template)| (name, ChatTemplate::new(template["text"].as_str().unwrap())))
        .collect();
    let cases = record["cases"].as_array().unwrap();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case["template"].as_str().unwrap().to_owned();
            check(&templates[&name], case, now).err()
        })
        .collect();
    let all = cases.len();
    assert!(
        failures.is_empty(),
        "{} of {all} cases differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
    all
}

#[test]
fn own_record() {
    assert_eq!(check_record(&serde_json::from_str(OWN).unwrap()), 73);
}

#[test]
fn record_of_real_templates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/templates/golden.json.xz");
    let Ok(file) = File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let mut text = String::new();
    let mut reader = lzma_rust2::XzReader::new(BufReader::new(file), true);
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(check_record(&serde_json::from_str(&text).unwrap()), 676);
}
