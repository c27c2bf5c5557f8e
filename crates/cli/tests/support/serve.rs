//! `ponder serve` as a process, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::ponder;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server on a free port, which is killed when the test is done with it.
pub(crate) struct Serve {
    pub(crate) process: Child,
    /// What it printed when it was ready.
    pub(crate) ready: String,
    pub(crate) address: SocketAddr,
}

impl Serve {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::run(Self::command().args(args))
    }

    /// What starts a server, for tests that add to it.
    pub(crate) fn command() -> Command {
        ponder(&["serve", "--port", "0"])
    }

    /// Starts it and waits until it says where it is.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("ponder starts");
        let out = process.stdout.take().expect("standard output is a pipe");
        let mut ready = String::new();
        BufReader::new(out).read_line(&mut ready).expect("a line");
        let (_, rest) = ready.split_once("http://").expect("a URL");
        let end = rest.find([' ', '"']).expect("an end");
        let address = rest[..end].parse().expect("an address");
        Self {
            process,
            ready,
            address,
        }
    }

    /// Sends a request and leaves the answer to be read. `line` is its first line, less the version.
    pub(crate) fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let patience = stream.set_read_timeout(Some(PATIENCE));
        patience.expect("a timeout");
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n{body}",
            headers.collect::<String>(),
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("bytes go out");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> String {
        read(self.send(&format!("GET {path}"), &[], ""))
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // SIGKILL: nothing is finished, nothing is tidied up.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The whole answer, head and body.
pub(crate) fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}
