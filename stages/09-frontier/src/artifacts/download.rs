//! One file as a response: a stream from the disk, with headers that make it data.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use shared::http::{Body, Problem, Response};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use super::name::disposition;
use super::{Answer, StoredArtifact};
use crate::files::FileStorage;
use crate::limits::{Permit, Shares};

/// Downloads at one moment: each has a descriptor. One key has half of them.
const MAX_DOWNLOADS: usize = 32;
/// How long one more waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client has to take a file: this, and what its size takes at the slowest rate.
const DOWNLOAD_GRACE: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: u64 = 128 << 10;
/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Attack: a file is a page whose script acts as the operator who opens it → it may do nothing, and is of
/// an origin of its own.
const POLICY: &str = "default-src 'none'; sandbox";

/// The downloads of one server.
pub(super) struct Downloads {
    permits: Shares,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { permits: Shares::new(MAX_DOWNLOADS, MAX_DOWNLOADS / 2) }
    }
}

impl Downloads {
    /// The content of a file, which is checked against its hash first.
    pub(super) async fn answer(
        &self,
        key: Option<&str>,
        files: Arc<FileStorage>,
        number: usize,
        stored: StoredArtifact,
    ) -> Answer {
        let permit = self.permit(key).await?;
        let StoredArtifact { artifact, part } = stored;
        let opened = tokio::task::spawn_blocking(move || files.open_checked(&part)).await;
        let opened = opened.map_err(|error| Problem::internal(&error))?;
        let file = opened.map_err(|error| Problem::internal(&error))?;
        let file = tokio::fs::File::from_std(file).take(artifact.bytes);
        let file = ReaderStream::with_capacity(file, CHUNK_BYTES);
        let deadline = DOWNLOAD_GRACE + Duration::from_secs(artifact.bytes / MIN_BYTES_PER_SECOND);
        let mut response = Response::new(stream(file, Instant::now() + deadline, permit));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, artifact.bytes.into());
        headers.insert(header::CONTENT_DISPOSITION, disposition(number, &artifact));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(response)
    }

    async fn permit(&self, key: Option<&str>) -> Result<Permit, Problem> {
        let permit = tokio::time::timeout(TURN_TIMEOUT, self.permits.take(key)).await;
        permit.ok().flatten().ok_or_else(|| {
            let detail = "too many files are being downloaded; try again";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            problem.with_header(header::RETRY_AFTER, 5)
        })
    }
}

/// A file as a body. One that is not taken by `deadline` is cut off, so that the client sees that something
/// is missing.
fn stream(
    file: impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
    deadline: Instant,
    permit: Permit,
) -> Body {
    let frames = file.map(move |chunk| {
        let _permit = &permit; // as long as the body
        if Instant::now() > deadline {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        }
        Ok(Frame::data(chunk?))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_download_is_a_stream_with_a_deadline() {
        let downloads = Downloads::default();
        let mut permits = Vec::new();
        for _ in 0..MAX_DOWNLOADS {
            permits.push(downloads.permit(None).await.unwrap());
        }
        let permit = permits.pop().unwrap();
        let chunks = stream::repeat_with(|| Ok("chunk".into()));
        let mut body = super::stream(chunks, Instant::now() + Duration::from_secs(1), permit);
        body.frame().await.unwrap().unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        body.frame().await.unwrap().unwrap_err();
        assert!(downloads.permit(None).await.is_err());
        drop(body);
        assert!(downloads.permit(None).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_download_too_many_is_refused() {
        let downloads = Downloads::default();
        let mut taken = Vec::new();
        for _ in 0..MAX_DOWNLOADS / 2 {
            taken.push(downloads.permit(Some("a")).await.unwrap());
        }
        let refused = downloads.permit(Some("a")).await.err().unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "a key has half of them");
        for _ in 0..MAX_DOWNLOADS / 2 {
            taken.push(downloads.permit(Some("b")).await.unwrap());
        }
        assert!(downloads.permit(Some("c")).await.is_err());
    }
}
