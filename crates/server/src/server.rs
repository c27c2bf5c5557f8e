//! [`Server`]: from options to a port that answers, and to a clean end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsAcceptor};
use tokio::net::lookup_host;

use crate::app::{self, App, SharedApp};
use crate::disk::Disk;
use crate::error::ServeError;
use crate::http::Room;
use crate::http::auth::{HostNames, Keys};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::options::ServerOptions;
use crate::responses::ResponseStore;
use crate::{limits, tls};

/// How long ended answers have for their last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often idle models and stalled clients are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A server that has its port and its first model.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<RustlsAcceptor>,
    app: SharedApp,
    handle: ServerHandle,
}

impl Server {
    /// Checks the options, loads the first model and takes the port.
    ///
    /// # Errors
    /// When the options are refused, the model cannot be loaded or the port is not free.
    pub async fn bind(options: ServerOptions) -> Result<Self, ServeError> {
        let keys = Keys::new(&options.api_keys)?;
        let wanted = resolve(&options.host, options.port).await?;
        if keys.is_empty() && !wanted.ip().is_loopback() {
            return Err(ServeError::Open { host: options.host });
        }
        let tls = match &options.tls {
            Some(files) => Some(tls::acceptor(files).await?),
            None => None,
        };
        let models = Models::new(&options.models, options.load.clone())?;
        let in_use = |source| ServeError::Bind {
            host: options.host.clone(),
            port: options.port,
            source,
        };
        let listener = TcpListener::bind(wanted).map_err(in_use)?;
        let address = listener.local_addr().map_err(in_use)?;
        let app = Arc::new(App {
            hosts: HostNames::new(address, &options.host, &options.allowed_hosts),
            keys,
            metrics: Metrics::new(&models),
            body_room: Room::new(options.max_body),
            responses: ResponseStore::default(),
            disk: Disk::new(options.data_dir.clone()),
            models,
            running: Arc::default(),
            is_closing: AtomicBool::new(false),
            options: ServerOptions {
                // Only their digests are kept.
                api_keys: Vec::new(),
                ..options
            },
        });
        let router = app::router(&app)?;
        app.models.load_first().await?;
        go_on_with_batches(&app).await;
        Ok(Self {
            listener,
            address,
            router,
            tls,
            handle: ServerHandle {
                inner: Handle::new(),
                app: Arc::clone(&app),
            },
            app,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        let scheme = match self.app.options.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// What clients call the models, the first one first.
    pub fn models(&self) -> Vec<String> {
        let all = self.app.models.all();
        all.map(|(names, _)| names.id.clone()).collect()
    }

    /// What ends it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Answers until the handle says that it is over.
    ///
    /// # Errors
    /// When the port fails.
    pub async fn serve(self) -> Result<(), ServeError> {
        let caretaker = tokio::spawn(take_care(Arc::clone(&self.app)));
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        let handle = self.handle.inner;
        let options = &self.app.options;
        let mut server = axum_server::from_tcp(self.listener)?
            .handle(handle.clone())
            .http1_only()
            .first_request_timeout(options.client_timeout);
        limits::on_headers(&mut server, options);
        let acceptor = limits::Door::new(handle, options.max_connections);
        let served = match self.tls {
            None => server.acceptor(acceptor).serve(service).await,
            Some(tls) => server.acceptor(tls.acceptor(acceptor)).serve(service).await,
        };
        caretaker.abort();
        Ok(served?)
    }
}

/// Batches that an earlier server has left are gone on with. A folder that cannot be used is no reason
/// not to answer; whoever asks for what is in it is told.
async fn go_on_with_batches(app: &SharedApp) {
    if !app.disk.is_there() {
        return;
    }
    if let Err(error) = app.disk.open(app).await {
        tracing::warn!(%error, "files and batches are not served");
    }
}

/// The address behind a name; of several the first.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, ServeError> {
    let refused = |source| ServeError::Bind {
        host: host.to_owned(),
        port,
        source,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut all = lookup_host((bare, port)).await.map_err(refused)?;
    all.next()
        .ok_or_else(|| refused(std::io::ErrorKind::AddrNotAvailable.into()))
}

/// Unloads idle models, and ends answers that nobody takes.
async fn take_care(app: SharedApp) {
    let patience = app.options.client_timeout;
    let every = app.options.idle.map_or(LOOK_EVERY, |idle| idle / 4);
    let every = every.min(patience / 4).min(LOOK_EVERY);
    let mut clock = tokio::time::interval(every.max(Duration::from_millis(10)));
    loop {
        clock.tick().await;
        app.running.cancel_stalled(patience);
        if let Some(idle) = app.options.idle {
            app.models.unload_idle(idle);
        }
    }
}

/// Ends a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerHandle {
    inner: Handle<SocketAddr>,
    app: SharedApp,
}

impl ServerHandle {
    /// Takes no more requests, lets running answers go on for [`ServerOptions::grace`], then ends them
    /// with what they have. Returns when all is over.
    pub async fn shut_down(&self) {
        self.app.is_closing.store(true, Ordering::Relaxed);
        // What is left of them is done after the next start.
        self.app.disk.stop();
        self.inner.graceful_shutdown(None);
        let _ = tokio::time::timeout(self.app.options.grace, self.all_gone()).await;
        self.app.running.cancel_all();
        let _ = tokio::time::timeout(LAST_WORDS, self.all_gone()).await;
        self.inner.shutdown();
    }

    /// Ends at once, whatever runs.
    pub fn abort(&self) {
        self.app.is_closing.store(true, Ordering::Relaxed);
        self.app.disk.stop();
        self.inner.shutdown();
        self.app.running.cancel_all();
    }

    async fn all_gone(&self) {
        while self.inner.connection_count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs a server on a runtime of its own until Ctrl-C or SIGTERM, the second of which ends it at once.
/// `ready` hears of the server when it listens.
///
/// # Errors
/// As [`Server::bind`] and [`Server::serve`].
pub fn run(options: ServerOptions, ready: impl FnOnce(&Server)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The cores are for the model; these threads move bytes.
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let server = Server::bind(options).await?;
        tokio::spawn(end_on_signals(server.handle())?);
        ready(&server);
        server.serve().await
    });
    // A model that is being loaded is not waited for.
    runtime.shutdown_background();
    result
}

/// The first signal shuts the server down, the second ends it.
fn end_on_signals(
    handle: ServerHandle,
) -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
    let mut signals = Signals::new()?;
    Ok(async move {
        signals.next().await;
        tracing::info!("finishing what runs; another signal ends it at once");
        tokio::select! {
            () = handle.shut_down() => {}
            () = signals.next() => handle.abort(),
        }
    })
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, ServeError> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Where nothing can be listened to, nothing arrives.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
