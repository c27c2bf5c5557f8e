//! What a server is seen to do, and clients that are as patient or rude as a test wants them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::serve::Serve;

/// Memory that the server has, in MB; 0 where the system does not tell.
pub(crate) fn resident_mb(server: &Serve) -> f64 {
    let path = format!("/proc/{}/status", server.process.id());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

/// Whether nothing runs or waits any more, within some seconds.
pub(crate) fn is_idle_soon(server: &Serve) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let metrics = server.get("/metrics");
        let gauges = metrics.lines().filter(|line| {
            line.starts_with("ponder_answers_running") || line.starts_with("ponder_answers_waiting")
        });
        let values: Vec<_> = gauges
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        if values == ["0", "0"] {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

/// The body of a request that streams.
pub(crate) fn ask(prompt: &str, effort: &str, max_tokens: usize) -> Value {
    json!({
        "messages": [{"role": "user", "content": prompt}],
        "reasoning_effort": effort,
        "max_completion_tokens": max_tokens,
        "temperature": 1.0,
        "stream": true,
    })
}

/// What a chunk of a stream says.
pub(crate) struct Chunk {
    pub(crate) has_text: bool,
    pub(crate) finish_reason: Option<String>,
}

/// An answer that is read as it comes.
pub(crate) struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    /// Asks, and reads as far as the answer's headers.
    pub(crate) fn open(address: SocketAddr, body: &Value) -> Result<Self, String> {
        let body = body.to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        let timeout = socket.set_read_timeout(Some(Duration::from_secs(60)));
        timeout.map_err(|error| error.to_string())?;
        let sent = socket.write_all(request.as_bytes());
        sent.map_err(|error| error.to_string())?;
        let mut stream = Self {
            lines: BufReader::new(socket),
        };
        let status = stream.line()?;
        while !stream.line()?.trim().is_empty() {}
        match status.contains(" 200 ") {
            true => Ok(stream),
            false => Err(status),
        }
    }

    /// The next chunk; `None` behind the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>, String> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Err("the stream ended without [DONE]".to_owned());
            }
            // What is between are the lengths of the transfer encoding, and comments.
            let Some(data) = line.strip_prefix("data:") else {
                continue;
            };
            if data.trim() == "[DONE]" {
                return Ok(None);
            }
            let chunk: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
            if !chunk["error"].is_null() {
                return Err(chunk["error"].to_string());
            }
            let choice = &chunk["choices"][0];
            let delta = &choice["delta"];
            let texts = [&delta["content"], &delta["reasoning_content"]];
            return Ok(Some(Chunk {
                has_text: texts
                    .iter()
                    .any(|text| text.as_str().is_some_and(|text| !text.is_empty())),
                finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
            }));
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        read.map_err(|error| error.to_string())?;
        Ok(line)
    }
}
