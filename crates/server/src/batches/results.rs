//! The results of a batch, a line each, written as they come.
//!
//! A line counts once it is on the disk with its end: what a stop has torn is dropped when the file
//! is opened again, and is done anew.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::record::Counts;

/// Where results go, and what is there already.
#[derive(Debug)]
pub(crate) struct Results {
    output: File,
    errors: File,
    done: HashSet<String>,
    counts: Counts,
}

/// The two files in the folder of a batch.
pub(crate) fn paths(folder: &Path) -> [PathBuf; 2] {
    ["output", "errors"].map(|name| folder.join(name).with_extension("jsonl"))
}

impl Results {
    /// Opens the files in `folder`, or makes them, for a batch of `total` lines.
    pub(crate) fn open(folder: &Path, total: usize) -> io::Result<Self> {
        let mut done = HashSet::new();
        let mut counts = Counts {
            total,
            ..Counts::default()
        };
        let [output, errors] = paths(folder);
        let output = open(&output, &mut |line| {
            counts.usage.add(&line["response"]["body"]);
            counts.completed += usize::from(note(&mut done, line));
        })?;
        let errors = open(&errors, &mut |line| {
            counts.failed += usize::from(note(&mut done, line));
        })?;
        Ok(Self {
            output,
            errors,
            done,
            counts,
        })
    }

    /// Whether there is a result for a line.
    pub(crate) fn has(&self, custom_id: &str) -> bool {
        self.done.contains(custom_id)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Appends results, in one go for each file.
    pub(crate) fn append(&mut self, results: &[LineResult]) -> io::Result<()> {
        for is_good in [true, false] {
            let mut text = Vec::new();
            let of_kind = || results.iter().filter(|result| result.is_good == is_good);
            for result in of_kind() {
                serde_json::to_writer(&mut text, &result.line)?;
                text.push(b'\n');
            }
            if text.is_empty() {
                continue;
            }
            let file = match is_good {
                true => &mut self.output,
                false => &mut self.errors,
            };
            append(file, &text)?;
            for result in of_kind() {
                let is_new = note(&mut self.done, &result.line);
                match is_good {
                    true => {
                        self.counts.completed += usize::from(is_new);
                        self.counts.usage.add(&result.line["response"]["body"]);
                    }
                    false => self.counts.failed += usize::from(is_new),
                }
            }
        }
        Ok(())
    }
}

/// What came of a line.
#[derive(Debug)]
pub(crate) struct LineResult {
    pub(crate) is_good: bool,
    /// With its `custom_id`.
    pub(crate) line: Value,
}

/// All of `text`, or nothing of it.
fn append(file: &mut File, text: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}

fn note(done: &mut HashSet<String>, line: &Value) -> bool {
    line["custom_id"]
        .as_str()
        .is_some_and(|id| done.insert(id.to_owned()))
}

/// Opens a file to append, without its torn last line; `each` hears of all others.
fn open(path: &Path, each: &mut dyn FnMut(&Value)) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).open(path)?;
    let mut reader = BufReader::new(&file);
    let (mut whole, mut text) = (0, Vec::new());
    while reader.read_until(b'\n', &mut text)? > 0 {
        // Blocks of a file may arrive on the disk in any order: a line is whole where it can be read.
        let Some(line) = text
            .strip_suffix(b"\n")
            .and_then(|line| serde_json::from_slice(line).ok())
        else {
            break;
        };
        each(&line);
        whole += text.len() as u64;
        text.clear();
    }
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(id: &str, is_good: bool) -> LineResult {
        let line = json!({"custom_id": id, "response": {"body": {"usage": {"prompt_tokens": 2}}}});
        LineResult { is_good, line }
    }

    #[test]
    fn a_torn_line_is_done_again_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = Results::open(folder.path(), 4).expect("opened");
        results
            .append(&[result("a", true), result("b", false)])
            .expect("written");
        results.append(&[result("c", true)]).expect("written");
        drop(results);
        let [output, _] = paths(folder.path());
        let whole = std::fs::read(&output).expect("read");
        for cut in 1..whole.len() {
            std::fs::write(&output, &whole[..cut]).expect("written");
            let mut results = Results::open(folder.path(), 4).expect("opened");
            let ends = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(results.counts().completed, ends);
            assert_eq!((results.has("a"), results.has("c")), (ends > 0, false));
            assert!(results.has("b"));
            let missing = ["a", "c"].into_iter().filter(|id| !results.has(id));
            let missing: Vec<LineResult> = missing.map(|id| result(id, true)).collect();
            results.append(&missing).expect("written");
            drop(results);
            assert_eq!(std::fs::read(&output).expect("read"), whole, "cut at {cut}");
        }
    }

    #[test]
    fn counts_are_the_same_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = Results::open(folder.path(), 9).expect("opened");
        results
            .append(&[result("a", true), result("b", false), result("c", true)])
            .expect("written");
        let counts = results.counts();
        assert_eq!((counts.total, counts.completed, counts.failed), (9, 2, 1));
        drop(results);
        assert_eq!(
            Results::open(folder.path(), 9).expect("opened").counts(),
            counts
        );
    }

    #[test]
    fn what_is_not_json_ends_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let [output, _] = paths(folder.path());
        std::fs::write(
            &output,
            b"{\"custom_id\":\"a\"}\n\0\0\0\n{\"custom_id\":\"b\"}\n",
        )
        .expect("written");
        let results = Results::open(folder.path(), 2).expect("opened");
        assert!(results.has("a") && !results.has("b"));
    }
}
