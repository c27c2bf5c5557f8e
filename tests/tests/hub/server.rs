//! A hub and its storage host on two ports of the loopback, with faults on demand.
//!
//! The hub answers the three requests of a download as the real one does: the commit of a
//! revision, the listing of a commit (in pages), and `resolve`, which redirects large files to
//! the storage host. One thread per connection, one request per connection.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Entries of the listing on one page, few enough that every test sees several pages.
const PAGE: usize = 3;

/// What a matching request gets instead of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status, with these header lines.
    Status(u16, &'static str),
    /// The headers, this many bytes of the body, and the end of the connection.
    Cut(usize),
    /// The headers, this many bytes, and then nothing while the client waits.
    Stall(usize),
    /// Every byte of the body inverted.
    Corrupt,
    /// The whole file, whatever range was asked for.
    IgnoreRange,
}

/// A fault for requests whose `METHOD path` contains a text.
struct Trap {
    on: &'static str,
    times: usize,
    fault: Fault,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `hub` or `storage`.
    pub(crate) host: &'static str,
    /// Method and path.
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    /// First byte of the range.
    pub(crate) range: Option<usize>,
}

/// A file of a commit.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    /// The size that the listing announces.
    pub(crate) announced: u64,
    /// Overrides the checksum of the headers.
    pub(crate) etag: Option<String>,
}

#[derive(Default)]
pub(crate) struct State {
    /// `owner/name` → revision or commit → commit.
    pub(crate) revisions: BTreeMap<(String, String), String>,
    /// `owner/name`, commit → files.
    pub(crate) commits: BTreeMap<(String, String), BTreeMap<String, File>>,
    traps: Vec<Trap>,
    seen: Vec<Seen>,
    hub: String,
    storage: String,
}

/// The two servers; they end with the process.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub(crate) fn start() -> Hub {
        let state = Arc::new(Mutex::new(State::default()));
        let endpoint = serve(&state, "hub");
        let storage = serve(&state, "storage");
        {
            let mut state = state.lock().unwrap();
            state.hub.clone_from(&endpoint);
            state.storage = storage;
        }
        Hub { endpoint, state }
    }

    /// A hub with one commit on `main`.
    pub(crate) fn with(repo: &str, files: &[(&str, &[u8])]) -> Hub {
        let hub = Hub::start();
        hub.commit(repo, "main", 'a', files);
        hub
    }

    /// Adds a commit, forty times `digit`, and lets `revision` stand for it.
    pub(crate) fn commit(
        &self,
        repo: &str,
        revision: &str,
        digit: char,
        files: &[(&str, &[u8])],
    ) -> String {
        let commit = digit.to_string().repeat(40);
        let file = |content: &[u8]| File {
            content: content.to_vec(),
            announced: content.len() as u64,
            etag: None,
        };
        let files = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), file(content)))
            .collect();
        let mut state = self.state();
        state
            .commits
            .insert((repo.to_owned(), commit.clone()), files);
        for name in [revision, &commit] {
            state
                .revisions
                .insert((repo.to_owned(), name.to_owned()), commit.clone());
        }
        commit
    }

    /// Changes a file of the first commit.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut File)) {
        let mut state = self.state();
        change(
            state
                .commits
                .values_mut()
                .next()
                .unwrap()
                .get_mut(name)
                .unwrap(),
        );
    }

    pub(crate) fn trap(&self, on: &'static str, times: usize, fault: Fault) {
        self.state().traps.push(Trap { on, times, fault });
    }

    pub(crate) fn clear_traps(&self) {
        self.state().traps.clear();
    }

    /// The requests so far whose `METHOD path` contains the text.
    pub(crate) fn seen(&self, text: &str) -> Vec<Seen> {
        self.state()
            .seen
            .iter()
            .filter(|seen| seen.line.contains(text))
            .cloned()
            .collect()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// Stands in for the git hash of a small file.
pub(crate) fn git_hash(content: &[u8]) -> String {
    sha256(content)[..40].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn is_large(name: &str) -> bool {
    name.ends_with(".gguf") || name.ends_with(".safetensors")
}

fn serve(state: &Arc<Mutex<State>>, host: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::clone(state);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            // A client that goes away in the middle is part of several tests.
            thread::spawn(move || drop(answer(stream, host, &state)));
        }
    });
    address
}

struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            headers: headers.into(),
            body: body.into(),
        }
    }

    fn not_found(code: &str) -> Reply {
        Reply::new(404, format!("X-Error-Code: {code}\r\n"), "not found")
    }
}

fn answer(stream: TcpStream, host: &'static str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (
        words.next().unwrap_or("").to_owned(),
        decode(words.next().unwrap_or("")),
    );
    let (mut authorization, mut range) = (None, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.trim().split_once(':').unwrap_or((&header, ""));
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "range" => {
                range = value
                    .trim()
                    .strip_prefix("bytes=")
                    .and_then(|r| r.split('-').next()?.parse().ok())
            }
            _ => {}
        }
    }
    let line = format!("{method} {target}");
    let (mut reply, fault) = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen {
            host,
            line: line.clone(),
            authorization,
            range,
        });
        let trap = state
            .traps
            .iter_mut()
            .find(|trap| trap.times > 0 && line.contains(trap.on));
        let fault = trap.map(|trap| {
            trap.times -= 1;
            trap.fault.clone()
        });
        let range = if matches!(fault, Some(Fault::IgnoreRange)) {
            None
        } else {
            range
        };
        (
            if host == "hub" {
                hub_reply(&state, &target)
            } else {
                storage_reply(&state, &target, range)
            },
            fault,
        )
    };
    match fault {
        Some(Fault::Status(status, headers)) => {
            reply = Reply::new(status, headers, r#"{"error":"as told"}"#)
        }
        Some(Fault::Corrupt) => reply.body.iter_mut().for_each(|byte| *byte = !*byte),
        _ => {}
    }
    send(stream, &method, &reply, fault)
}

