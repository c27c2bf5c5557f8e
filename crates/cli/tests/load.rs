//! `ponder serve` under load: clients that stream, beside others that vanish, stall, and send garbage,
//! bodies without end and long prompts.
//!
//! `PONDER_LOAD_SECONDS` is how long (12 unless said otherwise), `PONDER_LOAD_MODEL` what is served,
//! `PONDER_LOAD_STREAMS` how many read properly (32), and `PONDER_LOAD_ARGS` what else the server is
//! told. What was measured is printed (`--nocapture`).

#![cfg(unix)]

mod support;
#[path = "load/wire.rs"]
mod wire;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

use support::serve::Serve;
use wire::{Stream, ask, is_idle_soon, resident_mb};

/// A gap between two tokens that is no stutter but a stall.
const STALL: Duration = Duration::from_secs(5);

/// What the clients saw.
#[derive(Default)]
struct Log {
    /// Gaps between the texts of a stream, in seconds.
    gaps: Mutex<Vec<f32>>,
    /// What went wrong with a stream that was read properly.
    faults: Mutex<Vec<String>>,
    n_answers: AtomicUsize,
    is_over: AtomicBool,
}

impl Log {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn fault(&self, what: String) {
        self.faults.lock().expect("a lock").push(what);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// Reads one answer to its end, and notes every gap.
fn read(log: &Log, address: SocketAddr, i: usize, round: usize) {
    let effort = ["none", "low", "high"][(i + round) % 3];
    let prompt = format!("What is {} + {}?", 17 + i, 25 + round);
    let answer = Stream::open(address, &ask(&prompt, effort, 40 + 20 * (i % 5)));
    let Ok(mut stream) = answer.map_err(|error| log.fault(format!("no answer: {error}"))) else {
        return;
    };
    let (mut last, mut gaps, mut is_finished) = (None, Vec::new(), false);
    loop {
        match stream.next() {
            Ok(Some(chunk)) => {
                is_finished |= chunk.finish_reason.is_some();
                if chunk.has_text {
                    let now = Instant::now();
                    let before = last.replace(now);
                    gaps.extend(before.map(|before| (now - before).as_secs_f32()));
                }
            }
            Ok(None) => break,
            Err(error) => return log.fault(format!("client {i}, round {round}: {error}")),
        }
    }
    if !is_finished {
        log.fault(format!("client {i}, round {round}: no finish_reason"));
    }
    log.n_answers.fetch_add(1, Ordering::Relaxed);
    log.gaps.lock().expect("a lock").append(&mut gaps);
}

/// Reads a little, and is gone.
fn vanish(address: SocketAddr, round: usize) {
    let prompt = format!("Tell me everything, {round}.");
    if let Ok(mut stream) = Stream::open(address, &ask(&prompt, "high", 400)) {
        for _ in 0..round % 4 {
            let _ = stream.next();
        }
    }
}

/// Reads nothing for a while.
fn stall(log: &Log, address: SocketAddr, round: usize) {
    let prompt = format!("And slowly, {round}.");
    let stream = Stream::open(address, &ask(&prompt, "high", 400));
    let until = Instant::now() + Duration::from_secs(3);
    while log.goes_on() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stream);
}

/// Sends what is no request, or none that can be answered. What comes back is no success.
fn send_garbage(log: &Log, address: SocketAddr, round: usize) {
    let body = |body: &str| {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n";
        let kind = "Content-Type: application/json\r\n";
        format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let garbage = [
        "\0\u{1}\u{2} nothing of the kind \r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        body("{\"messages\": ["),
        body("[]"),
        body("{\"messages\": [{\"role\": \"user\", \"content\": 7}]}"),
        body(&format!("{{\"messages\": {}", "[".repeat(100_000))),
        body("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"temperature\": 1e999}"),
        format!(
            "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n",
            "y".repeat(1 << 20)
        ),
    ];
    let Ok(mut socket) = TcpStream::connect(address) else {
        return log.fault("a connection was refused".to_owned());
    };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
    let _ = socket.write_all(garbage[round % garbage.len()].as_bytes());
    let mut answer = [0; 64];
    let n = socket.read(&mut answer).unwrap_or(0);
    let status = String::from_utf8_lossy(&answer[..n]);
    if n > 0 && !status.starts_with("HTTP/1.1 4") && !status.starts_with("HTTP/1.0 4") {
        log.fault(format!("garbage {} got {status}", round % garbage.len()));
    }
}

/// Announces more than anybody would take, and sends it.
fn send_too_much(log: &Log, address: SocketAddr) {
    let Ok(mut socket) = TcpStream::connect(address) else {
        return log.fault("a connection was refused".to_owned());
    };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000000000\r\n\r\n";
    let _ = socket.write_all(head.as_bytes());
    let part = vec![b'['; 1 << 20];
    for _ in 0..64 {
        // The server may have had enough.
        if !log.goes_on() || socket.write_all(&part).is_err() {
            break;
        }
    }
}

/// Sends a prompt that takes many steps.
fn send_long(log: &Log, address: SocketAddr, round: usize) {
    let prompt = format!("{round} {}", "1 + 2 + 3 + ".repeat(20 + round % 20));
    match Stream::open(address, &ask(&prompt, "none", 4)) {
        Ok(mut stream) => while let Ok(Some(_)) = stream.next() {},
        // Too long for the context of a small model.
        Err(error) if error.contains(" 400") => {}
        Err(error) => log.fault(format!("a long prompt: {error}")),
    }
}

fn quantile(sorted: &[f32], share: f64) -> f32 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[test]
fn streams_are_served_whatever_others_do() {
    let seconds = setting("PONDER_LOAD_SECONDS", 12);
    let n_streams = setting("PONDER_LOAD_STREAMS", 32) as usize;
    let model = std::env::var("PONDER_LOAD_MODEL").unwrap_or_else(|_| "default".to_owned());
    let n_sequences = n_streams.to_string();
    let more = std::env::var("PONDER_LOAD_ARGS").unwrap_or_default();
    let mut args = vec!["-m", &model, "--max-sequences", &n_sequences];
    args.extend(more.split_whitespace());
    let server = Serve::start(&args);
    let (address, log) = (server.address, Log::default());
    let (mut memory, mut n_unsettled) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let log = &log;
        let spawn = |run: &'static (dyn Fn(&Log, SocketAddr, usize, usize) + Sync), i, pause| {
            scope.spawn(move || {
                for round in 0.. {
                    if !log.goes_on() {
                        return;
                    }
                    run(log, address, i, round);
                    std::thread::sleep(Duration::from_millis(pause));
                }
            });
        };
        (0..n_streams).for_each(|i| spawn(&read, i, 0));
        (0..2).for_each(|i| spawn(&|_, address, _, round| vanish(address, round), i, 20));
        (0..2).for_each(|i| spawn(&|log, address, _, round| stall(log, address, round), i, 20));
        spawn(
            &|log, address, _, round| send_garbage(log, address, round),
            0,
            50,
        );
        spawn(&|log, address, _, _| send_too_much(log, address), 0, 500);
        spawn(
            &|log, address, _, round| send_long(log, address, round),
            0,
            200,
        );
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(1000 * seconds / 20));
            memory.push(resident_mb(&server));
            if memory.len() == 5 {
                n_unsettled = log.gaps.lock().expect("a lock").len();
            }
        }
        log.is_over.store(true, Ordering::Relaxed);
    });
    let faults = log.faults.into_inner().expect("a lock");
    let mut gaps = log.gaps.into_inner().expect("a lock");
    let settled = gaps[n_unsettled..].iter().copied().fold(0.0, f32::max) * 1000.0;
    gaps.sort_by(f32::total_cmp);
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| 1000.0 * quantile(&gaps, share));
    let n_long = gaps.len() - gaps.partition_point(|&gap| 1000.0 * gap <= 5.0 * p50);
    println!(
        "{} answers, {} gaps: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms ({settled:.2} ms after the first quarter), {n_long} beyond five medians; resident {memory:?} MB",
        log.n_answers.load(Ordering::Relaxed),
        gaps.len(),
    );
    assert!(
        faults.is_empty(),
        "{} faults: {:?}",
        faults.len(),
        &faults[..faults.len().min(10)]
    );
    assert!(
        max < 1000.0 * STALL.as_secs_f32(),
        "a stream stood still for {max} ms"
    );
    // What grows with time grows without end; the first quarter fills caches.
    let (settled, last) = (memory[5], memory[19]);
    assert!(last < settled * 1.15 + 32.0, "memory grew: {memory:?} MB");
    assert!(is_idle_soon(&server), "all who were gone were noticed");
}
