//! Where the store is, which hub it speaks to, and as whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings of a [`Store`](super::Store).
#[derive(Clone)]
pub struct StoreOptions {
    /// The folder that holds `models--owner--name`.
    pub cache_dir: PathBuf,
    /// Base URL of the hub, without a slash at its end.
    pub endpoint: String,
    /// Sent to the hub, and to no other host.
    pub token: Option<String>,
    /// Whether the network is off.
    pub offline: bool,
    /// How often and how long failed requests are repeated.
    pub retry: RetryPolicy,
}

/// When a failed request is repeated.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts that may fail in a row before the error is reported. A download that gains
    /// [`RetryPolicy::PROGRESS_BYTES`] starts to count anew.
    pub attempts: u32,
    /// Wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// No wait is longer. A hub that asks for more (`Retry-After`) is not waited for.
    pub longest_wait: Duration,
    /// A connection that cannot be made, or that brings nothing, for this long has failed.
    pub silence: Duration,
}

impl RetryPolicy {
    /// Enough bytes to call a connection useful: at most 1,000 cuts can hit a file of 16 GB.
    pub const PROGRESS_BYTES: u64 = 16 << 20;
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            silence: Duration::from_secs(30),
        }
    }
}

/// Keeps the token out of logs.
impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("retry", &self.retry)
            .finish()
    }
}

impl StoreOptions {
    /// Reads the variables that all Hugging Face tools read:
    ///
    /// | variable | meaning | otherwise |
    /// |---|---|---|
    /// | `HF_HUB_CACHE` | the cache | `$HF_HOME/hub` |
    /// | `HF_HOME` | folder of cache and token | `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
    /// | `HF_ENDPOINT` | base URL of the hub | `https://huggingface.co` |
    /// | `HF_TOKEN` | access token | the file `HF_TOKEN_PATH`, `$HF_HOME/token` |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | no token unless given otherwise | |
    /// | `HF_HUB_OFFLINE` | network off (`1`, `true`, `yes`, `on`) | |
    pub fn from_env() -> StoreOptions {
        Self::from_lookup(
            &|name| std::env::var(name).ok(),
            std::env::home_dir().as_deref(),
        )
    }

    /// [`from_env`](Self::from_env) with the environment as a function; empty counts as unset.
    fn from_lookup(variable: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> StoreOptions {
        let get = |name: &str| {
            variable(name)
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let path = |name: &str| get(name).map(|value| expand_home(&value, home));
        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            let cache = path("XDG_CACHE_HOME").unwrap_or_else(|| match home {
                Some(home) => home.join(".cache"),
                None => std::env::temp_dir(),
            });
            cache.join("huggingface")
        });
        let cache_dir = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let token = if get("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|v| is_true(&v)) {
            None
        } else {
            get("HF_TOKEN").or_else(|| read_token(&token_file))
        };
        StoreOptions {
            cache_dir,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
            offline: get("HF_HUB_OFFLINE").is_some_and(|v| is_true(&v)),
            retry: RetryPolicy::default(),
        }
    }
}

fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"]
        .iter()
        .any(|yes| value.eq_ignore_ascii_case(yes))
}

fn expand_home(value: &str, home: Option<&Path>) -> PathBuf {
    match (value.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(value),
    }
}

fn read_token(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> StoreOptions {
        let get = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        StoreOptions::from_lookup(&get, Some(Path::new("/home/u")))
    }

    #[test]
    fn the_cache_is_where_other_tools_have_it() {
        let cache = |pairs: &[(&str, &str)]| from(pairs).cache_dir;
        assert_eq!(cache(&[]), Path::new("/home/u/.cache/huggingface/hub"));
        assert_eq!(
            cache(&[("XDG_CACHE_HOME", "/x")]),
            Path::new("/x/huggingface/hub")
        );
        assert_eq!(
            cache(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            Path::new("/h/hub")
        );
        assert_eq!(
            cache(&[("HF_HUB_CACHE", "~/c"), ("HF_HOME", "/h")]),
            Path::new("/home/u/c")
        );
        assert_eq!(
            cache(&[("HF_HOME", "  ")]),
            Path::new("/home/u/.cache/huggingface/hub")
        );
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file_and_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        assert_eq!(from(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        let both = from(&[("HF_HOME", home), ("HF_TOKEN", "hf_variable")]);
        assert_eq!(both.token.as_deref(), Some("hf_variable"));
        assert!(!format!("{both:?}").contains("hf_variable"));
        assert_eq!(
            from(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token,
            None
        );
    }

    #[test]
    fn offline_and_endpoint_are_read() {
        assert!(
            from(&[("HF_HUB_OFFLINE", "1")]).offline && from(&[("HF_HUB_OFFLINE", "True")]).offline
        );
        assert!(!from(&[("HF_HUB_OFFLINE", "0")]).offline && !from(&[]).offline);
        assert_eq!(
            from(&[("HF_ENDPOINT", "http://mirror/")]).endpoint,
            "http://mirror"
        );
        assert_eq!(from(&[]).endpoint, "https://huggingface.co");
    }
}
