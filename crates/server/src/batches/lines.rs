//! The lines of an input file.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

use super::record::LineError;
use crate::http::{ApiError, Fields};

/// Requests in a file.
const MAX_LINES: usize = 50_000;

/// Errors that are listed; a file with one wrong line often has many.
const MAX_ERRORS: usize = 100;

/// Bytes of a name that a client gives a line.
const MAX_CUSTOM_ID: usize = 512;

/// Where a request lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) custom_id: String,
    offset: u64,
    bytes: usize,
}

impl Line {
    /// The body of the request.
    pub(crate) fn body(&self, path: &Path) -> io::Result<Value> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = vec![0; self.bytes];
        file.read_exact(&mut text)?;
        let mut line: Value = serde_json::from_slice(&text)?;
        Ok(line["body"].take())
    }
}

/// Reads a file of requests for `endpoint`, each line at most `max_line` bytes. What is wrong with
/// it comes as a list.
pub(crate) fn read(
    path: &Path,
    endpoint: &str,
    max_line: usize,
) -> io::Result<Result<Vec<Line>, Vec<LineError>>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut scan = Scan {
        endpoint,
        ids: HashSet::new(),
        lines: Vec::new(),
        errors: Vec::new(),
    };
    let (mut offset, mut text) = (0, Vec::new());
    for number in 1.. {
        text.clear();
        let limit = max_line as u64 + 1;
        let n = reader.by_ref().take(limit).read_until(b'\n', &mut text)?;
        if n == 0 {
            break;
        }
        if n > max_line {
            let message = format!("The line is longer than {max_line} bytes.");
            scan.error(number, "line_too_long", message, None);
            break;
        }
        scan.line(number, offset, &text);
        if scan.errors.len() >= MAX_ERRORS {
            break;
        }
        offset += n as u64;
    }
    if scan.lines.is_empty() && scan.errors.is_empty() {
        let message = "The file holds no requests.".to_owned();
        scan.errors.push(LineError {
            code: "empty_file".to_owned(),
            message,
            param: None,
            line: None,
        });
    }
    Ok(match scan.errors.is_empty() {
        true => Ok(scan.lines),
        false => Err(scan.errors),
    })
}

struct Scan<'a> {
    endpoint: &'a str,
    ids: HashSet<String>,
    lines: Vec<Line>,
    errors: Vec<LineError>,
}

