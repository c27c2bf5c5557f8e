//! Questions and their answers, from a file of JSON lines or from the generator.

use std::path::Path;

use ponder_engine::AnswerKind;
use ponder_tasks::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EvalError, seed};

/// Questions of one or several groups.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it is called in reports.
    pub name: String,
    /// The questions that are asked.
    pub items: Vec<Item>,
}

/// A question whose answer is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// What the model is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The form of the answer.
    pub kind: AnswerKind,
    /// The name of the group that it belongs to; empty where it has none.
    pub group: String,
    /// The system message.
    pub system: Option<String>,
}

/// A line as it stands in a file. Data sets have other fields too; they do not matter.
#[derive(Deserialize)]
struct Line {
    question: String,
    answer: Value,
    kind: Option<AnswerKind>,
    #[serde(default)]
    task: String,
    system: Option<String>,
}

impl Task {
    /// `n` questions of the generator.
    pub fn generate(n: usize, seed: u64) -> Self {
        let item = |index| {
            let item = ponder_tasks::item(seed, index);
            Item {
                question: item.question,
                answer: item.answer,
                kind: match item.kind {
                    Kind::Number => AnswerKind::Number,
                    Kind::Choice => AnswerKind::Choice,
                    Kind::Exact => AnswerKind::Exact,
                    Kind::Json => AnswerKind::Json,
                    Kind::Boxed => AnswerKind::Boxed,
                },
                group: item.task.to_owned(),
                system: None,
            }
        };
        Self {
            name: "default".to_owned(),
            items: (0..n as u64).map(item).collect(),
        }
    }

    /// Reads a file of JSON lines, all of them; with a limit, takes that many of them, drawn by the
    /// seed, in their order.
    ///
    /// # Errors
    /// A file that cannot be read or has no questions, and the first line that is not a question
    /// with an answer of its kind.
    pub fn read(path: &Path, limit: Option<usize>, seed: u64) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(|error| EvalError::file(path, &error))?;
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let mut items = Vec::new();
        for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let item = item(line).map_err(|problem| EvalError::Line {
                path: path.to_owned(),
                line: at + 1,
                problem,
            })?;
            items.push(item);
        }
        if items.is_empty() {
            return Err(EvalError::NoQuestions(path.to_owned()));
        }
        if let Some(limit) = limit {
            let taken = seed::choose(items.len(), limit, seed);
            items = taken.into_iter().map(|i| items[i].clone()).collect();
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            items,
        })
    }
}

fn item(line: &[u8]) -> Result<Item, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let line: Line = serde_json::from_str(text).map_err(|error| problem(&error))?;
    if line.question.trim().is_empty() {
        return Err("the question is empty".to_owned());
    }
    let answer = match &line.answer {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let kind = line.kind.unwrap_or_else(|| match line.answer {
        Value::Array(_) | Value::Object(_) => AnswerKind::Json,
        _ => AnswerKind::of(&answer),
    });
    if kind.expected(&answer).is_none() {
        return Err(format!(
            "the answer has not the form of kind {}",
            kind.name()
        ));
    }
    Ok(Item {
        question: line.question,
        answer,
        kind,
        group: line.task,
        system: line.system,
    })
}

