//! A server on the loopback that answers by a script.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::*;
use crate::Plan;
use crate::measure::{Measured, measure};
use crate::sample::{Figures, Outcome};

/// What a server does after the headers of a streamed answer.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// A chunk with this delta.
    Delta(&'static str),
    /// Data as they are.
    Data(String),
    /// The end of the connection, whatever was promised.
    Die,
}

use Step::{Data, Delta, Die, Wait};

#[derive(Clone)]
struct Server {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
    /// When each request was read, and each piece of text written.
    times: Arc<Mutex<Vec<Vec<Instant>>>>,
}

fn connect(url: &str) -> Result<Endpoint, BenchError> {
    Endpoint::connect(&at(url), 7, &Stop::default())
}

/// A server that says nothing for a second has failed.
fn at(url: &str) -> http::Server {
    http::Server {
        url: url.to_owned(),
        model: None,
        key: None,
        silence: Duration::from_secs(1),
    }
}

/// Starts a server; with `is_strict` it refuses fields that OpenAI does not know.
fn serve(script: Vec<Step>, is_strict: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let times = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&times);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, seen) = (script.clone(), Arc::clone(&seen));
            let written = Arc::clone(&written);
            thread::spawn(move || {
                let _ = connection(stream, &script, is_strict, &seen, &written);
            });
        }
    });
    Server { url, bodies, times }
}

fn connection(
    stream: TcpStream,
    script: &[Step],
    is_strict: bool,
    seen: &Mutex<Vec<Value>>,
    written: &Mutex<Vec<Vec<Instant>>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        input.read_line(&mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            input.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        if line.starts_with("GET /v1/models") {
            whole(&mut out, "200 OK", "{\"data\":[{\"id\":\"tiny\"}]}")?;
            continue;
        }
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        seen.lock().expect("a lock").push(body.clone());
        if is_strict && body.get("ignore_eos").is_some() {
            let error = "{\"error\":{\"message\":\"unknown field ignore_eos\"}}";
            whole(&mut out, "400 Bad Request", error)?;
        } else if body["stream"] == true {
            let text = body["messages"][0]["content"].as_str().unwrap_or_default();
            let mut times = vec![Instant::now()];
            let lives = stream_answer(&mut out, script, 10 + text.split(' ').count(), &mut times);
            written.lock().expect("a lock").push(times);
            if !lives? {
                return Ok(());
            }
        } else {
            // Ten tokens of template, and one for each word.
            let text = body["messages"][0]["content"].as_str().unwrap_or_default();
            let n = 10 + text.split(' ').count();
            let answer = format!(
                "{{\"choices\":[{{\"message\":{{}}}}],\"usage\":{{\"prompt_tokens\":{n},\"completion_tokens\":1}}}}"
            );
            whole(&mut out, "200 OK", &answer)?;
        }
    }
}

fn whole(out: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.write_all((head + body).as_bytes())
}

