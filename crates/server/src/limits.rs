//! What a connection may take before it has asked for anything.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;

use axum_server::Handle;
use axum_server::accept::Accept;
use tokio::net::TcpStream;

use crate::options::ServerOptions;

/// Lines of a request's head.
const MAX_HEADERS: usize = 64;

/// Bytes of a request's head, and of what is read ahead of a body.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Limits what a head may be and how long it may take.
pub(crate) fn on_headers<A>(
    server: &mut axum_server::Server<SocketAddr, A>,
    options: &ServerOptions,
) {
    server
        .http_builder()
        .http1()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .header_read_timeout(options.client_timeout);
}

/// Lets so many connections in and closes the others.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    handle: Handle<SocketAddr>,
    max_connections: usize,
}

impl Door {
    pub(crate) fn new(handle: Handle<SocketAddr>, max_connections: usize) -> Self {
        Self {
            handle,
            max_connections,
        }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = TcpStream;
    type Service = S;
    type Future = Ready<io::Result<(TcpStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // The one at the door is counted already.
        if self.handle.connection_count() > self.max_connections {
            tracing::warn!("more connections than --max-connections allows: one is closed");
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        // Events are small and meant to arrive one by one.
        ready(stream.set_nodelay(true).and(Ok((stream, service))))
    }
}
