//! Requests to an API at an address.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::BoxError;
use shared::cli::BuildError;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api::{Answer, Api, ApiError};
use crate::fleet::wire::{
    Announcement, ClaimReply, ClaimRequest, FileRequest, OutputRequest, ResultRequest, SyncReply,
    SyncRequest, Welcome,
};
use stage_09_frontier::{client_config, system_roots};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take; a commit takes part of it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The pauses between attempts: the first, doubled up to the last.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How long an unused connection is kept; the API closes it later.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response: a job.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// The most of an error that is shown.
const MAX_DETAIL: usize = 500;

/// The API at an address.
pub(super) struct ApiClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: Option<String>,
}

impl ApiClient {
    /// A client of the API at `api`, for this worker.
    pub(super) fn new(
        api: &Uri,
        worker: Uuid,
        key: Option<String>,
        ca: Option<&[u8]>,
    ) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let is_https = api.scheme_str() == Some("https");
        // An address without TLS needs no certificates.
        let roots = if is_https { roots(ca)? } else { RootCertStore::empty() };
        let tls = client_config(roots).map_err(anyhow::Error::new)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        let http =
            builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector);
        let base = api.to_string();
        let base = format!("{}/workers/{worker}", base.trim_end_matches('/'));
        Ok(Self { http, base, key })
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
        timeout: Duration,
    ) -> Result<T, ApiError> {
        let response = self.send(method, path, Some(body), timeout).await?;
        serde_json::from_slice(&response).map_err(|error| ApiError::Unreachable(error.into()))
    }

    async fn done(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        timeout: Duration,
    ) -> Result<(), ApiError> {
        self.send(method, path, body, timeout).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        timeout: Duration,
    ) -> Result<Bytes, ApiError> {
        let unreachable = |error: BoxError| ApiError::Unreachable(error);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|error| unreachable(error.into()))?
            }
            None => Vec::new(),
        };
        let request = request.body(Full::from(body)).map_err(|error| unreachable(error.into()))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(BoxError::from)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await?;
            Ok((status, body.to_bytes()))
        };
        let exchanged = tokio::time::timeout(timeout, exchange).await;
        let exchanged = exchanged.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let (status, body) = exchanged.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
        let detail: String = detail.unwrap_or("no details").chars().take(MAX_DETAIL).collect();
        Err(ApiError::Status { status, detail: shared::harmless(&detail) })
    }
}

impl Api for ApiClient {
    fn announce<'a>(&'a self, announcement: &'a Announcement) -> Answer<'a, Welcome> {
        Box::pin(self.json(Method::PUT, "", announcement, REQUEST_TIMEOUT))
    }

    fn sync<'a>(&'a self, request: &'a SyncRequest, timeout: Duration) -> Answer<'a, SyncReply> {
        Box::pin(self.json(Method::POST, "/sync", request, timeout))
    }

    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> Answer<'a, ClaimReply> {
        Box::pin(self.json(Method::POST, "/claim", request, REQUEST_TIMEOUT))
    }

    fn output<'a>(&'a self, request: &'a OutputRequest) -> Answer<'a, ()> {
        Box::pin(self.done(Method::POST, "/output", Some(request), REQUEST_TIMEOUT))
    }

    fn file<'a>(&'a self, request: &'a FileRequest) -> Answer<'a, ()> {
        Box::pin(self.done(Method::POST, "/files", Some(request), REQUEST_TIMEOUT))
    }

    fn result<'a>(&'a self, request: &'a ResultRequest) -> Answer<'a, ()> {
        Box::pin(self.done(Method::POST, "/result", Some(request), REQUEST_TIMEOUT))
    }

    fn leave(&self) -> Answer<'_, ()> {
        Box::pin(self.done(Method::DELETE, "", None::<&()>, CONNECT_TIMEOUT))
    }
}

/// Repeats a request until it succeeds, until its error is not temporary, or until `stop`. None then.
pub(super) async fn until_answered<'a, T>(
    stop: &CancellationToken,
    request: impl FnMut() -> Answer<'a, T>,
) -> Option<Result<T, ApiError>> {
    until_answered_or(stop, stop, request).await
}

/// The same, where `stop` waits for the answer to what is sent already, unless `now` is cancelled as well.
pub(super) async fn until_answered_or<'a, T>(
    stop: &CancellationToken,
    now: &CancellationToken,
    mut request: impl FnMut() -> Answer<'a, T>,
) -> Option<Result<T, ApiError>> {
    let (mut pause, longest) = RETRY_INTERVALS;
    loop {
        let result = now.run_until_cancelled(request()).await?;
        match result {
            Err(error) if error.is_temporary() => tracing::debug!(%error, "sent again"),
            result => return Some(result),
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
        pause = (pause * 2).min(longest);
    }
}

/// The certificates of this file, or of this system.
fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, BuildError> {
    let Some(pem) = ca else {
        return Some(system_roots()).filter(|roots| !roots.is_empty()).ok_or_else(no_certificate);
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(no_certificate)?;
    }
    if roots.is_empty() { Err(no_certificate()) } else { Ok(roots) }
}

fn no_certificate() -> BuildError {
    let error = "there is no certificate that could sign that of the API";
    BuildError::new(error).with_hint("give a PEM file with --api-ca")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_the_answer_to_what_is_sent() {
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let answer = || -> Answer<'_, u32> {
            let stop = &stop;
            Box::pin(async move {
                stop.cancel();
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(7)
            })
        };
        let answered = until_answered_or(&stop, &now, answer).await;
        assert_eq!(answered.unwrap().unwrap(), 7);
        assert!(until_answered(&stop, answer).await.is_none());
        now.cancel();
        assert!(until_answered_or(&stop, &now, answer).await.is_none());
    }
}
