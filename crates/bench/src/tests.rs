//! Measurements of something that says when it said what; [`engine`] has those of a model.

mod engine;

use std::sync::Mutex;
use std::time::Duration;

use ponder_engine::{DeviceTimes, FirstToken, Timings};

use crate::measure::{Measured, measure};
use crate::prompt::Prompt;
use crate::sample::{Figures, Outcome};
use crate::stats::Spread;
use crate::stop::Stop;
use crate::target::{Answered, Arrival, Ask, Target};
use crate::{BenchError, Case, Plan};

/// The time before the first piece, one after the other, and between pieces; so many are thinking.
#[derive(Default)]
struct Fake {
    first_ms: Mutex<Vec<u32>>,
    gap_ms: u32,
    thoughts: usize,
    pieces: usize,
    tokens_per_piece: usize,
    cached: Option<usize>,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    /// Whether it waits as long as it says.
    takes_time: bool,
    /// The request that stops the measurement.
    stops_at: Option<usize>,
    stop: Stop,
    asked: Mutex<Vec<Ask>>,
}

impl Target for Fake {
    fn prompt(&self, case: &Case, slot: usize, number: u64) -> Result<Prompt, BenchError> {
        let prefix = match case.depth {
            0 => String::new(),
            depth => format!("prefix of {depth} in {slot}"),
        };
        let text = format!("{prefix} prompt {number}");
        Ok(Prompt { prefix, text })
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    fn ask(&self, ask: &Ask) -> Result<Answered, String> {
        let n = {
            let mut asked = self.asked.lock().expect("a lock");
            asked.push(ask.clone());
            asked.len()
        };
        if self.stops_at == Some(n) {
            self.stop.stop();
        }
        let first_ms = {
            let mut first_ms = self.first_ms.lock().expect("a lock");
            if first_ms.len() > 1 {
                first_ms.remove(0)
            } else {
                first_ms[0]
            }
        };
        assert!(self.panics_at != Some(n), "a mistake in whoever asks");
        if self.fails_at == Some(n) {
            return Err("the connection was reset".to_owned());
        }
        let mut answered = Answered {
            prompt_tokens: 100,
            cached_tokens: self.cached,
            completion_tokens: self.pieces * self.tokens_per_piece,
            ..Answered::default()
        };
        let mut at_ms = 0;
        for piece in 0..self.pieces {
            at_ms += if piece == 0 { first_ms } else { self.gap_ms };
            answered.arrivals.push(Arrival {
                at_s: f64::from(at_ms) / 1000.0,
                is_output: piece >= self.thoughts,
            });
        }
        answered.latency_s = f64::from(at_ms) / 1000.0;
        if self.takes_time {
            std::thread::sleep(Duration::from_millis(at_ms.into()));
        }
        Ok(answered)
    }
}

fn case() -> Case {
    Case {
        prompt_tokens: 100,
        depth: 0,
        concurrency: 1,
        effort: None,
    }
}

fn plan(runs: usize) -> Plan {
    Plan {
        gen_tokens: 8,
        runs,
        warmup: 1,
        prefix_cache: false,
        rate: None,
        seed: 1,
    }
}

fn run(fake: &Fake, case: &Case, plan: &Plan) -> Measured {
    measure(fake, case, plan, 0.0, &mut |_| {}).expect("measured")
}

fn figures(measured: &Measured) -> Vec<&Figures> {
    measured
        .samples
        .iter()
        .filter_map(|sample| sample.figures())
        .collect()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6 * expected,
        "{found}, not {expected}"
    );
}

#[test]
fn figures_are_what_was_scripted() {
    let fake = Fake {
        first_ms: Mutex::new(vec![50]),
        gap_ms: 10,
        thoughts: 3,
        pieces: 8,
        tokens_per_piece: 1,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(3));
    let all = figures(&measured);
    assert_eq!(all.len(), 3, "what warms up does not count");
    let median = |of: fn(&Figures) -> f64| {
        let values: Vec<f64> = all.iter().map(|figures| of(figures)).collect();
        Spread::of(&values).expect("values").p50
    };
    near(median(|f| f.ttft_ms), 50.0);
    near(median(|f| f.ttfo_ms.expect("an answer")), 80.0);
    near(median(|f| f.tpot_ms.expect("gaps")), 10.0);
    near(median(|f| f.latency_ms), 120.0);
    near(median(|f| f.prefill_tps.expect("a speed")), 100.0 / 0.05);
    for figures in all {
        assert_eq!(figures.itl_ms.len(), 7);
        let span: f64 = figures.itl_ms.iter().sum();
        let tpot = figures.tpot_ms.expect("gaps");
        assert!(
            (span / 7.0 - tpot).abs() < 1e-9,
            "the first token is no gap"
        );
        let decode = figures.decode_tps.expect("gaps");
        assert!((decode * tpot - 1000.0).abs() < 1e-6);
    }
}

