//! [`ServerOptions`]: everything that is decided before a server starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ponder_engine::LoadOptions;

/// How a server is run. The default serves the model that is part of the program, to this machine
/// only, on a port that the system chooses.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Models that may be asked for, as [`Engine::load`](ponder_engine::Engine::load) takes them; the
    /// first is loaded at the start and answers requests that name none.
    pub models: Vec<String>,
    /// How each of them is loaded.
    pub load: LoadOptions,
    /// Name or address to listen on.
    pub host: String,
    /// Port to listen on; 0: one that is free.
    pub port: u16,
    /// Keys of which every request must show one; empty: nobody is asked, which is refused for a host
    /// that other machines can reach.
    pub api_keys: Vec<ApiKey>,
    /// Origins of pages that may read answers; empty: only the server's own.
    pub cors_origins: Vec<String>,
    /// Host names that a request may name beside the ones of this machine.
    pub allowed_hosts: Vec<String>,
    /// Certificate and key, to speak HTTPS.
    pub tls: Option<TlsFiles>,
    /// Models that nobody has asked for this long are unloaded; `None`: never.
    pub idle: Option<Duration>,
    /// How long running answers may go on when the server is shut down.
    pub grace: Duration,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Connections at the same time; one more is closed at once.
    pub max_connections: usize,
    /// The folder where files and batches are kept; `None`: nowhere, so that they are refused. One
    /// server at a time uses it.
    pub data_dir: Option<PathBuf>,
    /// How long a client may take to send a request, and to take what is ready for it.
    pub client_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let load = LoadOptions {
            max_waiting: Some(256),
            ..LoadOptions::default()
        };
        Self {
            models: vec!["default".to_owned()],
            load,
            host: "127.0.0.1".to_owned(),
            port: 0,
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            tls: None,
            idle: None,
            grace: Duration::from_secs(30),
            max_body: 32 << 20,
            max_connections: 1024,
            data_dir: None,
            client_timeout: Duration::from_secs(60),
        }
    }
}

/// What a client shows to be let in. It is not shown where options are printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ApiKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// Where a server's certificate is.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain of certificates, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}
