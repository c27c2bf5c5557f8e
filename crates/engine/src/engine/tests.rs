//! Times, on the model in the program with steps that take as long as they are told to.

use std::sync::Mutex;
use std::time::Duration;

use ponder_runtime::{
    cache::{Cache, Opened, SeqId},
    decoder::{DecoderError, Model, Step},
    spec::ArchSpec,
};

#[cfg(feature = "cuda-emulated")]
mod on_device;

use super::*;
use crate::{Effort, Message as ChatMessage, Summary};

/// What a step takes longer with many rows, and with one.
const PREFILL: Duration = Duration::from_millis(60);
const DECODE: Duration = Duration::from_millis(15);

/// When each step of a model began and ended.
type Log = Arc<Mutex<Vec<[Instant; 2]>>>;

/// A model that takes its time.
struct Slow {
    inner: Box<dyn Model>,
    log: Log,
}

impl Model for Slow {
    fn spec(&self) -> &ArchSpec {
        self.inner.spec()
    }

    fn cache(&self) -> &Cache {
        self.inner.cache()
    }

    fn prefill_rows(&self) -> usize {
        self.inner.prefill_rows()
    }

    fn open(&mut self, prompt: &[u32], planned_len: usize) -> Result<Opened, DecoderError> {
        self.inner.open(prompt, planned_len)
    }

    fn start(&mut self, planned_len: usize) -> Result<SeqId, DecoderError> {
        self.inner.start(planned_len)
    }

    fn fork(&mut self, sequence: SeqId) -> Result<SeqId, DecoderError> {
        self.inner.fork(sequence)
    }

    fn save(&mut self, sequence: SeqId) -> Result<bool, DecoderError> {
        self.inner.save(sequence)
    }

    fn truncate(&mut self, sequence: SeqId, len: usize) -> Result<usize, DecoderError> {
        self.inner.truncate(sequence, len)
    }

    fn free(&mut self, sequence: SeqId) -> Result<(), DecoderError> {
        self.inner.free(sequence)
    }

    fn hidden(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        self.inner.hidden(steps)
    }

    fn forward(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        let began = Instant::now();
        let n_rows: usize = steps.iter().map(|step| step.tokens.len()).sum();
        std::thread::sleep(if n_rows > 1 { PREFILL } else { DECODE });
        let logits = self.inner.forward(steps);
        let mut log = self.log.lock().expect("a lock");
        log.push([began, Instant::now()]);
        logits
    }
}

fn slow(max_sequences: usize) -> (Engine, Log) {
    let options = LoadOptions {
        max_sequences,
        prompt_lookup: false,
        ..LoadOptions::default()
    };
    let mut loaded = load::load("default", &options, &mut |_| {}).expect("the model");
    let log = Log::default();
    loaded.model = Box::new(Slow {
        inner: loaded.model,
        log: Arc::clone(&log),
    });
    (Engine::start(loaded, &options), log)
}

fn request(max_tokens: usize) -> Request {
    Request {
        messages: vec![ChatMessage::new("user", "What is 17 + 25?")],
        prefix_cache: Some(false),
        // The words that close a thought are certain, and take no steps of their own.
        effort: Some(Effort::None),
        ignore_eos: true,
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

fn read(mut answer: Generation) -> Summary {
    let end = answer.find_map(|event| match event.expect("an event") {
        Event::Done(summary) => Some(summary),
        _ => None,
    });
    end.expect("an end")
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Figures and what they should be; within a percent or a millisecond.
fn agree(pairs: &[[f64; 2]]) -> bool {
    let near = |[found, truth]: &[f64; 2]| (found - truth).abs() < (0.01 * truth).max(0.001);
    pairs.iter().all(near)
}

/// Tries again where the machine put a thread aside at the wrong moment.
#[track_caller]
fn in_one_of_five(measure: impl Fn() -> Vec<[f64; 2]>) {
    let tries: Vec<_> = (0..5)
        .map(|_| measure())
        .take_while(|pairs| !agree(pairs))
        .collect();
    assert!(tries.len() < 5, "found, expected: {tries:?}");
}

#[test]
fn times_are_those_of_the_steps() {
    let (engine, log) = slow(1);
    in_one_of_five(|| {
        log.lock().expect("a lock").clear();
        let asked = Instant::now();
        let summary = read(engine.generate(request(6)).expect("a request"));
        let log = log.lock().expect("a lock");
        let (first, last) = (log[0], log[log.len() - 1]);
        assert_eq!((log.len(), summary.usage.completion_tokens), (6, 6));
        let (times, parts) = (summary.timings, summary.timings.first_token);
        assert!(times.ttft_s > PREFILL.as_secs_f64() && 5.0 / times.decode_tps > 0.075);
        vec![
            [times.ttft_s, seconds(asked, first[1])],
            [parts.tokenize_s + parts.queue_s, seconds(asked, first[0])],
            [parts.prefill_s, seconds(first[0], first[1])],
            [1.0 / times.decode_tps, seconds(first[1], last[1]) / 5.0],
        ]
    });
}

#[test]
fn waiting_for_a_place_is_queueing() {
    let (engine, log) = slow(1);
    in_one_of_five(|| {
        log.lock().expect("a lock").clear();
        let first = engine.generate(request(4)).expect("a request");
        let second = engine.generate(request(2)).expect("a request");
        let asked = Instant::now();
        read(first);
        let summary = read(second);
        let log = log.lock().expect("a lock");
        assert_eq!(log.len(), 6, "one after the other");
        vec![[
            summary.timings.first_token.queue_s,
            seconds(asked, log[4][0]),
        ]]
    });
}

#[test]
fn a_model_without_its_device_takes_the_machines_memory_alone() {
    let options = LoadOptions::default();
    let mut loaded = load::load("default", &options, &mut |_| {}).expect("the model");
    loaded.info.places = vec![MemoryPlace::Cuda(1)];
    loaded.info.device = Some("cuda:1".to_owned());
    let engine = Engine::start(loaded, &options);
    assert_eq!(engine.places(), [MemoryPlace::Cuda(1)]);
    assert_eq!(engine.runs_on(), "cuda:1");
    engine.gauges.lose_device();
    assert_eq!(engine.places(), [MemoryPlace::Machine]);
    assert_eq!(engine.runs_on(), "cpu");
}