#[test]
fn percentiles_are_exact() {
    let times: Vec<u32> = [0]
        .into_iter()
        .chain((1..=20).rev().map(|i| 5 * i))
        .collect();
    let fake = Fake {
        first_ms: Mutex::new(times),
        pieces: 1,
        tokens_per_piece: 1,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(20));
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    let spread = Spread::of(&ttft).expect("values");
    near(spread.min, 5.0);
    near(spread.p50, 50.0);
    near(spread.p90, 90.0);
    near(spread.p99, 100.0);
    near(spread.max, 100.0);
    for value in [spread.min, spread.p50, spread.p90, spread.p99, spread.max] {
        assert!(ttft.contains(&value), "a value that occurred");
    }
    assert!(
        figures(&measured).iter().all(|f| f.tpot_ms.is_none()),
        "one token has no gap"
    );
}

#[test]
fn several_tokens_in_a_piece_are_several_tokens() {
    let fake = Fake {
        first_ms: Mutex::new(vec![20]),
        gap_ms: 20,
        pieces: 8,
        tokens_per_piece: 4,
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(1));
    near(figures(&measured)[0].tpot_ms.expect("gaps"), 5.0);
}

#[test]
fn what_fails_is_reported_and_never_averaged_in() {
    let fake = Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 1,
        tokens_per_piece: 1,
        fails_at: Some(3),
        ..Fake::default()
    };
    let measured = run(&fake, &case(), &plan(3));
    assert_eq!(figures(&measured).len(), 2);
    match &measured.samples[1].outcome {
        Outcome::Failed { error } => assert_eq!(error, "the connection was reset"),
        Outcome::Answered(figures) => panic!("{figures:?}"),
    }
}

#[test]
fn a_panic_is_one_failed_request() {
    let fake = Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 1,
        tokens_per_piece: 1,
        panics_at: Some(4),
        ..Fake::default()
    };
    let two = Case {
        concurrency: 2,
        ..case()
    };
    let measured = run(&fake, &two, &plan(3));
    assert_eq!((measured.samples.len(), figures(&measured).len()), (6, 5));
}

#[test]
fn whole_rounds_are_kept_when_it_is_stopped() {
    let fake = |stops_at| Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 1,
        tokens_per_piece: 1,
        stops_at: Some(stops_at),
        ..Fake::default()
    };
    let two = Case {
        concurrency: 2,
        ..case()
    };
    // The first round warms up; the fourth is broken off.
    let stopped = fake(7);
    let measured = run(&stopped, &two, &plan(100));
    assert_eq!(measured.samples.len(), 4);
    assert!(stopped.asked.lock().expect("a lock").len() <= 8);
    assert!(run(&fake(1), &two, &plan(100)).samples.is_empty());
    let by_chance = Plan {
        rate: Some(1e6),
        ..plan(100)
    };
    let measured = run(&fake(7), &case(), &by_chance);
    assert_eq!(measured.samples.len(), 5);
    let waits = Plan {
        rate: Some(0.001),
        ..plan(2)
    };
    let fake = fake(100);
    let stop = fake.stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        stop.stop();
    });
    let began = std::time::Instant::now();
    run(&fake, &case(), &waits);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_nobody_knows_is_no_figure() {
    let fake = Fake {
        first_ms: Mutex::new(vec![5]),
        pieces: 2,
        gap_ms: 1,
        tokens_per_piece: 1,
        cached: None,
        ..Fake::default()
    };
    let deep = Case {
        depth: 64,
        ..case()
    };
    let measured = run(&fake, &deep, &plan(2));
    let all = figures(&measured);
    assert_eq!(all.len(), 2, "a server that does not say so is measured");
    assert!(
        all.iter()
            .all(|f| f.prefill_tps.is_none() && f.tpot_ms.is_some())
    );
    let shallow = run(&fake, &case(), &plan(1));
    assert!(figures(&shallow)[0].prefill_tps.is_some());
}

