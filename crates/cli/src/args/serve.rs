//! The arguments of `ponder serve`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use ponder_engine::parse_duration;
use ponder_server::{ApiKey, ServerOptions, TlsFiles};

use super::low::{GlobalArgs, LoadArgs};
use super::values::at_least_one;
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// A model that may be asked for; more than one may be given, and the first answers where a
    /// request names none
    #[arg(
        short,
        long,
        env = "PONDER_MODEL",
        value_name = "MODEL",
        default_value = "default"
    )]
    pub(crate) model: Vec<String>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The folder where files and batches are kept, which one server at a time can use (default: the
    /// folder `ponder` among your data)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Where the server is, and who may ask.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct NetworkArgs {
    /// The host to listen on; one that other machines can reach needs an API key
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to listen on (0: one that is free)
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// A key that requests must show; may be given more than once. Other users of this machine can
    /// read it: a file or the environment is safer
    #[arg(
        long,
        env = "PONDER_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub(crate) api_key: Vec<ApiKey>,
    /// A file with one key per line; lines that begin with # are comments
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// A web page's origin that may ask and read answers, like `https://example.com`
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors_origin: Vec<String>,
    /// A host name that requests may use beside those of this machine
    #[arg(long, value_name = "HOST")]
    pub(crate) allowed_host: Vec<String>,
    /// The certificate chain, to speak HTTPS
    #[arg(long, value_name = "FILE.pem", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, value_name = "FILE.pem", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub(crate) tls_key: Option<PathBuf>,
}

/// What the server and its clients may use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Unload a model that nobody has asked for this long, for example 10m (default: never)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) unload_after: Option<Duration>,
    /// Answers that may wait for a place; one more is refused with status 429
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_waiting: usize,
    /// The size of a request's body in MB
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_body: u16,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// How long a client may take to send a request, and to take what is ready for it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) client_timeout: Duration,
    /// How long running answers may go on after Ctrl-C or SIGTERM; a second one ends them at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) grace: Duration,
}

impl ServeArgs {
    pub(super) fn resolve(self, global: &GlobalArgs) -> Result<ServerOptions, CliError> {
        let mut load = self.load.resolve(global)?;
        load.max_waiting = Some(self.limits.max_waiting);
        let network = self.network;
        let mut api_keys = network.api_key;
        if let Some(file) = &network.api_key_file {
            api_keys.extend(keys_in(file)?);
        }
        // clap has made sure that both files are there, or none.
        let tls = network.tls_cert.zip(network.tls_key);
        Ok(ServerOptions {
            models: self.model,
            load,
            host: network.host,
            port: network.port,
            api_keys,
            cors_origins: network.cors_origin,
            allowed_hosts: network.allowed_host,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            idle: self.limits.unload_after,
            grace: self.limits.grace,
            max_body: usize::from(self.limits.max_body) << 20,
            max_connections: self.limits.max_connections,
            data_dir: self
                .data_dir
                .or_else(|| Some(dirs::data_local_dir()?.join("ponder"))),
            client_timeout: self.limits.client_timeout,
        })
    }
}

fn keys_in(file: &Path) -> Result<Vec<ApiKey>, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::failed(format!("cannot read {}: {error}", file.display())))?;
    let lines = text.lines().map(str::trim);
    let keys: Vec<ApiKey> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| ApiKey::from(line.to_owned()))
        .collect();
    match keys.is_empty() {
        false => Ok(keys),
        // A server that is meant to ask for keys must not open because a file is empty.
        true => Err(CliError::usage(
            format!("there is no key in {}", file.display()),
            "write one key per line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Job, LowArgs};

    fn options(words: &[&str]) -> Result<ServerOptions, CliError> {
        let typed = LowArgs::try_parse_from([&["ponder", "serve"], words].concat());
        match typed.expect("clap accepts").resolve(true)?.job {
            Job::Serve(options) => Ok(*options),
            other => panic!("not a server: {other:?}"),
        }
    }

    #[test]
    fn the_server_is_for_this_machine_and_the_model_in_the_program() {
        let plain = options(&[]).expect("options");
        assert_eq!((plain.host.as_str(), plain.port), ("127.0.0.1", 8080));
        assert_eq!(plain.models, ["default"]);
        assert!(plain.api_keys.is_empty() && plain.cors_origins.is_empty());
        let two = options(&["-m", "a.gguf", "-m", "b.gguf", "--unload-after", "5m"]);
        let two = two.expect("options");
        assert_eq!(two.models, ["a.gguf", "b.gguf"]);
        assert_eq!(two.idle, Some(Duration::from_secs(300)));
    }

    #[test]
    fn keys_come_from_a_file_and_are_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        let path = file.to_str().expect("a name");
        std::fs::write(&file, "# mine\nfirst-secret\n\n  second-secret \n").expect("a file");
        let with = options(&["--api-key-file", path, "--api-key", "third-secret"]);
        let with = with.expect("options");
        assert_eq!(with.api_keys.len(), 3);
        assert!(!format!("{with:?}").contains("secret"));
        std::fs::write(&file, "# none\n").expect("a file");
        let empty = options(&["--api-key-file", path]).expect_err("no key");
        assert_eq!(empty.exit_code(), 2);
    }

    #[test]
    fn wrong_usage_is_refused() {
        for words in [
            &["--port", "70000"][..],
            &["--tls-cert", "a.pem"],
            &["--max-body", "0"],
            &["--grace", "soon"],
        ] {
            let typed = LowArgs::try_parse_from([&["ponder", "serve"], words].concat());
            assert!(typed.is_err(), "{words:?}");
        }
    }
}
