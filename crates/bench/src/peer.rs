//! A peer's own benchmark, as a command.
//!
//! The peer is llama-bench, or a program that prints what `llama-bench -o json` does: a list of tests
//! with `n_prompt`, `n_gen`, `n_depth` and `avg_ts`. A test of a prompt is a speed of prefill, one of
//! generated tokens a speed of decode.

use std::process::Command;
use std::str::FromStr;

use serde_json::Value;

use crate::stop::Stop;
use crate::{BenchError, Case, process};

/// A command that measures what it is told.
///
/// It is split into words as shells do, quotes included; `{model}`, `{prompt}`, `{gen}`, `{depth}` and
/// `{threads}` in them stand for what is measured here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    words: Vec<String>,
}

/// What a peer is to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand<'a> {
    pub(crate) model: &'a str,
    pub(crate) case: &'a Case,
    pub(crate) gen_tokens: usize,
    pub(crate) threads: usize,
}

/// Tokens per second: of prefill, of decode.
pub(crate) type Speeds = [Option<f64>; 2];

impl FromStr for Peer {
    type Err = String;

    fn from_str(command: &str) -> Result<Self, String> {
        let words = shlex::split(command)
            .ok_or("a quote is not closed, or a backslash stands before nothing")?;
        match words.is_empty() {
            false => Ok(Self { words }),
            true => Err("the command is empty".to_owned()),
        }
    }
}

impl Peer {
    /// Lets it run once; `None` where the measurement was stopped before it had ended.
    pub(crate) fn run(
        &self,
        errand: Errand<'_>,
        stop: &Stop,
    ) -> Result<Option<Speeds>, BenchError> {
        let words: Vec<String> = self.words.iter().map(|word| errand.fill(word)).collect();
        let fault = |problem: String| BenchError::Peer {
            command: words.join(" "),
            problem,
        };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let ended = process::run(command, Vec::new(), stop);
        let Some(ended) = ended.map_err(|error| fault(error.to_string()))? else {
            return Ok(None);
        };
        let output = ended.output;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().last().unwrap_or("it said nothing");
            return Err(fault(format!("{}, {said}", output.status)));
        }
        let speeds = speeds(&output.stdout, errand.case.depth);
        speeds.map(Some).map_err(fault)
    }
}

impl Errand<'_> {
    /// A word with what its placeholders stand for; braces around anything else stay.
    fn fill(&self, word: &str) -> String {
        let (mut text, mut rest) = (String::new(), word);
        while let Some((before, from)) = rest.split_once('{') {
            text += before;
            let filled = from
                .split_once('}')
                .and_then(|(name, after)| Some((self.value(name)?, after)));
            match filled {
                Some((value, after)) => {
                    text += &value;
                    rest = after;
                }
                None => {
                    text.push('{');
                    rest = from;
                }
            }
        }
        text + rest
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "model" => Some(self.model.to_owned()),
            "prompt" => Some(self.case.prompt_tokens.to_string()),
            "gen" => Some(self.gen_tokens.to_string()),
            "depth" => Some(self.case.depth.to_string()),
            "threads" => Some(self.threads.to_string()),
            _ => None,
        }
    }
}

/// The speeds in llama-bench's JSON, of tests at this depth.
fn speeds(output: &[u8], depth: usize) -> Result<Speeds, String> {
    let tests: Vec<Value> = serde_json::from_slice(output)
        .map_err(|error| format!("its output is no list of tests in JSON: {error}"))?;
    let mut speeds = [None; 2];
    for test in &tests {
        let n = |name: &str| test[name].as_u64().unwrap_or(0);
        if n("n_depth") != depth as u64 {
            continue;
        }
        let speed = test["avg_ts"].as_f64().filter(|&speed| speed > 0.0);
        match (n("n_prompt"), n("n_gen")) {
            (1.., 0) => speeds[0] = speed,
            (0, 1..) => speeds[1] = speed,
            _ => {}
        }
    }
    match speeds {
        [None, None] => Err(format!(
            "it has no test of prefill or decode at depth {depth}"
        )),
        speeds => Ok(speeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: Case = Case {
        prompt_tokens: 100,
        depth: 7,
        concurrency: 1,
        effort: None,
    };

    const ERRAND: Errand<'_> = Errand {
        model: "a {gen} b.gguf",
        case: &CASE,
        gen_tokens: 64,
        threads: 3,
    };

    #[test]
    fn llama_bench_is_understood() {
        let text = r#"[{"n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ts": 170.5},
            {"n_prompt": 0, "n_gen": 64, "n_depth": 0, "avg_ts": 40.25},
            {"n_prompt": 128, "n_gen": 0, "n_depth": 512, "avg_ts": 0.0},
            {"n_prompt": 0, "n_gen": 64, "n_depth": 512, "avg_ts": 30.0}]"#;
        assert_eq!(speeds(text.as_bytes(), 0), Ok([Some(170.5), Some(40.25)]));
        assert_eq!(speeds(text.as_bytes(), 512), Ok([None, Some(30.0)]));
        assert!(speeds(text.as_bytes(), 7).is_err());
        for wrong in [&b"{}"[..], b"", b"\xff", b"[1]"] {
            assert!(speeds(wrong, 0).is_err());
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let words = |command: &str| command.parse().map(|peer: Peer| peer.words);
        let quoted = words(r#"'my bench' -m "a b.gguf" -t\ 1 x"#).expect("words");
        assert_eq!(quoted, ["my bench", "-m", "a b.gguf", "-t 1", "x"]);
        for wrong in ["", "  ", "a 'b", "a \"b", "a \\"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn placeholders_are_filled_once() {
        for (word, expected) in [
            ("{prompt},{gen}", "100,64"),
            ("-d{depth}", "-d7"),
            ("{threads}", "3"),
            ("x{model}", "xa {gen} b.gguf"),
            ("{other}{{prompt}{", "{other}{100{"),
            ("", ""),
        ] {
            assert_eq!(ERRAND.fill(word), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_command_is_told_what_to_measure() {
        let dir = tempfile::tempdir().expect("a folder");
        let script = dir.path().join("a peer.sh");
        let text = "printf '[{\"n_prompt\":%s,\"n_gen\":0,\"n_depth\":%s,\"avg_ts\":%s}]' $1 $2 $3
            test \"$4\" = 'a {gen} b.gguf'";
        std::fs::write(&script, text).expect("written");
        let run = |command: &str| {
            let peer: Peer = command.parse().expect("words");
            peer.run(ERRAND, &Stop::default())
        };
        let command = format!(
            "sh '{}' {{prompt}} {{depth}} {{threads}} {{model}}",
            script.display()
        );
        assert_eq!(run(&command).expect("speeds"), Some([Some(3.0), None]));
        for wrong in ["no/such-program", "false", "echo {threads}"] {
            let error = run(wrong).expect_err("no peer").to_string();
            assert!(error.contains("hint: it should print"), "{error}");
        }
        let stop = Stop::default();
        stop.stop();
        let peer: Peer = "sleep 100".parse().expect("words");
        assert_eq!(peer.run(ERRAND, &stop).expect("no failure"), None);
    }
}