#[test]
fn prompts_are_unique_and_what_the_cache_holds_is_checked() {
    let fake = |cached| Fake {
        first_ms: Mutex::new(vec![0]),
        pieces: 1,
        tokens_per_piece: 1,
        cached: Some(cached),
        ..Fake::default()
    };
    let two = Case {
        concurrency: 2,
        ..case()
    };
    let cold = fake(0);
    for case in [case(), two] {
        assert_eq!(
            figures(&run(&cold, &case, &plan(2))).len(),
            2 * case.concurrency
        );
    }
    let asked = cold.asked.lock().expect("a lock");
    let texts: std::collections::HashSet<_> = asked.iter().map(|ask| &ask.text).collect();
    assert_eq!((texts.len(), asked.len()), (9, 9), "no prompt comes twice");
    assert!(asked.iter().all(|ask| !ask.uses_prefix_cache));
    // Something was in the cache that should not be.
    assert!(figures(&run(&fake(64), &case(), &plan(2))).is_empty());
    let deep = Case {
        depth: 64,
        ..case()
    };
    let warm = fake(64);
    assert_eq!(figures(&run(&warm, &deep, &plan(2))).len(), 2);
    let asked = warm.asked.lock().expect("a lock");
    assert_eq!(
        (asked[0].text.as_str(), asked[0].max_tokens),
        ("prefix of 64 in 0", 1)
    );
    assert!(asked.iter().all(|ask| ask.uses_prefix_cache));
    assert!(figures(&run(&fake(0), &deep, &plan(2))).is_empty());
    let same = fake(99);
    let repeated = Plan {
        prefix_cache: true,
        ..plan(2)
    };
    assert_eq!(figures(&run(&same, &case(), &repeated)).len(), 2);
    let asked = same.asked.lock().expect("a lock");
    assert!(asked.iter().all(|ask| ask.text == asked[0].text));
}

#[test]
fn requests_side_by_side_begin_together() {
    let fake = Fake {
        first_ms: Mutex::new(vec![40]),
        pieces: 1,
        tokens_per_piece: 2,
        takes_time: true,
        ..Fake::default()
    };
    let four = Case {
        concurrency: 4,
        ..case()
    };
    let measured = run(&fake, &four, &plan(2));
    assert_eq!(figures(&measured).len(), 8);
    // Eight answers of two tokens in twice 40 ms; one after the other they would take four times as
    // long, and a busy machine takes some time of its own.
    let expected = 16.0 / 0.08;
    let found = measured.total_tps.expect("tokens");
    assert!(
        found > expected / 3.0 && found <= expected,
        "{found} of {expected}"
    );
}

#[test]
fn waiting_for_a_turn_counts_when_requests_arrive_by_chance() {
    let fake = Fake {
        first_ms: Mutex::new(vec![20]),
        pieces: 1,
        tokens_per_piece: 1,
        takes_time: true,
        ..Fake::default()
    };
    let often = Plan {
        rate: Some(1000.0),
        ..plan(5)
    };
    let measured = run(&fake, &case(), &often);
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    // All are due at once, and one is answered at a time.
    for (i, found) in ttft.iter().enumerate() {
        let least = 20.0 * (i + 1) as f64 - 12.0;
        assert!(*found > least, "{ttft:?}");
    }
    let seldom = Plan {
        rate: Some(20.0),
        ..plan(3)
    };
    let many = Case {
        concurrency: 8,
        ..case()
    };
    let measured = run(&fake, &many, &seldom);
    let ttft: Vec<f64> = figures(&measured).iter().map(|f| f.ttft_ms).collect();
    assert_eq!(ttft.len(), 3, "as many as the runs, however many ask");
    let fastest = Spread::of(&ttft).expect("values").min;
    assert!((20.0..21.0).contains(&fastest), "{ttft:?}");
}

#[test]
fn the_parts_of_an_engine_add_up() {
    let answered = Answered {
        arrivals: vec![Arrival {
            at_s: 0.1,
            is_output: true,
        }],
        latency_s: 0.5,
        prompt_tokens: 100,
        cached_tokens: Some(60),
        completion_tokens: 5,
        engine: Some(Timings {
            decode_tps: 50.0,
            first_token: FirstToken {
                tokenize_s: 0.01,
                queue_s: 0.005,
                prefill_s: 0.08,
                sample_s: 0.002,
                detokenize_s: 0.001,
            },
            device: Some(DeviceTimes {
                prefill_s: 0.06,
                tpot_s: 0.019,
            }),
            ..Timings::default()
        }),
        ..Answered::default()
    };
    let figures = Figures::of(&answered, 0.03, 0.0).expect("figures");
    let parts = figures.ttft_parts.expect("parts");
    assert!((figures.ttft_ms - 130.0).abs() < 1e-9);
    assert!(
        (parts.queue_ms - 35.0).abs() < 1e-9,
        "being late is waiting"
    );
    assert!((parts.emit_ms - 2.0).abs() < 1e-9, "what is left");
    assert!(
        figures
            .prefill_tps
            .is_some_and(|tps| (tps - 500.0).abs() < 1e-9),
        "40 tokens in 80 ms"
    );
    assert_eq!(figures.tpot_ms, Some(20.0));
    let device = [figures.device_prefill_ms, figures.device_tpot_ms];
    assert_eq!(device, [Some(60.0), Some(19.0)]);
    assert!(
        Figures::of(&Answered::default(), 0.0, 0.0).is_err(),
        "no text at all"
    );
}