/// Returns whether the connection lives on.
fn stream_answer(
    out: &mut TcpStream,
    script: &[Step],
    n: usize,
    times: &mut Vec<Instant>,
) -> std::io::Result<bool> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let mut send = |data: &str| {
        let event = format!("data: {data}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        out.write_all(chunk.as_bytes())
    };
    for step in script {
        match step {
            Wait(ms) => thread::sleep(Duration::from_millis(*ms)),
            Delta(delta) => {
                if delta.contains(":\"") && !delta.contains("\"\"") && !delta.contains("role") {
                    times.push(Instant::now());
                }
                send(&format!("{{\"choices\":[{{\"delta\":{delta}}}]}}"))?;
            }
            Data(data) => send(&data.replace("PROMPT", &n.to_string()))?,
            Die => return Ok(false),
        }
    }
    send("[DONE]")?;
    out.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

/// The last chunks of a server that counts.
fn end(completion_tokens: usize) -> Vec<Step> {
    vec![
        Data("{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}".to_owned()),
        Data(format!(
            "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":PROMPT,\"completion_tokens\":{completion_tokens}}}}}"
        )),
    ]
}

fn run(server: &Server, runs: usize) -> Measured {
    let endpoint = connect(&server.url).expect("a server");
    assert_eq!(endpoint.model(), "tiny");
    let case = Case {
        prompt_tokens: 64,
        depth: 0,
        concurrency: 1,
        effort: Some(Effort::Low),
    };
    let plan = Plan {
        gen_tokens: 4,
        runs,
        warmup: 1,
        prefix_cache: false,
        rate: None,
        seed: 7,
    };
    measure(
        &endpoint,
        &case,
        &plan,
        endpoint.round_trip_s(),
        &mut |_| {},
    )
    .expect("measured")
}

fn figures(measured: &Measured) -> Vec<&Figures> {
    measured
        .samples
        .iter()
        .filter_map(|sample| sample.figures())
        .collect()
}

/// A figure and what it should be, by the server's account: milliseconds from one of its times to
/// another, times a factor.
type Check = (fn(&Figures) -> Option<f64>, [usize; 2], f64);

/// Within a percent or a millisecond, in the run that was disturbed least.
#[track_caller]
fn agree(server: &Server, measured: &Measured, (of, [from, to], factor): Check) {
    let times = server.times.lock().expect("a lock");
    // The first answer warms up.
    let truth = times[1..].iter().map(|times| {
        let span = times[to].duration_since(times[from]);
        1000.0 * factor * span.as_secs_f64()
    });
    let found = figures(measured)
        .into_iter()
        .map(|figures| of(figures).expect("a figure"));
    let pairs: Vec<(f64, f64)> = found.zip(truth).collect();
    let is_near = |&(found, truth): &(f64, f64)| (found - truth).abs() < (0.01 * truth).max(1.0);
    assert!(pairs.iter().any(is_near), "{pairs:?}");
}

#[test]
fn roles_and_empty_chunks_are_no_tokens_and_both_names_are_reasoning() {
    for reasoning in ["{\"reasoning_content\":\"a\"}", "{\"reasoning\":\"a\"}"] {
        let mut script = vec![
            Delta("{\"role\":\"assistant\"}"),
            Delta("{\"role\":\"assistant\",\"content\":\"\"}"),
            Wait(60),
            Delta(reasoning),
            Wait(20),
            Delta("{\"content\":\"\"}"),
            Delta(reasoning),
            Wait(20),
            Delta("{\"content\":\"b\"}"),
            Wait(20),
            Delta("{\"content\":\"c\"}"),
        ];
        script.extend(end(4));
        let server = serve(script, false);
        let measured = run(&server, 10);
        let all = figures(&measured);
        assert_eq!(all.len(), 10);
        agree(&server, &measured, (|f| Some(f.ttft_ms), [0, 1], 1.0));
        agree(&server, &measured, (|f| f.ttfo_ms, [0, 3], 1.0));
        agree(&server, &measured, (|f| f.tpot_ms, [1, 4], 1.0 / 3.0));
        agree(&server, &measured, (|f| Some(f.latency_ms), [0, 4], 1.0));
        agree(
            &server,
            &measured,
            (|f| f.itl_ms.get(1).copied(), [2, 3], 1.0),
        );
        assert!(all.iter().all(|f| f.itl_ms.len() == 3));
        assert!(
            all.iter().all(|f| f.prompt_tokens == 64),
            "calibrated by the server's counts"
        );
        let bodies = server.bodies.lock().expect("a lock");
        let last = bodies.last().expect("a request");
        assert_eq!(
            (&last["max_tokens"], &last["ignore_eos"]),
            (&json!(4), &json!(true))
        );
        assert_eq!(
            (&last["reasoning_effort"], &last["model"]),
            (&json!("low"), &json!("tiny"))
        );
        assert_eq!(last["cache_prompt"], json!(false));
    }
}

#[test]
fn several_tokens_in_a_chunk_are_counted_by_the_usage() {
    let mut script = Vec::new();
    for _ in 0..6 {
        script.extend([Wait(24), Delta("{\"content\":\"a b c d\"}")]);
    }
    script.extend(end(24));
    let server = serve(script, false);
    let measured = run(&server, 10);
    // Five gaps between the six pieces, of four tokens each.
    agree(&server, &measured, (|f| f.tpot_ms, [1, 6], 1.0 / 20.0));
}

#[test]
fn a_server_that_dies_or_fails_in_the_middle_is_no_figure() {
    let piece = Delta("{\"content\":\"a\"}");
    let error = Data("{\"error\":{\"message\":\"out of memory\"}}".to_owned());
    let broken = Data("{\"choices\"".to_owned());
    for (script, expected) in [
        (vec![piece.clone(), Die], ""),
        (vec![piece.clone(), error], "out of memory"),
        (vec![piece.clone(), broken], "a chunk is no JSON"),
        (end(4), "the answer has no text"),
    ] {
        let measured = run(&serve(script, false), 2);
        assert!(figures(&measured).is_empty());
        assert_eq!(measured.samples.len(), 2);
        for sample in &measured.samples {
            let Outcome::Failed { error } = &sample.outcome else {
                panic!("{sample:?}");
            };
            assert!(error.contains(expected) && !error.is_empty(), "{error}");
        }
    }
}

#[test]
fn an_answer_without_an_end_has_failed_though_the_connection_ended_well() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let n = stream.read(&mut request).unwrap_or(0);
            let is_list = request[..n].starts_with(b"GET");
            let body = match is_list {
                true => "{\"data\":[{\"id\":\"tiny\"}]}",
                false => "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
            };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(body.as_bytes());
        }
    });
    let endpoint = connect(&url).expect("a server");
    let error = endpoint.ask(&hello()).expect_err("no end");
    assert_eq!(error, "the answer ended in the middle");
}

