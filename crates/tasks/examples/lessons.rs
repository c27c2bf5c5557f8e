//! What the default model learns from: `cargo run --release -p ponder-tasks --example lessons -- SEED N`
//! prints N lessons, one line of JSON each. Questions that `ponder eval` asks by default are left out.

use std::collections::HashSet;
use std::io::{BufWriter, Write, stdout};

use ponder_tasks::{Length, Line, item, lesson};
use serde_json::{Value, json};

/// The seed of `ponder eval`, and how many of its items no lesson may have.
const HELD_OUT: (u64, u64) = (0, 20_000);

fn main() -> std::io::Result<()> {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .flat_map(|arg| arg.parse())
        .collect();
    let [seed, n] = numbers[..] else {
        eprintln!("usage: lessons SEED N");
        std::process::exit(2);
    };
    let held_out: HashSet<String> = (0..HELD_OUT.1)
        .map(|index| item(HELD_OUT.0, index).question)
        .collect();
    let lessons = (0..)
        .map(|index| lesson(seed, index))
        .filter(|lesson| !held_out.contains(&lesson.item.question));
    let mut out = BufWriter::new(stdout().lock());
    for lesson in lessons.take(usize::try_from(n).unwrap_or(usize::MAX)) {
        let thought = |length| -> Value {
            let lines = lesson.thought(length).into_iter();
            lines
                .map(|Line { text, is_right }| json!([text, is_right]))
                .collect()
        };
        let line = json!({
            "task": lesson.item.task,
            "question": lesson.item.question,
            "answer": lesson.item.answer,
            "short": thought(Length::Short),
            "medium": thought(Length::Medium),
            "long": thought(Length::Long),
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