impl Scan<'_> {
    fn error(&mut self, line: usize, code: &str, message: String, param: Option<String>) {
        self.errors.push(LineError {
            code: code.to_owned(),
            message,
            param,
            line: Some(line),
        });
    }

    fn line(&mut self, number: usize, offset: u64, text: &[u8]) {
        if text.trim_ascii().is_empty() {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            let message = format!("A batch holds at most {MAX_LINES} requests.");
            return self.error(number, "too_many_requests", message, None);
        }
        let value = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(error) => {
                let message = format!("The line is not valid JSON: {error}");
                return self.error(number, "invalid_json_line", message, None);
            }
        };
        match self.check(value) {
            Ok(custom_id) => {
                self.ids.insert(custom_id.clone());
                self.lines.push(Line {
                    custom_id,
                    offset,
                    bytes: text.len(),
                });
            }
            Err(error) => {
                let code = error.code.unwrap_or("invalid_request");
                self.error(number, code, error.message, error.param);
            }
        }
    }

    fn check(&self, value: Value) -> Result<String, ApiError> {
        let mut fields = Fields::new(value, "line")?;
        let custom_id = fields.required_string("custom_id")?;
        if custom_id.is_empty() || custom_id.len() > MAX_CUSTOM_ID {
            let message = format!("`custom_id` has 1 to {MAX_CUSTOM_ID} bytes.");
            return Err(ApiError::invalid("custom_id", message));
        }
        if self.ids.contains(&custom_id) {
            let message = format!("Another line has the custom_id '{custom_id}'.");
            return Err(ApiError::invalid("custom_id", message).with_code("duplicate_custom_id"));
        }
        if fields.required_string("method")? != "POST" {
            let message = "`method` can only be POST.";
            return Err(ApiError::invalid("method", message).with_code("invalid_method"));
        }
        let url = fields.required_string("url")?;
        if url != self.endpoint {
            let endpoint = self.endpoint;
            let message = format!("`url` differs from the endpoint of the batch, {endpoint}.");
            return Err(ApiError::invalid("url", message).with_code("mismatched_endpoint"));
        }
        let mut body = fields
            .object("body")?
            .ok_or_else(|| ApiError::missing("body"))?;
        if body.boolean("stream")? == Some(true) {
            let message = "A batch has no streams.";
            return Err(ApiError::invalid("body.stream", message));
        }
        fields.finish()?;
        Ok(custom_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ENDPOINT: &str = "/v1/chat/completions";

    fn read_text(text: &[u8]) -> Result<Vec<Line>, Vec<LineError>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("input");
        std::fs::write(&path, text).expect("written");
        read(&path, ENDPOINT, 1000).expect("read")
    }

    fn line(custom_id: &str) -> Value {
        json!({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": {"n": custom_id}})
    }

    #[test]
    fn lines_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("input");
        let text = format!("{}\r\n\n  \n{}", line("é"), line("b"));
        std::fs::write(&path, text).expect("written");
        let lines = read(&path, ENDPOINT, 1000)
            .expect("read")
            .expect("no errors");
        let ids: Vec<&str> = lines.iter().map(|line| line.custom_id.as_str()).collect();
        assert_eq!(ids, ["é", "b"]);
        assert_eq!(lines[0].body(&path).expect("read"), json!({"n": "é"}));
        assert_eq!(lines[1].body(&path).expect("read"), json!({"n": "b"}));
    }

    #[test]
    fn what_is_wrong_is_listed_by_line() {
        let changed = |field: &str, value: Value| {
            let mut line = line("x");
            line[field] = value;
            line
        };
        let wrong = [
            (json!([1]), "invalid_type"),
            (
                changed("custom_id", Value::Null),
                "missing_required_parameter",
            ),
            (changed("custom_id", json!("")), "invalid_value"),
            (changed("custom_id", json!("a")), "duplicate_custom_id"),
            (changed("method", json!("GET")), "invalid_method"),
            (
                changed("url", json!("/v1/responses")),
                "mismatched_endpoint",
            ),
            (changed("body", Value::Null), "missing_required_parameter"),
            (changed("body", json!({"stream": true})), "invalid_value"),
            (changed("more", json!(1)), "unknown_parameter"),
        ];
        let mut text = format!("{}\n{{\"torn\n", line("a"));
        for (line, _) in &wrong {
            text += &format!("{line}\n");
        }
        let errors = read_text(text.as_bytes()).expect_err("errors");
        let found: Vec<(Option<usize>, &str)> = errors
            .iter()
            .map(|error| (error.line, error.code.as_str()))
            .collect();
        let mut expected = vec![(Some(2), "invalid_json_line")];
        expected.extend(
            wrong
                .iter()
                .enumerate()
                .map(|(i, (_, code))| (Some(i + 3), *code)),
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn files_that_hold_nothing_or_too_much_are_refused() {
        let empty = read_text(b"\n\n").expect_err("an error");
        assert_eq!(empty[0].code, "empty_file");
        let long = read_text(&[b'x'; 2000]).expect_err("an error");
        assert_eq!(long[0].code, "line_too_long");
        let wrong = read_text("x\n".repeat(1000).as_bytes()).expect_err("errors");
        assert_eq!(wrong.len(), MAX_ERRORS);
        let not_text = read_text(b"\xff\xfe\n").expect_err("errors");
        assert_eq!(not_text[0].code, "invalid_json_line");
    }
}
