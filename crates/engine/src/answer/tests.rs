//! Times of an answer that is made by hand, with pauses of known length.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ponder_tokenizer::chat::Message;

use super::*;
use crate::{
    DeviceFacts, DeviceMeter, Request, load, occupancy::Gauges, outlet, sampling::SamplingDefaults,
    worker::Worker,
};

const PAUSE: Duration = Duration::from_millis(30);

/// How late a thread may be that the machine has put aside.
const LATE: f64 = 0.005;

/// A device that has worked a second more whenever it is asked.
#[derive(Debug, Default)]
struct Busy(AtomicUsize);

impl DeviceMeter for Busy {
    fn facts(&self) -> DeviceFacts {
        unreachable!("nobody asks")
    }

    fn busy_s(&self) -> f64 {
        self.0.fetch_add(1, Ordering::Relaxed) as f64
    }

    fn allocated_bytes(&self) -> u64 {
        0
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < LATE, "{found} s, not {expected}");
}

#[test]
fn the_parts_of_the_first_token_are_what_happened() {
    let checkpoint = load::Place::Embedded.open().expect("the embedded model");
    let tokenizer = load::tokenizer(&checkpoint).expect("its tokenizer");
    let vocab_size = tokenizer.vocab_size();
    let text = load::TextParts::new(tokenizer, SamplingDefaults::default(), vocab_size);
    let text = Arc::new(text.expect("its template"));
    let request = Request {
        messages: vec![Message::new("user", "1 + 1?")],
        ignore_eos: true,
        max_tokens: Some(4),
        ..Request::default()
    };
    text.tables();
    let asked = Instant::now();
    let prepared = text.prepare(request, 512).expect("a prompt");
    let (outlet, inlet) = outlet::channel(&Worker::start(|_| ()));
    std::thread::sleep(PAUSE);
    let tokenized = asked.elapsed();
    let gauges = Gauges::new(Some(Arc::<Busy>::default()));
    let ticket = gauges.enter(1, 1).expect("room").remove(0);
    let ends = (outlet, ticket);
    let mut answer = Answer::new(&text, &prepared, ends, asked, 0.0);
    std::thread::sleep(2 * PAUSE);
    let waited = asked.elapsed();
    answer.prompt_progress(0, 0);
    std::thread::sleep(3 * PAUSE);
    answer.prompt_progress(prepared.prompt.len(), 0);
    let mut drawn = Vec::new();
    let end = loop {
        // A token that ends the turn is the likeliest, and does not come.
        let mut logits = vec![0.0; vocab_size];
        logits[text.stop_tokens[0] as usize] = 50.0;
        drawn.push(asked.elapsed());
        if let Some(end) = answer.draw(&mut logits).expect("a token").end {
            break end;
        }
        std::thread::sleep(PAUSE);
    };
    assert_eq!(end, FinishReason::Length);
    answer.finish(Ok(end));
    let summary = std::iter::from_fn(|| inlet.recv()).find_map(|event| match event {
        Ok(Event::Done(summary)) => Some(summary),
        _ => None,
    });
    let summary = summary.expect("an end");
    let times = summary.timings;
    let parts = times.first_token;
    assert_eq!(summary.usage.completion_tokens, 4);
    near(parts.tokenize_s, tokenized.as_secs_f64());
    near(parts.queue_s, (waited - tokenized).as_secs_f64());
    near(parts.prefill_s, (drawn[0] - waited).as_secs_f64());
    near(parts.detokenize_s, 0.0);
    let sum = parts.tokenize_s + parts.queue_s + parts.prefill_s + parts.sample_s;
    assert!((times.ttft_s - sum).abs() < 1e-6, "{times:?}");
    let device = times.device.expect("a device");
    assert_eq!(device.prefill_s, 1.0);
    assert_eq!(device.tpot_s, 1.0 / 3.0, "three tokens after the first");
    near(3.0 / times.decode_tps, (drawn[3] - drawn[0]).as_secs_f64());
}
