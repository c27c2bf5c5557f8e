//! HTTPS.

mod support;

use ponder_server::{ServeError, Server, ServerOptions, TlsFiles};
use reqwest::{Certificate, Client, StatusCode};
use support::options;

/// Signed by itself, for 127.0.0.1 and a hundred years, and used nowhere else.
const CERTIFICATE: &[u8] = include_bytes!("secure/cert.pem");
const KEY: &[u8] = include_bytes!("secure/key.pem");

#[tokio::test]
async fn a_server_shows_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, CERTIFICATE).expect("a file");
    std::fs::write(&files.key, KEY).expect("a file");
    let with = |files: &TlsFiles| ServerOptions {
        tls: Some(files.clone()),
        ..options()
    };
    let server = Server::bind(with(&files)).await.expect("the server starts");
    let (url, handle) = (server.url(), server.handle());
    assert!(url.starts_with("https://"));
    tokio::spawn(server.serve());
    let own = Certificate::from_pem(CERTIFICATE).expect("a certificate");
    let client = Client::builder().no_proxy().tls_certs_only([own]).build();
    let client = client.expect("a client");
    let health = client.get(format!("{url}/health")).send().await;
    assert_eq!(health.expect("a response").status(), StatusCode::OK);
    // Who does not know the certificate does not trust it, and plain HTTP is not spoken here.
    let stranger = Client::builder().no_proxy().build().expect("a client");
    assert!(stranger.get(format!("{url}/health")).send().await.is_err());
    let plain = url.replace("https", "http");
    assert!(
        stranger
            .get(format!("{plain}/health"))
            .send()
            .await
            .is_err()
    );
    handle.abort();

    std::fs::write(&files.key, "no key").expect("a file");
    let error = Server::bind(with(&files)).await.expect_err("no key");
    assert!(matches!(error, ServeError::Tls { .. }), "{error}");
    std::fs::remove_file(&files.key).expect("is removed");
    let error = Server::bind(with(&files)).await.expect_err("no file");
    assert!(error.to_string().contains("key.pem"), "{error}");
}
