//! What is answered, as a plain value: to a socket, an event of Amazon's, or a test.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use shared::http::{Body, Response, full};

// ANCHOR: response
/// One response.
#[derive(Debug)]
pub struct ApiResponse {
    /// `200 OK` and so on.
    pub status: StatusCode,
    /// The headers, without those that frame a body: a host adds its own.
    pub headers: HeaderMap,
    /// The body.
    pub body: ApiBody,
}

/// The body of a response.
pub enum ApiBody {
    /// All of it.
    Bytes(Bytes),
    /// Piece by piece, as it comes. Whoever hosts it ends it by dropping it.
    Stream(BoxStream<'static, Bytes>),
}
// ANCHOR_END: response

impl std::fmt::Debug for ApiBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

impl ApiResponse {
    /// The response of a router as a plain value.
    pub async fn from_http(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = if body.size_hint().exact().is_some() {
            // All of it is there; nothing can fail, by the type of the body.
            ApiBody::Bytes(body.collect().await.unwrap_or_else(never).to_bytes())
        } else {
            let pieces = body.into_data_stream();
            ApiBody::Stream(pieces.map(|piece| piece.unwrap_or_else(never)).boxed())
        };
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// What answers `HEAD`: everything but the body.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        if let ApiBody::Bytes(bytes) = &self.body {
            self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        self.body = ApiBody::Bytes(Bytes::new());
        self
    }
}

impl ApiBody {
    /// All of the body. For a stream that is when it has ended.
    pub async fn collect(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Stream(pieces) => {
                let append = |mut all: Vec<u8>, piece: Bytes| {
                    all.extend_from_slice(&piece);
                    ready(all)
                };
                pieces.fold(Vec::new(), append).await.into()
            }
        }
    }
}

impl From<ApiResponse> for Response {
    fn from(response: ApiResponse) -> Self {
        let body = match response.body {
            ApiBody::Bytes(bytes) => full(bytes),
            ApiBody::Stream(pieces) => {
                let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
                Body::new(StreamBody::new(frames))
            }
        };
        let mut answer = Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (response.status, response.headers);
        answer
    }
}

fn never<T>(impossible: Infallible) -> T {
    match impossible {}
}