fn send(
    mut stream: TcpStream,
    method: &str,
    reply: &Reply,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let Reply {
        status,
        headers,
        body,
    } = reply;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    if method != "HEAD" {
        match fault {
            Some(Fault::Cut(bytes)) => stream.write_all(&body[..bytes.min(length)])?,
            Some(Fault::Stall(bytes)) => {
                stream.write_all(&body[..bytes.min(length)])?;
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                drop(stream.read(&mut [0]));
            }
            _ => stream.write_all(body)?,
        }
    }
    stream.flush()
}

fn hub_reply(state: &State, target: &str) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "models", owner, name, "revision", revision @ ..] => {
            let repo = format!("{owner}/{name}");
            if !state.revisions.keys().any(|(known, _)| *known == repo) {
                return Reply::not_found("RepoNotFound");
            }
            match state.revisions.get(&(repo.clone(), revision.join("/"))) {
                Some(commit) => json(&serde_json::json!({ "id": repo, "sha": commit })),
                None => Reply::not_found("RevisionNotFound"),
            }
        }
        ["api", "models", owner, name, "tree", commit] => {
            tree(state, &format!("{owner}/{name}"), commit, path, query)
        }
        [owner, name, "resolve", commit, file @ ..] => {
            resolve(state, &format!("{owner}/{name}"), commit, &file.join("/"))
        }
        _ => Reply::not_found("RepoNotFound"),
    }
}

fn tree(state: &State, repo: &str, commit: &str, path: &str, query: &str) -> Reply {
    let Some(files) = state.commits.get(&(repo.to_owned(), commit.to_owned())) else {
        return Reply::not_found("RevisionNotFound");
    };
    let from: usize = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("cursor=")?.parse().ok())
        .unwrap_or(0);
    let entries: Vec<serde_json::Value> = files.iter().skip(from).take(PAGE).map(|(name, file)| {
        let mut entry = serde_json::json!({
            "type": "file", "path": name, "size": file.announced, "oid": git_hash(&file.content),
        });
        if is_large(name) {
            entry["lfs"] = serde_json::json!({ "oid": sha256(&file.content), "size": file.announced, "pointerSize": 134 });
        }
        entry
    }).collect();
    let mut reply = json(&entries.into());
    if from + PAGE < files.len() {
        let next = format!("{}{path}?recursive=true&cursor={}", state.hub, from + PAGE);
        write!(reply.headers, "Link: <{next}>; rel=\"next\"\r\n").unwrap();
    }
    reply
}

impl State {
    fn file(&self, repo: &str, commit: &str, name: &str) -> Option<&File> {
        self.commits
            .get(&(repo.to_owned(), commit.to_owned()))?
            .get(name)
    }
}

fn resolve(state: &State, repo: &str, commit: &str, name: &str) -> Reply {
    let Some(file) = state.file(repo, commit, name) else {
        return Reply::not_found("EntryNotFound");
    };
    let common = format!("X-Repo-Commit: {commit}\r\n");
    if !is_large(name) {
        let etag = git_hash(&file.content);
        return Reply::new(
            200,
            format!("{common}ETag: \"{etag}\"\r\n"),
            file.content.clone(),
        );
    }
    let etag = file.etag.clone().unwrap_or_else(|| sha256(&file.content));
    let location = format!("{}/{repo}/{commit}/{name}?signature=s3cret", state.storage);
    let linked = format!(
        "X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\n",
        file.announced
    );
    Reply::new(302, format!("{common}{linked}Location: {location}\r\n"), "")
}

fn storage_reply(state: &State, target: &str, range: Option<usize>) -> Reply {
    let path = target.split('?').next().unwrap_or(target);
    let parts: Vec<&str> = path.trim_start_matches('/').splitn(4, '/').collect();
    let [owner, name, commit, file] = parts.as_slice() else {
        return Reply::new(404, "", "");
    };
    let Some(file) = state.file(&format!("{owner}/{name}"), commit, file) else {
        return Reply::new(404, "", "");
    };
    match range {
        Some(from) if from < file.content.len() => {
            let total = file.content.len();
            let header = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
            Reply::new(206, header, &file.content[from..])
        }
        Some(_) => Reply::new(416, "", ""),
        None => Reply::new(200, "ETag: \"not-the-checksum\"\r\n", file.content.clone()),
    }
}

fn json(value: &serde_json::Value) -> Reply {
    Reply::new(200, "Content-Type: application/json\r\n", value.to_string())
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || {
            char::from(rest.next().unwrap_or(b'0'))
                .to_digit(16)
                .unwrap_or(0) as u8
        };
        bytes.push(if byte == b'%' {
            digit() * 16 + digit()
        } else {
            byte
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