fn hello() -> Ask {
    Ask {
        text: "hello".to_owned(),
        max_tokens: 4,
        effort: None,
        uses_prefix_cache: false,
    }
}

/// Starts a server that answers everything in the same way, and then says nothing more for so long.
fn say(address: &str, answer: &'static str, silence: Duration) -> String {
    let listener = TcpListener::bind(address).expect("a port");
    let url = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
                thread::sleep(silence);
            });
        }
    });
    url
}

#[test]
fn what_speaks_no_such_language_is_told_from_what_does() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>a page";
    let url = say("127.0.0.1:0", page, Duration::ZERO);
    let error = connect(&url).expect_err("no list").to_string();
    assert!(
        error.contains("its list of models is no JSON: <html>a page"),
        "{error}"
    );
    let named = http::Server {
        model: Some("tiny".to_owned()),
        ..at(&url)
    };
    let endpoint = Endpoint::connect(&named, 7, &Stop::default()).expect("a server");
    let error = endpoint.ask(&hello()).expect_err("a page");
    assert!(
        error.contains("no stream of events: <html>a page"),
        "{error}"
    );
    let error = endpoint
        .count("hello".to_owned(), None)
        .expect_err("a page");
    assert!(error.contains("no JSON: <html>"), "{error}");
    let missing = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n<html>not here";
    let error = connect(&say("127.0.0.1:0", missing, Duration::ZERO));
    let error = error.expect_err("nothing there").to_string();
    assert!(error.contains("404 Not Found: <html>not here"), "{error}");
}

