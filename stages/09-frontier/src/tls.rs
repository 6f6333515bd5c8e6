//! TLS in front of the HTTP server, by rustls.
//!
//! The certificate is read while the process may still read it, before the API process gives up its
//! rights. The handshake is a part of the first read of a connection, so that the deadlines and the
//! places of the accept loop hold for it as well.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a connection that never starts its handshake | the header's deadline | `a_handshake_that_never_comes_is_cut_off` |
//! | an old version of the protocol | rustls has TLS 1.2 and 1.3 alone | the library's |
//! | keys are sent in clear text to the same port | what is no TLS is closed | `plain_http_is_refused` |

mod client;
mod stream;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::BoxFuture;
use shared::http::{Endpoint, HttpServerFn};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig};

pub use client::{client_config, system_roots};
use stream::TlsStream;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} has no {what} in PEM", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// The certificate and the key cannot be used, or not together.
    #[error("the certificate and the private key cannot be used together")]
    Unusable(#[source] rustls::Error),
}

impl shared::Hint for TlsError {
    fn hint(&self) -> Option<&'static str> {
        Some("give --tls-cert and --tls-key two PEM files that belong together")
    }
}

/// Reads a certificate and its key.
///
/// # Errors
///
/// [`TlsError`], when they cannot be read or used.
pub(crate) fn configuration(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = pem_of(cert, "certificate", |bytes| {
        CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, pem::Error>>()
    })?;
    if certificates.is_empty() {
        return Err(TlsError::Form { path: cert.to_owned(), what: "certificate" });
    }
    let key = pem_of(key, "private key", PrivateKeyDer::from_pem_slice)?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn pem_of<T>(
    path: &Path,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, pem::Error>,
) -> Result<T, TlsError> {
    let bytes =
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|_| TlsError::Form { path: path.to_owned(), what })
}

// ANCHOR: server
/// A web server that speaks TLS.
pub(crate) fn server(configuration: Arc<ServerConfig>) -> HttpServerFn {
    let acceptor = TlsAcceptor::from(configuration);
    Arc::new(move |endpoint, listener| serve(endpoint, listener, acceptor.clone()))
}

fn serve(
    endpoint: Arc<Endpoint>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (options, shutdown) = (endpoint.options().clone(), endpoint.shutdown().clone());
        let service = hyper::service::service_fn(move |request| {
            let endpoint = Arc::clone(&endpoint);
            async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
        });
        let layer = move |stream| TlsStream::new(&acceptor, stream);
        stage_02_queue::accept_over(listener, &options, shutdown, service, layer).await;
    })
}
// ANCHOR_END: server

#[cfg(test)]
mod tests;
