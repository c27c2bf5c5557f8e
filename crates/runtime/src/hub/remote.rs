//! Requests to the hub: `hf-hub` for revisions, listings and contents; one request of our own
//! for the checksum of a large file.
//!
//! hf-hub 1.0 drops the `oid` (the SHA-256) of the listing, and its own metadata request
//! follows the redirect to the storage host, where the hub's headers are lost. So the `HEAD`
//! that stops before the redirect is made here.

use std::ops::Range;

use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFError, HFRepository, RepoTypeModel};
use reqwest::{Client, Response, Url, header, redirect};

use super::answers::innermost;
use super::layout::{is_commit, is_hex};
use super::retry::Failure;
use super::{HubError, RepoId, StoreOptions};

/// A repository with more entries is not listed to its end.
const ENTRIES_MAX: usize = 100_000;

/// Relative redirects that a renamed repository may need.
const REDIRECTS_MAX: usize = 5;

/// One repository on the hub.
pub(super) struct Remote<'a> {
    pub(super) options: &'a StoreOptions,
    pub(super) repo: &'a RepoId,
    hub: HFRepository<RepoTypeModel>,
    /// Never follows a redirect.
    head: Client,
}

/// A file as the listing of a commit has it.
#[derive(Debug, Clone)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) size: u64,
    /// Hash of the git object, hexadecimal; for a large file that of its pointer.
    oid: String,
    /// Whether it is stored outside git, which all large files are.
    pub(super) is_large: bool,
}

/// What a file is called among the blobs.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    /// Hexadecimal; the SHA-256 of a large file, the git hash of a small one.
    pub(super) etag: String,
    /// Whether `etag` is the SHA-256 of the contents.
    pub(super) is_sha256: bool,
}