#[test]
fn a_server_that_never_answers_has_failed() {
    let url = say("127.0.0.1:0", "", Duration::from_secs(60));
    let began = Instant::now();
    let error = connect(&url).expect_err("silence").to_string();
    assert!(error.contains("said nothing for too long"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    // And one that does not end what it has begun.
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
    let url = say("127.0.0.1:0", begun, Duration::from_secs(60));
    let error = connect(&url).expect_err("silence").to_string();
    assert!(error.contains("said nothing for too long"), "{error}");
}

#[test]
fn what_is_asked_ends_when_the_measurement_does() {
    let patient = http::Server {
        silence: Duration::from_secs(600),
        ..at(&say("127.0.0.1:0", "", Duration::from_secs(60)))
    };
    let stop = Stop::default();
    let stopper = stop.clone();
    let stops = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        stopper.stop();
    });
    let began = Instant::now();
    let error = Endpoint::connect(&patient, 7, &stop).expect_err("stopped");
    assert!(error.to_string().contains("it was stopped"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    stops.join().expect("a thread");
}

#[test]
fn an_answer_is_whole_though_its_connection_stays_open() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let url = say("127.0.0.1:0", answer, Duration::from_secs(60));
    let named = http::Server {
        model: Some("tiny".to_owned()),
        silence: Duration::from_secs(60),
        ..at(&url)
    };
    let endpoint = Endpoint::connect(&named, 7, &Stop::default()).expect("a server");
    let began = Instant::now();
    let answered = endpoint.ask(&hello()).expect("an answer");
    assert_eq!(answered.arrivals.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn servers_may_have_addresses_of_the_sixth_version() {
    if TcpListener::bind("[::1]:0").is_err() {
        // The system has none.
        return;
    }
    let list = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[{\"id\":\"six\"}]}";
    let url = say("[::1]:0", list, Duration::ZERO);
    let endpoint = connect(&url).expect("a server");
    assert_eq!(endpoint.model(), "six");
    assert!(endpoint.url().starts_with("http://[::1]:"));
}

#[test]
fn fields_that_a_server_refuses_are_left_out() {
    let mut script = vec![Delta("{\"content\":\"a\"}")];
    script.extend(end(1));
    let server = serve(script, true);
    assert_eq!(figures(&run(&server, 2)).len(), 2);
    let bodies = server.bodies.lock().expect("a lock");
    let refused = bodies
        .iter()
        .filter(|body| body.get("ignore_eos").is_some());
    assert_eq!(refused.count(), 1, "it is asked once");
}

#[test]
fn a_refusal_for_another_reason_changes_nothing() {
    let refusal = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n{\"error\":\"too long\"}";
    let named = http::Server {
        model: Some("tiny".to_owned()),
        ..at(&say("127.0.0.1:0", refusal, Duration::ZERO))
    };
    let endpoint = Endpoint::connect(&named, 7, &Stop::default()).expect("a server");
    let error = endpoint.ask(&hello()).expect_err("too long");
    assert_eq!(error, "400 Bad Request: too long");
    assert!(!endpoint.is_strict.load(Ordering::Relaxed));
}

#[test]
fn addresses_may_be_written_in_several_ways() {
    for typed in [
        "http://h:8080",
        "h:8080",
        "http://h:8080/",
        "http://h:8080/v1",
        "http://h:8080/v1/chat/completions",
    ] {
        assert_eq!(
            http::base_of(typed).expect(typed).as_str(),
            "http://h:8080/v1"
        );
    }
    let other = http::base_of("https://u:p@h/a/b/?x=1#y").expect("an address");
    assert_eq!(other.as_str(), "https://u:p@h/a/b");
    for wrong in [
        "",
        "http://",
        "ftp://h",
        "file:///x",
        "::1",
        "http://h:99999",
    ] {
        let error = http::base_of(wrong).expect_err(wrong).to_string();
        assert!(error.contains("hint: write it as"), "{error}");
    }
    let secret = connect("http://someone:secret@127.0.0.1:1").expect_err("nobody");
    assert!(!secret.to_string().contains("secret"), "{secret}");
    let error = connect("http://127.0.0.1:1");
    let error = error.expect_err("nobody listens").to_string();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("hint: start"),
        "{error}"
    );
}
