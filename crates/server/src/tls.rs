//! HTTPS, with a certificate from files.

use std::path::Path;
use std::sync::Arc;

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};

use crate::error::ServeError;
use crate::options::TlsFiles;

/// What does the handshake.
pub(crate) async fn acceptor(files: &TlsFiles) -> Result<RustlsAcceptor, ServeError> {
    let certificate = read(&files.certificate).await?;
    let key = read(&files.key).await?;
    let config = RustlsConfig::from_pem(certificate, key).await;
    let config = config.map_err(|error| ServeError::Tls {
        path: files.certificate.clone(),
        message: format!("the certificate and its key are not usable: {error}"),
    })?;
    let mut inner = (*config.get_inner()).clone();
    inner.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(
        inner,
    ))))
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    let bytes = tokio::fs::read(path).await;
    bytes.map_err(|error| ServeError::Tls {
        path: path.to_owned(),
        message: error.to_string(),
    })
}
