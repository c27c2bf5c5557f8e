//! Who may ask: API keys, and host names against pages that pretend to be this machine.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::ApiError;
use crate::app::SharedApp;
use crate::error::ServeError;
use crate::options::ApiKey;

/// The keys that open the server, as digests: comparing those takes the same time whatever a client
/// shows, and a dump of the memory shows none of them.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Checks the keys and forgets them.
    pub(crate) fn new(keys: &[ApiKey]) -> Result<Self, ServeError> {
        let texts = keys.iter().map(ApiKey::as_str);
        let is_usable = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        match texts.clone().all(is_usable) {
            true => Ok(Self(texts.map(digest).collect())),
            false => Err(ServeError::Key),
        }
    }

    /// Whether nobody is asked for a key.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, digest: &[u8; 32]) -> bool {
        let none = Choice::from(0);
        let all = self.0.iter();
        all.fold(none, |found, key| found | key.ct_eq(digest))
            .into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Who asks: the holder of a key, or else whoever is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Caller(pub(crate) u64);

impl Caller {
    /// The same after every start, because what they have kept on the disk is theirs.
    fn of(digest: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *digest;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().copied();
        caller.ok_or_else(|| ApiError::internal("The request came past the door."))
    }
}

/// Lets a request through that shows a key, where keys are asked for, and notes whose it is.
pub(crate) async fn check_key(
    State(app): State<SharedApp>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = match app.keys.is_empty() {
        true => peer(&request).map_or(Caller(0), |ip| Caller::of(&digest(&ip.to_string()))),
        false => {
            let digest = digest(shown_key(request.headers())?);
            if !app.keys.contains(&digest) {
                return Err(unauthorized("Incorrect API key provided."));
            }
            Caller::of(&digest)
        }
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn peer(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map(|info| info.0.ip())
}

fn shown_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let header = headers.get(header::AUTHORIZATION);
    let text = header.and_then(|value| value.to_str().ok());
    let bearer = text.and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.ok_or_else(|| {
        unauthorized(
            "You didn't provide an API key. Put it in the header: Authorization: Bearer KEY",
        )
    })
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::bad_request(message)
        .with_status(StatusCode::UNAUTHORIZED)
        .of_type("authentication_error")
        .with_code("invalid_api_key")
}

/// Which names a request may give the server. A page from elsewhere can make its own name point to
/// this machine, and is then taken for a page of this server; its name gives it away.
#[derive(Debug)]
pub(crate) struct HostNames {
    /// `None`: any, because other machines are served under names that nobody has listed.
    allowed: Option<Vec<String>>,
}

impl HostNames {
    /// The names of a server that listens on `address`, called `host` by its owner.
    pub(crate) fn new(address: SocketAddr, host: &str, more: &[String]) -> Self {
        let is_local = address.ip().is_loopback();
        if !is_local && more.is_empty() {
            return Self { allowed: None };
        }
        let mut allowed: Vec<String> = more.iter().map(|name| name.to_ascii_lowercase()).collect();
        allowed.push(host.to_ascii_lowercase());
        allowed.push("localhost".to_owned());
        Self {
            allowed: Some(allowed),
        }
    }

    fn allows(&self, authority: &str) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        is_loopback || allowed.iter().any(|name| *name == host || *name == bare)
    }
}

/// Refuses a request for a host that is not this one.
pub(crate) async fn check_host(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let header = request.headers().get(header::HOST);
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => header.and_then(|value| value.to_str().ok()),
    };
    // Browsers always name a host, so a request without one comes from none.
    if host.is_some_and(|host| !app.hosts.allows(host)) {
        return Err(ApiError::bad_request(
            "The server is not known under this host name. Its owner can allow it with --allowed-host.",
        )
        .with_status(StatusCode::FORBIDDEN)
        .with_code("host_not_allowed"));
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_open() {
        let keys = |texts: &[&str]| {
            let keys = texts.iter().map(|&text| ApiKey::from(text.to_owned()));
            Keys::new(&keys.collect::<Vec<_>>())
        };
        let wrong = [keys(&[""]), keys(&["a b"])];
        assert!(wrong.iter().all(Result::is_err));
        let keys = keys(&["first", "second"]).expect("keys");
        assert!(keys.contains(&digest("first")) && keys.contains(&digest("second")));
        assert!(!keys.contains(&digest("First")) && !keys.contains(&digest("")));
        assert!(!format!("{keys:?}").contains("first"));
    }

    #[test]
    fn pages_that_pretend_to_be_local_are_known_by_their_name() {
        let local: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let names = HostNames::new(local, "127.0.0.1", &["ai.example".to_owned()]);
        for good in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "ai.example",
        ] {
            assert!(names.allows(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert!(!names.allows(bad), "{bad}");
        }
        let open: SocketAddr = "0.0.0.0:80".parse().expect("an address");
        assert!(HostNames::new(open, "0.0.0.0", &[]).allows("anything.example"));
    }
}