impl<'a> Remote<'a> {
    pub(super) fn new(options: &'a StoreOptions, repo: &'a RepoId) -> Result<Remote<'a>, HubError> {
        let client_error = |reason: String| HubError::Client {
            endpoint: options.endpoint.clone(),
            reason,
        };
        let client = |policy| {
            // A hub on this machine is not reached through a proxy.
            let builder = if is_loopback(&options.endpoint) {
                Client::builder().no_proxy()
            } else {
                Client::builder()
            };
            builder
                .user_agent(concat!("ponder/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(options.retry.silence)
                .read_timeout(options.retry.silence)
                .redirect(policy)
                .build()
                .map_err(|error| client_error(innermost(&error)))
        };
        // Without a token hf-hub would look for one by itself. A token that cannot be the value
        // of a header is never sent, which is the only way to tell it that there is none.
        let token = options.token.clone().unwrap_or_else(|| "\n".to_owned());
        // Retries are made here: hf-hub's do not know `Retry-After`.
        let hub = HFClient::builder()
            .endpoint(&options.endpoint)
            .cache_dir(&options.cache_dir)
            .client(client(redirect::Policy::default())?)
            .token(token)
            .retry_max_attempts(0)
            .build()
            .map_err(|error| client_error(error.to_string()))?;
        let (owner, name) = repo.parts();
        Ok(Remote {
            options,
            repo,
            hub: hub.model(owner, name),
            head: client(redirect::Policy::none())?,
        })
    }

    /// The commit that a branch or tag stands for now.
    pub(super) async fn commit(&self, revision: &str) -> Result<String, Failure> {
        let info =
            self.hub
                .info()
                .revision(revision)
                .send()
                .await
                .map_err(|error| match error {
                    HFError::RevisionNotFound { context, .. } => {
                        let code = context.and_then(|context| context.error_code);
                        let is_repo = match code.as_deref() {
                            Some(code) => code == "RepoNotFound",
                            None => revision == "main",
                        };
                        Failure::Final(if is_repo {
                            self.repo_not_found()
                        } else {
                            self.revision_not_found(revision)
                        })
                    }
                    error => self.failure(error, self.repo.as_str()),
                })?;
        info.sha
            .filter(|sha| is_commit(sha))
            .ok_or_else(|| self.malformed(revision, "no commit"))
    }

    /// All files of a commit.
    pub(super) async fn list(&self, commit: &str) -> Result<Vec<RemoteFile>, Failure> {
        let failure = |error| match error {
            HFError::Http { context } if context.status.as_u16() == 404 => {
                Failure::Final(self.revision_not_found(commit))
            }
            error => self.failure(error, self.repo.as_str()),
        };
        let entries = self
            .hub
            .list_tree()
            .revision(commit)
            .recursive(true)
            .send()
            .map_err(failure)?;
        let entries = entries.take(ENTRIES_MAX);
        pin_mut!(entries);
        let mut files = Vec::new();
        while let Some(entry) = entries.try_next().await.map_err(failure)? {
            if let RepoTreeEntry::File {
                oid,
                size,
                path,
                lfs,
                ..
            } = entry
            {
                files.push(RemoteFile {
                    name: path,
                    size,
                    oid,
                    is_large: lfs.is_some(),
                });
            }
        }
        Ok(files)
    }

    /// The name of a file's contents; costs a request for a large file.
    pub(super) async fn blob(&self, commit: &str, file: &RemoteFile) -> Result<Blob, Failure> {
        if !file.is_large {
            if is_hex(&file.oid) && file.oid.len() == 40 {
                return Ok(Blob {
                    etag: file.oid.clone(),
                    is_sha256: false,
                });
            }
            return Err(self.malformed(&file.name, "no git hash"));
        }
        let response = self.head(commit, &file.name).await?;
        let value = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let etag = value("x-linked-etag")
            .or_else(|| value("etag"))
            .unwrap_or_default();
        let etag = etag
            .trim_start_matches("W/")
            .trim_matches('"')
            .to_ascii_lowercase();
        if etag.len() != 64 || !is_hex(&etag) {
            return Err(self.malformed(&file.name, "no SHA-256"));
        }
        if value("x-linked-size").is_some_and(|size| size != file.size.to_string()) {
            return Err(self.malformed(&file.name, "two different sizes"));
        }
        Ok(Blob {
            etag,
            is_sha256: true,
        })
    }

    /// Follows the hub's own redirects (a renamed repository) but not that to the storage.
    async fn head(&self, commit: &str, name: &str) -> Result<Response, Failure> {
        let mut url = self.file_url(commit, name)?;
        for _ in 0..REDIRECTS_MAX {
            let mut request = self.head.head(url.clone());
            if let Some(token) = &self.options.token {
                request = request.bearer_auth(token);
            }
            let response = request
                .send()
                .await
                .map_err(|error| self.transport(&error))?;
            let status = response.status();
            if !status.is_success() && !status.is_redirection() {
                return Err(self.head_failure(&response, name));
            }
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            match next.filter(|next| next.origin() == url.origin()) {
                Some(next) if !response.headers().contains_key("x-linked-etag") => url = next,
                _ => return Ok(response),
            }
        }
        Err(self.malformed(name, "it redirects in a circle"))
    }

    fn file_url(&self, commit: &str, name: &str) -> Result<Url, Failure> {
        let mut url = Url::parse(&self.options.endpoint).map_err(|error| {
            let endpoint = self.options.endpoint.clone();
            Failure::Final(HubError::Client {
                endpoint,
                reason: error.to_string(),
            })
        })?;
        let (owner, repo) = self.repo.parts();
        let parts = [owner, repo, "resolve", commit]
            .into_iter()
            .chain(name.split('/'));
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(parts),
            Err(()) => return Err(self.malformed(name, "the endpoint is no base URL")),
        };
        Ok(url)
    }

    /// The contents of a file, or a part of them.
    pub(super) async fn bytes(
        &self,
        commit: &str,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<
        impl Stream<Item = Result<impl AsRef<[u8]> + use<>, HFError>> + Unpin + use<>,
        Failure,
    > {
        let request = self
            .hub
            .download_file_stream()
            .filename(name)
            .revision(commit)
            .maybe_range(range);
        let (_, stream) = request
            .send()
            .await
            .map_err(|error| self.failure(error, name))?;
        Ok(stream)
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    let host = url
        .as_ref()
        .and_then(Url::host_str)
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
