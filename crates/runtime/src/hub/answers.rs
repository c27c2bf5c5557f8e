//! What the errors of hf-hub and the answers of the hub mean: which may pass, and what to tell.

use std::error::Error as _;
use std::time::Duration;

use hf_hub::HFError;
use reqwest::Response;

use super::HubError;
use super::remote::Remote;
use super::retry::Failure;

impl Remote<'_> {
    /// What an error of hf-hub means.
    pub(super) fn failure(&self, error: HFError, what: &str) -> Failure {
        let context = match error {
            HFError::RateLimited { retry_after, .. } => return self.rate_limited(retry_after),
            HFError::Request { source, .. } => return self.transport(&source),
            HFError::Io(source) => {
                return Failure::Final(HubError::Io {
                    path: self.options.cache_dir.clone(),
                    source,
                });
            }
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context } => context,
            HFError::EntryNotFound { .. } => {
                return self.status(404, None, "it is listed but not there", what);
            }
            HFError::RepoNotFound { .. } => return Failure::Final(self.repo_not_found()),
            error => return self.again(what, error.to_string()),
        };
        let message = context.server_message.as_deref().unwrap_or_default();
        self.status(
            context.status.as_u16(),
            context.error_code.as_deref(),
            message,
            what,
        )
    }

    pub(super) fn head_failure(&self, response: &Response, name: &str) -> Failure {
        let value = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        if response.status().as_u16() == 429 {
            let seconds = value("retry-after").and_then(|text| text.trim().parse().ok());
            return self.rate_limited(seconds.map(Duration::from_secs));
        }
        let message = value("x-error-message").unwrap_or_default();
        self.status(
            response.status().as_u16(),
            value("x-error-code"),
            message,
            name,
        )
    }

    pub(super) fn status(
        &self,
        status: u16,
        code: Option<&str>,
        message: &str,
        what: &str,
    ) -> Failure {
        let with_token = self.options.token.is_some();
        let repo = self.repo.to_string();
        let message = one_line(message);
        let error = match (status, code) {
            (403, _) | (401, Some("GatedRepo")) => {
                let page = format!("{}/{repo}", self.options.endpoint);
                HubError::Forbidden {
                    repo,
                    message,
                    page,
                    with_token,
                }
            }
            (401, _) => HubError::Unauthorized { repo, with_token },
            (404, Some("RepoNotFound")) => self.repo_not_found(),
            (429, _) => return self.rate_limited(None),
            _ => {
                let endpoint = self.options.endpoint.clone();
                HubError::Server {
                    endpoint,
                    status,
                    what: what.to_owned(),
                    message,
                }
            }
        };
        if status == 408 || status >= 500 {
            return Failure::Again {
                error,
                reason: format!("the hub answered {status}"),
                wait: None,
            };
        }
        Failure::Final(error)
    }

    pub(super) fn rate_limited(&self, wait: Option<Duration>) -> Failure {
        let error = HubError::RateLimited {
            endpoint: self.options.endpoint.clone(),
            wait,
        };
        Failure::Again {
            error,
            reason: "the hub limits the rate".to_owned(),
            wait,
        }
    }

    pub(super) fn transport(&self, error: &reqwest::Error) -> Failure {
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            innermost(error)
        };
        let endpoint = self.options.endpoint.clone();
        if error.is_builder() || error.is_redirect() {
            return Failure::Final(HubError::Client { endpoint, reason });
        }
        let error = HubError::NoNetwork {
            endpoint,
            reason: reason.clone(),
            cached: Vec::new(),
        };
        Failure::Again {
            error,
            reason,
            wait: None,
        }
    }

    pub(super) fn again(&self, what: &str, reason: String) -> Failure {
        let reason = one_line(&reason);
        let endpoint = self.options.endpoint.clone();
        let error = HubError::Malformed {
            endpoint,
            what: what.to_owned(),
            reason: reason.clone(),
        };
        Failure::Again {
            error,
            reason,
            wait: None,
        }
    }

    pub(super) fn malformed(&self, what: &str, reason: &str) -> Failure {
        Failure::Final(self.malformed_error(what, reason))
    }

    pub(super) fn malformed_error(&self, what: &str, reason: &str) -> HubError {
        let endpoint = self.options.endpoint.clone();
        HubError::Malformed {
            endpoint,
            what: what.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn repo_not_found(&self) -> HubError {
        HubError::RepoNotFound {
            repo: self.repo.to_string(),
            endpoint: self.options.endpoint.clone(),
        }
    }

    pub(super) fn revision_not_found(&self, revision: &str) -> HubError {
        HubError::RevisionNotFound {
            repo: self.repo.to_string(),
            revision: revision.to_owned(),
        }
    }
}

/// The cause at the end of the chain, which is the one that says something; the outer ones
/// repeat the URL, which may hold a signature.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = None;
    while let Some(error) = cause {
        text = Some(error.to_string());
        cause = error.source();
    }
    one_line(&text.unwrap_or_else(|| error.to_string()))
}

/// A server's text on one line of bearable length.
fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    line.trim().to_owned()
}
