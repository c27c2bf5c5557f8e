//! Whole runs with a function in place of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use ponder_engine::{
    AnswerKind, EarlyExit, Effort, EffortOverrides, FinishReason, ReasoningEnd, SamplingOverrides,
    Timings, Usage,
};

use serde_json::{Map, Value, json};

use super::*;
use crate::{Grid, Item, Report, plot};

/// Answers `7` where the seed is even, `8` where it is odd, and nothing below 5 tokens of thought; it
/// thinks 40 tokens unless it may think less.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<Request>>,
    /// Answers that are made side by side, now and at most.
    busy: Mutex<(usize, usize)>,
    /// The number of the request that fails.
    fails_at: Option<usize>,
}

impl Answerer for Fake {
    fn answer(&self, request: Request, _: Weighing) -> Result<Reply, EngineError> {
        {
            let mut busy = self.busy.lock().expect("a lock");
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        std::thread::sleep(Duration::from_millis(2));
        self.busy.lock().expect("a lock").0 -= 1;
        let mut asked = self.asked.lock().expect("a lock");
        asked.push(request.clone());
        if self.fails_at.is_some_and(|at| asked.len() >= at) {
            return Err(EngineError::NoMessages);
        }
        let thought = request.effort_overrides.think_tokens.unwrap_or(40).min(40);
        let seed = request.sampling.seed.expect("a seed");
        let answer = if seed.is_multiple_of(2) {
            "It is 7."
        } else {
            "It is 8."
        };
        Ok(Reply {
            content: if thought < 5 { "" } else { answer }.to_owned(),
            summary: Summary {
                finish_reason: FinishReason::Stop,
                reasoning_ended_by: Some(match thought {
                    40 => ReasoningEnd::Model,
                    _ => ReasoningEnd::Budget,
                }),
                usage: Usage {
                    reasoning_tokens: thought,
                    completion_tokens: thought + 3,
                    ..Usage::default()
                },
                timings: Timings::default(),
                confidence: 0.0,
            },
        })
    }
}

fn setting(effort: Effort, budget: Budget) -> Setting {
    let think_tokens = match budget {
        Budget::Tokens(tokens) => Some(tokens),
        Budget::Own | Budget::Share(_) => None,
    };
    Setting {
        effort: Some(effort),
        budget,
        overrides: EffortOverrides {
            think_tokens,
            ..EffortOverrides::default()
        },
        think_tokens,
        landing: 1.0,
        early_exit: EarlyExit::Off,
        votes: 1,
        meaning: Value::Null,
    }
}

fn settings() -> Vec<Setting> {
    let budgets = [Budget::Own, Budget::Tokens(4), Budget::Share(0.5)];
    budgets.map(|budget| setting(Effort::High, budget)).into()
}

fn task(n: usize) -> Task {
    let item = |i: usize| Item {
        question: format!("Question {i}"),
        answer: "7".to_owned(),
        kind: AnswerKind::Number,
        group: if i < 2 { "few" } else { "rest" }.to_owned(),
        system: (i == 0).then(|| "Be brief.".to_owned()),
    };
    Task {
        name: "sevens".to_owned(),
        items: (0..n).map(item).collect(),
    }
}

fn job(samples: usize, concurrency: usize) -> Job {
    Job {
        grid: Grid {
            efforts: vec![None],
            budgets: vec![Budget::Own],
            landings: vec![None],
            early_exits: vec![None],
            votes: vec![None],
        },
        levels: BTreeMap::new(),
        seed: 1,
        samples,
        concurrency,
        max_tokens: Some(100),
        system: Some("Be kind.".to_owned()),
        sampling: SamplingOverrides::default(),
        weighing: Weighing::Majority,
        log: None,
    }
}

/// A run whose answers, times aside, do not depend on how it was made.
fn made(
    fake: &Fake,
    job: &Job,
    log: Option<Log>,
    known: Vec<Record>,
) -> Result<Vec<Answers>, EvalError> {
    let task = task(5);
    let mut last = 0;
    let mut progress = |step: &Progress| {
        assert!(step.done >= last && step.done <= step.total && step.right <= step.answers);
        last = step.done;
    };
    let mut run = Run {
        answerer: fake,
        task: &task,
        job,
        log,
        progress: &mut progress,
    };
    let mut rows = run.rows(&settings(), known)?;
    assert_eq!(last, 3 * 5 * job.samples, "all is done in the end");
    let records = rows.iter_mut().flat_map(|row| &mut row.records);
    records.for_each(|record| record.seconds = 1.0);
    Ok(rows)
}

fn records(rows: Vec<Answers>) -> Vec<Record> {
    rows.into_iter().flat_map(|row| row.records).collect()
}

#[test]
fn every_question_is_asked_in_every_row() {
    let fake = Fake::default();
    let rows = made(&fake, &job(2, 1), None, Vec::new()).expect("a run");
    assert_eq!(fake.busy.lock().expect("a lock").1, 1, "one at a time");
    // The last budget is half of what the first row took.
    let budgets: Vec<_> = rows.iter().map(|row| row.think_tokens).collect();
    assert_eq!(budgets, [None, Some(4), Some(20)]);
    let asked = fake.asked.into_inner().expect("a lock");
    assert_eq!(asked.len(), 3 * 5 * 2);
    let seeds: BTreeSet<_> = asked.iter().map(|request| request.sampling.seed).collect();
    assert_eq!(seeds.len(), 5 * 2, "the same in every row");
    let texts = |i: usize| -> Vec<String> {
        let messages = asked[i].messages.iter();
        messages
            .map(|message| format!("{:?}", message.content))
            .collect()
    };
    assert!(texts(0)[0].contains("Be brief.") && texts(0)[1].contains("Question 0"));
    assert!(texts(2)[0].contains("Be kind.") && texts(2)[1].contains("Question 1"));
    assert_eq!(asked[0].effort, Some(Effort::High));
    assert_eq!(asked[29].effort_overrides.think_tokens, Some(20));
    let places: Vec<_> = records(rows).iter().map(Record::place).collect();
    assert!(places.is_sorted() && places.len() == 30);
}

#[test]
fn several_at_once_give_the_same() {
    let alone = made(&Fake::default(), &job(3, 1), None, Vec::new()).expect("a run");
    let fake = Fake::default();
    let together = made(&fake, &job(3, 4), None, Vec::new()).expect("a run");
    assert_eq!(records(alone), records(together));
    let busy = fake.busy.into_inner().expect("a lock").1;
    assert!((2..=4).contains(&busy), "{busy} at once");
}

#[test]
fn a_run_that_failed_goes_on_from_its_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("log.jsonl");
    let whole = records(made(&Fake::default(), &job(2, 1), None, Vec::new()).expect("a run"));
    let mut n_asked = 0;
    for fails_at in [4, 9, 16, usize::MAX] {
        let (log, known) = Log::open(&path, &Map::new()).expect("a log");
        assert_eq!(known.len(), n_asked);
        let fake = Fake {
            fails_at: Some(fails_at),
            ..Fake::default()
        };
        let result = made(&fake, &job(2, 1), Some(log), known);
        n_asked += fake.asked.into_inner().expect("a lock").len();
        match result {
            Ok(rows) => assert_eq!(records(rows), whole),
            Err(error) => {
                assert!(error.to_string().starts_with("question "), "{error}");
                // The one that failed is asked again.
                n_asked -= 1;
            }
        }
    }
    assert_eq!(n_asked, 30, "nothing is asked twice");
}

