//! Everything that can go wrong between a model's name and its files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// Why a model could not be named, found, downloaded, listed or removed.
///
/// Each message is one line: what, where, and after `hint:` what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text is no model reference at all.
    #[error(
        "`{text}` is no model: {reason}; hint: give a path, owner/repo, owner/repo:Q4_K_M, or a short name such as qwen3:0.6b"
    )]
    InvalidReference {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A short name that the registry does not have.
    #[error("no model is called `{name}`; hint: known short names are {}; other models need owner/repo", listed(.known))]
    UnknownName {
        /// What was typed.
        name: String,
        /// Short names, the similar ones where there are any.
        known: Vec<String>,
    },
    /// A local path that does not exist.
    #[error("{} does not exist; hint: check the path, or write owner/repo for a model on the hub", .path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// `default` is part of the program, not of the store.
    #[error(
        "the model `default` is part of the program and has no files; hint: run it with -m default"
    )]
    Embedded,
    /// The hub does not know the repository.
    #[error(
        "{repo} is not at {endpoint}; hint: check the spelling; a private repository needs HF_TOKEN"
    )]
    RepoNotFound {
        /// `owner/name`.
        repo: String,
        /// Base URL of the hub.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error(
        "{repo} has no revision `{revision}`; hint: give a branch, a tag or a whole commit hash after @"
    )]
    RevisionNotFound {
        /// `owner/name`.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The repository has no such file or no file of that quantization.
    #[error("{repo} has no `{wanted}`; hint: it has {}", listed(.available))]
    FileNotFound {
        /// `owner/name`.
        repo: String,
        /// File name or quantization tag.
        wanted: String,
        /// The files that could have been meant.
        available: Vec<String>,
    },
    /// Several files fit.
    #[error("`{wanted}` fits several files of {repo}; hint: add one of these after a colon: {}", listed(.available))]
    Ambiguous {
        /// `owner/name`.
        repo: String,
        /// File name, quantization tag, or the repository where no file was named.
        wanted: String,
        /// The files that fit.
        available: Vec<String>,
    },
    /// A split GGUF lacks some of its parts.
    #[error("{repo} has only {found} of the {total} parts of {file}; hint: choose another file")]
    IncompleteShards {
        /// `owner/name`.
        repo: String,
        /// A part that is there.
        file: String,
        /// Parts that are there.
        found: usize,
        /// Parts that the name announces.
        total: usize,
    },
    /// Neither GGUF nor safetensors.
    #[error(
        "{repo} holds no model that can be run: it has neither GGUF nor config.json with safetensors; hint: look for a repository of this model whose name ends in -GGUF"
    )]
    NoWeights {
        /// `owner/name`.
        repo: String,
    },
    /// 401: no token, or one that the hub does not accept; the hub also answers so for
    /// repositories that do not exist.
    #[error("the hub does not let this request see {repo} (401); hint: {}; a misspelt name gives the same answer", token_hint(*.with_token))]
    Unauthorized {
        /// `owner/name`.
        repo: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// 403 (or 401 with the remark that it is gated): a gated repository whose licence was not accepted, or a token without the right.
    #[error("access to {repo} is denied{}; hint: accept the licence on {page} and {}", colon(.message), token_hint(*.with_token))]
    Forbidden {
        /// `owner/name`.
        repo: String,
        /// What the hub said, possibly empty.
        message: String,
        /// The repository's page.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// 429 more often than waiting is worth.
    #[error("{endpoint} limits the rate of requests (429{}); hint: wait, or set HF_TOKEN, which raises the limit", after(.wait))]
    RateLimited {
        /// Base URL of the hub.
        endpoint: String,
        /// What the hub asked to wait for, where it said so.
        wait: Option<Duration>,
    },
    /// Another status that is no success.
    #[error("{endpoint} answered {status} for {what}{}; hint: this is the server's fault, try again later", colon(.message))]
    Server {
        /// Base URL of the hub.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
        /// What the hub said, possibly empty.
        message: String,
    },
    /// No connection to the hub.
    #[error("{endpoint} cannot be reached ({reason}); hint: check the network and HF_ENDPOINT; --offline runs what is in the cache: {}", listed(.cached))]
    NoNetwork {
        /// Base URL of the hub.
        endpoint: String,
        /// The innermost cause.
        reason: String,
        /// Repositories in the cache.
        cached: Vec<String>,
    },
    /// The connection was lost in the middle of a file, more often than retries are worth.
    #[error(
        "the download of {file} stopped at {have} of {total} bytes ({reason}); hint: pull again, it goes on from the part that is kept"
    )]
    Interrupted {
        /// Name inside the repository.
        file: String,
        /// Bytes on disk.
        have: u64,
        /// Size of the whole file.
        total: u64,
        /// The innermost cause.
        reason: String,
    },
    /// The bytes are not those that the hub announced. The file has been removed.
    #[error(
        "{file} is damaged: its SHA-256 is {found}, the hub says {expected}; hint: the file was removed, pull again; if that does not help, a proxy alters the download"
    )]
    Checksum {
        /// Name inside the repository.
        file: String,
        /// Announced digest, hexadecimal.
        expected: String,
        /// Digest of what came, hexadecimal.
        found: String,
    },
    /// Not enough room, found before the download or by a failed write.
    #[error("no room for the download in {}: {needed} bytes are needed{}; hint: free some space (ponder rm), or set HF_HOME to another disk", .path.display(), and_free(.free))]
    DiskFull {
        /// The cache.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that are free, where the system says so.
        free: Option<u64>,
    },
    /// Offline, and the cache does not have all of it.
    #[error("{wanted} is not complete in the cache and the network is off; hint: pull it without --offline and HF_HUB_OFFLINE; the cache has {}", listed(.cached))]
    Offline {
        /// The reference.
        wanted: String,
        /// Repositories in the cache.
        cached: Vec<String>,
    },
    /// The server named something that would lie outside the cache.
    #[error("{repo} has a {what} that is refused: {name:?}; hint: do not use this repository")]
    UnsafeName {
        /// `owner/name`.
        repo: String,
        /// What the name is for.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The server's answer lacks something or contradicts itself.
    #[error(
        "{endpoint} gave an answer that makes no sense for {what}: {reason}; hint: check HF_ENDPOINT"
    )]
    Malformed {
        /// Base URL of the hub.
        endpoint: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// `HF_ENDPOINT` or the client cannot be used.
    #[error(
        "the hub client cannot be set up for {endpoint}: {reason}; hint: check HF_ENDPOINT and the proxy variables"
    )]
    Client {
        /// Base URL of the hub.
        endpoint: String,
        /// The cause.
        reason: String,
    },
    /// Asked to remove what is not there.
    #[error("{wanted} is not in the cache; hint: it has {}", listed(.cached))]
    NotCached {
        /// The reference.
        wanted: String,
        /// Repositories in the cache.
        cached: Vec<String>,
    },
    /// Asked to remove what another process downloads right now.
    #[error("{repo} is being downloaded by another process; hint: wait for it or stop it")]
    Busy {
        /// `owner/name`.
        repo: String,
    },
    /// The file system refused.
    #[error("{}: {source}; hint: check the permissions, or set HF_HOME to another folder", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl HubError {
    /// For `map_err`: a file system error at `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
        let path = path.to_path_buf();
        |source| HubError::Io { path, source }
    }
}

/// At most this many names are listed in a message; a repository may have hundreds of files.
const LISTED_MAX: usize = 24;

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown = names
        .iter()
        .take(LISTED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn token_hint(with_token: bool) -> &'static str {
    if with_token {
        "check that the token in HF_TOKEN is valid and may read this repository"
    } else {
        "set HF_TOKEN to a token from https://huggingface.co/settings/tokens"
    }
}

fn colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn after(wait: &Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| {
        format!(", it asks for {} s", wait.as_secs())
    })
}

fn and_free(free: &Option<u64>) -> String {
    free.map_or_else(String::new, |free| format!(", {free} bytes are free"))
}
