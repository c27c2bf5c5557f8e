//! The log of a run: a line that says what run it is, then a line for each finished answer.
//!
//! A run that was killed goes on from its log. Its last line may have been cut; it is taken away, and
//! its answer is made again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::EvalError;
use crate::record::Record;

/// The field that every log begins with, and the version of its form.
const VERSION: &str = "ponder_eval";

const NO_SETTINGS: &str = "it does not begin with a run's settings";

/// A log that is open, and locked against a second run.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log of the run that `identity` describes, or begins it, and returns what it holds.
    ///
    /// # Errors
    /// A file that cannot be used, is no log, or belongs to another run; nothing is changed then.
    pub(crate) fn open(
        path: &Path,
        identity: &Map<String, Value>,
    ) -> Result<(Self, Vec<Record>), EvalError> {
        let failed = |error| EvalError::file(path, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(EvalError::Busy(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut first = identity.clone();
        first.insert(VERSION.to_owned(), Value::from(1));
        let first = line(&first);
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole == 0 && !first.starts_with(&bytes) {
            return Err(no_log(path, NO_SETTINGS));
        }
        let mut lines = bytes[..whole].split(|&byte| byte == b'\n');
        let mut records = Vec::new();
        if whole > 0 {
            same_run(path, lines.next().unwrap_or_default(), &first)?;
            for (i, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
                let record = serde_json::from_slice(line);
                let problem = |error| no_log(path, format!("line {}: {error}", i + 2));
                records.push(record.map_err(problem)?);
            }
        }
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut log = Self {
            path: path.to_owned(),
            file,
        };
        if whole == 0 {
            log.write(&first)?;
        }
        Ok((log, records))
    }

    /// Adds an answer. What was added is there even if the program is killed.
    pub(crate) fn add(&mut self, record: &Record) -> Result<(), EvalError> {
        self.write(&line(record))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), EvalError> {
        let written = self.file.write_all(line);
        written.map_err(|error| EvalError::file(&self.path, &error))
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Compares the first line of a log with what it would be now.
fn same_run(path: &Path, theirs: &[u8], ours: &[u8]) -> Result<(), EvalError> {
    let parse = |line: &[u8]| serde_json::from_slice::<Value>(line).ok();
    // Both are read from text, which may change the last digit of a number.
    let (theirs, ours) = (parse(theirs), parse(ours));
    let version = theirs.as_ref().and_then(|theirs| theirs.get(VERSION));
    if version != Some(&Value::from(1)) {
        return Err(no_log(path, NO_SETTINGS));
    }
    match difference(theirs.as_ref(), ours.as_ref()) {
        None => Ok(()),
        Some((field, theirs, ours)) => Err(EvalError::OtherRun {
            path: path.to_owned(),
            field: field.trim_end().replace('_', " "),
            theirs: short(theirs),
            ours: short(ours),
        }),
    }
}

/// What stands at a place in either of two values, and the names that lead there.
type Difference<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// The first place at which two values differ.
fn difference<'a>(theirs: Option<&'a Value>, ours: Option<&'a Value>) -> Option<Difference<'a>> {
    let parts: Vec<Difference<'a>> = match (theirs, ours) {
        _ if theirs == ours => return None,
        (Some(Value::Object(theirs)), Some(Value::Object(ours))) => {
            let names = ours.keys().chain(theirs.keys());
            let part = |name: &String| (name.clone(), theirs.get(name), ours.get(name));
            names.map(part).collect()
        }
        (Some(Value::Array(theirs)), Some(Value::Array(ours))) => {
            let part = |i: usize| ((i + 1).to_string(), theirs.get(i), ours.get(i));
            (0..theirs.len().max(ours.len())).map(part).collect()
        }
        _ => return Some((String::new(), theirs, ours)),
    };
    parts.into_iter().find_map(|(name, theirs, ours)| {
        let (rest, theirs, ours) = difference(theirs, ours)?;
        Some((format!("{name} {rest}"), theirs, ours))
    })
}

fn no_log(path: &Path, problem: impl Into<String>) -> EvalError {
    EvalError::NoLog {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// A value in a message.
fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "not there".to_owned(), Value::to_string);
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use ponder_engine::{FinishReason, Usage};
    use serde_json::json;

    use super::*;
    use crate::check::Verdict;

    fn record(question: usize) -> Record {
        Record {
            row: 0,
            question,
            sample: 0,
            verdict: Verdict::Right,
            value: Some("ü".to_owned()),
            finish_reason: FinishReason::Stop,
            reasoning_ended_by: None,
            usage: Usage::default(),
            seconds: 0.25,
            content: "Line\nand \"ü\"".to_owned(),
        }
    }

    fn identity(seed: u64) -> Map<String, Value> {
        let value = json!({"model": "a.gguf", "seed": seed, "rows": ["low", "high"]});
        value.as_object().expect("an object").clone()
    }

    fn questions(path: &Path) -> Vec<usize> {
        let (_, records) = Log::open(path, &identity(1)).expect("a log");
        records.iter().map(|record| record.question).collect()
    }

    #[test]
    fn a_log_that_is_cut_anywhere_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.jsonl");
        let (mut log, records) = Log::open(&path, &identity(1)).expect("a new log");
        assert!(records.is_empty());
        for question in 0..3 {
            log.add(&record(question)).expect("written");
        }
        drop(log);
        let bytes = std::fs::read(&path).expect("readable");
        let ends: Vec<usize> = (1..=bytes.len())
            .filter(|&at| bytes[at - 1] == b'\n')
            .collect();
        for len in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..len]).expect("written");
            let n_whole = ends.iter().filter(|&&end| end <= len).count();
            let expected: Vec<usize> = (0..n_whole.saturating_sub(1)).collect();
            assert_eq!(questions(&path), expected, "{len} bytes");
            // What was cut is made again, and the file is as if nothing had happened.
            let (mut log, _) = Log::open(&path, &identity(1)).expect("a log");
            for question in expected.len()..3 {
                log.add(&record(question)).expect("written");
            }
            drop(log);
            assert!(
                std::fs::read(&path).expect("readable") == bytes,
                "{len} bytes"
            );
        }
    }

    #[test]
    fn other_runs_are_refused_with_the_difference() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.jsonl");
        let refused = |identity: &Map<String, Value>| {
            let before = std::fs::read(&path).expect("readable");
            let error = Log::open(&path, identity).err().expect("another run");
            assert!(
                std::fs::read(&path).expect("readable") == before,
                "it was changed"
            );
            error.to_string()
        };
        drop(Log::open(&path, &identity(1)).expect("a new log"));
        let error = refused(&identity(2));
        assert!(error.contains("its seed is 1, and here it is 2"), "{error}");
        let mut more = identity(1);
        more.insert("max_tokens".to_owned(), Value::from(5));
        assert!(refused(&more).contains("its max tokens is not there, and here it is 5"));
        let mut less = identity(1);
        less.remove("rows");
        assert!(refused(&less).contains("its rows is [\"low\",\"high\"]"));
        let mut rows = identity(1);
        rows.insert("rows".to_owned(), json!(["low", "max"]));
        assert!(refused(&rows).contains("its rows 2 is \"high\", and here it is \"max\""));
        rows.insert("rows".to_owned(), json!(["low"]));
        assert!(refused(&rows).contains("its rows 2 is \"high\", and here it is not there"));
        for foreign in [
            "Dear diary",
            "{\"question\": \"q\"}\n",
            "\n",
            "[]\n",
            "\0\n",
        ] {
            std::fs::write(&path, foreign).expect("written");
            assert!(refused(&identity(1)).contains("is no log"), "{foreign:?}");
        }
        drop(std::fs::remove_file(&path));
        drop(Log::open(&path, &identity(1)).expect("a new log"));
        let mut text = std::fs::read_to_string(&path).expect("readable");
        text.push_str("{\"row\": 0}\n");
        std::fs::write(&path, &text).expect("written");
        assert!(refused(&identity(1)).contains("line 2: missing field"));
    }

    #[test]
    fn numbers_are_the_same_after_they_were_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let numbers: Vec<f64> = (1..2000).map(|i| f64::from(i as f32 / 997.0)).collect();
        let value = json!({ "numbers": numbers });
        let identity = value.as_object().expect("an object");
        for _ in 0..2 {
            let opened = Log::open(&dir.path().join("log.jsonl"), identity);
            assert!(opened.is_ok(), "{:?}", opened.err());
        }
    }

    #[test]
    fn two_runs_do_not_share_a_log() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.jsonl");
        let first = Log::open(&path, &identity(1)).expect("a new log");
        assert!(matches!(
            Log::open(&path, &identity(1)),
            Err(EvalError::Busy(_))
        ));
        drop(first);
        assert!(Log::open(&path, &identity(1)).is_ok());
    }
}