#[test]
fn places_that_the_run_has_not_are_left_out() {
    let job = job(1, 1);
    let mut known = records(made(&Fake::default(), &job, None, Vec::new()).expect("a run"));
    let (first, whole) = (known[0].clone(), known.clone());
    for (row, question, sample) in [(9, 0, 0), (0, 9, 0), (0, 0, 9), (0, 0, 0)] {
        known.push(Record {
            row,
            question,
            sample,
            ..first.clone()
        });
    }
    let fake = Fake::default();
    let rows = made(&fake, &job, None, known).expect("a run");
    assert_eq!(records(rows), whole);
    assert!(fake.asked.into_inner().expect("a lock").is_empty());
}

fn report(samples: usize) -> Report {
    let job = job(samples, 1);
    let rows = made(&Fake::default(), &job, None, Vec::new()).expect("a run");
    Report::new("a<b>&c", &task(5), &job, &settings(), &rows)
}

#[test]
fn reports_have_the_names_of_the_contract() {
    let report = serde_json::to_value(report(4)).expect("JSON");
    assert_eq!(
        (&report["model"], &report["task"]),
        (&json!("a<b>&c"), &json!("sevens"))
    );
    assert_eq!(
        (&report["questions"], &report["concurrency"]),
        (&json!(5), &json!(1))
    );
    let rows = report["rows"].as_array().expect("rows");
    let [own, little, half] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (&own["effort"], &own["votes"], &own["think_tokens"]),
        (&json!("high"), &json!(1), &Value::Null)
    );
    assert_eq!((&own["n"], &own["answers"]), (&json!(5), &json!(20)));
    assert_eq!(own["ended_by"], json!({"model": 20}));
    assert_eq!(own["thinking_tokens_mean"], json!(40.0));
    assert_eq!(own["completion_tokens_mean"], json!(43.0));
    assert_eq!(
        (&half["think_tokens"], &half["think_share"]),
        (&json!(20), &json!(0.5))
    );
    assert_eq!(half["ended_by"], json!({"budget": 20}));
    assert_eq!(half["accuracy"], own["accuracy"]);
    assert_eq!(
        (&little["empty"], &little["accuracy"]),
        (&json!(20), &json!(0.0))
    );
    assert_eq!(
        (&little["landing"], &little["early_exit"]),
        (&Value::Null, &json!("off"))
    );
    // Some seeds are even and some odd.
    let accuracy = own["accuracy"].as_f64().expect("a number");
    assert!((0.2..0.8).contains(&accuracy), "{accuracy}");
    let [low, high] = [0, 1].map(|i| own["ci95"][i].as_f64().expect("a number"));
    assert!(low < accuracy && accuracy < high);
    for k in ["pass_at_k", "majority_at_k"] {
        let first = own[k]["1"].as_f64().expect("a number");
        assert!((first - accuracy).abs() < 1e-12);
        assert_eq!(own[k].as_object().expect("an object").len(), 3);
    }
    assert!(own["pass_at_k"]["4"].as_f64() > own["pass_at_k"]["1"].as_f64());
    let groups = own["groups"].as_array().expect("groups");
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (&group["task"], &group["n"]))
        .collect();
    assert_eq!(
        groups,
        [(&json!("few"), &json!(2)), (&json!("rest"), &json!(3))]
    );
}