/// What serde says, without its own count of lines, which are always the first here.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("{} (column {})", &text[..end], error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Task, EvalError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("task.jsonl");
        std::fs::write(&path, text).expect("written");
        Task::read(&path, None, 0)
    }

    #[test]
    fn kinds_follow_from_answers() {
        let text = concat!(
            "\u{feff}{\"question\": \"1+1\", \"answer\": \"2\", \"task\": \"sums\", \"source\": [1]}\r\n",
            "\n",
            "{\"question\": \"Capital?\", \"answer\": \"Paris\", \"system\": \"Be brief.\"}\n",
            "{\"question\": \"?\", \"answer\": 2.5}\n",
            "{\"question\": \"?\", \"answer\": {\"a\": 1}}\n",
            "{\"question\": \"?\", \"answer\": \"b\", \"kind\": \"choice\"}",
        );
        let task = read(text).expect("a task");
        let kinds: Vec<_> = task.items.iter().map(|item| item.kind.name()).collect();
        assert_eq!(kinds, ["number", "exact", "number", "json", "choice"]);
        assert_eq!(task.items[0].group, "sums");
        assert_eq!(task.items[1].system.as_deref(), Some("Be brief."));
        assert_eq!(task.items[3].answer, "{\"a\":1}");
        assert_eq!(task.name, "task.jsonl");
    }

    #[test]
    fn bad_lines_are_named() {
        let good = "{\"question\": \"q\", \"answer\": \"1\"}\n";
        let deep = format!("{{\"question\": \"q\", \"answer\": {}", "[".repeat(100_000));
        for (bad, what) in [
            ("{", "EOF"),
            ("[]", "invalid length"),
            ("null", "invalid type"),
            ("{\"question\": \"q\"}", "missing field `answer`"),
            ("{\"question\": 1, \"answer\": 1}", "expected a string"),
            (
                "{\"question\": \" \", \"answer\": \"1\"}",
                "the question is empty",
            ),
            ("{\"question\": \"q\", \"answer\": \"\"}", "kind exact"),
            (
                "{\"question\": \"q\", \"answer\": \"x\", \"kind\": \"number\"}",
                "kind number",
            ),
            (
                "{\"question\": \"q\", \"answer\": \"x y\", \"kind\": \"choice\"}",
                "kind choice",
            ),
            (
                "{\"question\": \"q\", \"answer\": \"{\", \"kind\": \"json\"}",
                "kind json",
            ),
            (
                "{\"question\": \"q\", \"answer\": \"1\", \"kind\": \"maths\"}",
                "unknown variant",
            ),
            (
                "{\"question\": \"q\", \"question\": \"r\", \"answer\": \"1\"}",
                "duplicate field",
            ),
            (
                "{\"question\": \"q\", \"answer\": \"1\"} {}",
                "trailing characters",
            ),
            ("{\"question\": \"\\ud800\", \"answer\": \"1\"}", "column"),
            (&deep, "recursion limit"),
        ] {
            let error = read(format!("{good}\n{bad}\n{good}"))
                .expect_err(what)
                .to_string();
            assert!(error.contains("task.jsonl` line 3: "), "{error}");
            assert!(
                error.contains(what) && error.contains("hint: "),
                "{what}: {error}"
            );
            assert!(
                !error.contains('\n') && !error.contains("at line"),
                "{error}"
            );
        }
        let error = read(b"{\"question\": \"\xff\"}").expect_err("no UTF-8");
        assert!(
            error.to_string().contains("line 1: it is not UTF-8"),
            "{error}"
        );
        for empty in ["", "\n \n", "\u{feff}"] {
            assert!(matches!(read(empty), Err(EvalError::NoQuestions(_))));
        }
        let missing = Task::read(Path::new("no/such.jsonl"), None, 0);
        assert!(matches!(missing, Err(EvalError::File { .. })));
    }

    #[test]
    fn the_generator_is_right() {
        let task = Task::generate(2000, 3);
        let mut groups = std::collections::BTreeSet::new();
        for item in &task.items {
            let expected = item.kind.expected(&item.answer);
            assert!(expected.is_some(), "{item:?}");
            for said in [
                item.answer.clone(),
                format!("Hm, 99.\nThe answer is {}.", item.answer),
            ] {
                assert_eq!(item.kind.value(&said), expected, "{item:?}");
            }
            groups.insert(&item.group);
        }
        assert!(groups.len() > 5, "{groups:?}");
        assert_eq!(task.items[..10], Task::generate(10, 3).items);
        assert_ne!(task.items[..10], Task::generate(10, 4).items);
    }

    #[test]
    fn limits_draw_from_the_whole_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("task.jsonl");
        let line = |i| format!("{{\"question\": \"{i}\", \"answer\": {i}}}\n");
        std::fs::write(&path, (0..90).map(line).collect::<String>()).expect("written");
        let numbers = |limit, seed| -> Vec<usize> {
            let task = Task::read(&path, Some(limit), seed).expect("a task");
            let numbers = task.items.iter().map(|item| item.question.parse());
            numbers.collect::<Result<_, _>>().expect("numbers")
        };
        assert_eq!(numbers(10, 1), numbers(10, 1));
        assert_ne!(numbers(10, 1), numbers(10, 2));
        assert!(numbers(10, 1).is_sorted() && numbers(10, 1)[9] > 45);
        assert_eq!(numbers(1000, 1), (0..90).collect::<Vec<_>>());
    }
}