#[test]
fn tables_say_what_differs() {
    let table = crate::table::settings(&report(4));
    let names: Vec<_> = table
        .columns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = "effort budget n accuracy 95_% pass@4 maj@4 thinking_tokens p50 p95 s/answer \
                    thinking_ended_by empty";
    assert_eq!(
        names
            .join(" ")
            .replace("95 %", "95_%")
            .replace("thinking ", "thinking_")
            .replace("ended by", "ended_by"),
        expected
    );
    let column = |i: usize| {
        table
            .rows
            .iter()
            .map(|row| row[i].as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(column(1), ["own", "4", "20 (50 %)"]);
    assert_eq!(column(11), ["model 20", "budget 20", "budget 20"]);
    let markdown = report(1).markdown();
    assert!(
        markdown.starts_with("| effort | budget | n |"),
        "{markdown}"
    );
    assert!(markdown.contains("\n| --- | --: |"), "{markdown}");
    // Of groups and settings, those of which there are more stand below each other.
    let across = "| effort | budget | few (2) | rest (3) |";
    assert!(markdown.contains(across), "{markdown}");
    let mut fewer = report(1);
    fewer.rows.truncate(2);
    let down = fewer.markdown();
    assert!(down.contains("| task | n | high own | high 4 |"), "{down}");
    assert!(markdown.ends_with("5 questions, seed 1; times with one request at a time.\n"));
}

#[test]
fn plots_are_well_formed_and_transparent() {
    let svg = plot(&report(4)).expect("a plot");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("a&lt;b&gt;&amp;c"), "names are escaped");
    assert!(
        !svg.contains("#FFFFFF") && !svg.contains("#000000"),
        "nothing vanishes on either ground"
    );
    assert!(svg.contains("gained by a majority of up to 4"));
    for number in ["NaN", "inf"] {
        assert!(!svg.contains(number));
    }
    let mut empty = report(1);
    empty.rows.clear();
    plot(&empty).expect("an empty plot");
}
