//! The stream of all events, for a key that sees its own evaluations only.
//!
//! Events carry the id of their evaluation, and not its owner. So the stream is read event by event,
//! and what belongs to another key is dropped. Numbers that are missing for the reader are those of
//! other keys; they say how much happens on the server, and nothing else.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde::Deserialize;
use shared::BoxError;
use shared::http::Body;
use uuid::Uuid;

use super::owners::Owners;

/// The end of an event.
const EVENT_END: &[u8] = b"\n\n";
/// The largest event that is looked at. A longer one ends the stream.
const MAX_EVENT_BYTES: usize = 16 << 20;
/// Events without a subject that every reader gets, by the beginning of their type.
const PUBLIC_TYPES: [&str; 2] = ["platform.", "stream."];

/// What decides whether an event is shown.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    subject: Option<Uuid>,
}

/// The events are not what a stream of events has.
#[derive(Debug, thiserror::Error)]
#[error("an event of the stream could not be read")]
struct UnreadableEvent;

struct Feed {
    body: stream::BoxStream<'static, Result<Bytes, BoxError>>,
    owners: Arc<Owners>,
    principal: String,
    buffer: BytesMut,
    searched: usize,
}

/// The same stream, with the events that `principal` may see.
pub(super) fn only_own(body: Body, owners: Arc<Owners>, principal: String) -> Body {
    let body = body.into_data_stream().boxed();
    let feed = Feed { body, owners, principal, buffer: BytesMut::new(), searched: 0 };
    let frames = stream::try_unfold(feed, |mut feed| async move {
        Ok(feed.next().await?.map(|event| (Frame::data(event), feed)))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Feed {
    /// The next event that is shown. None at the end of the stream.
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        loop {
            while let Some(event) = self.take_event() {
                if is_shown(&self.owners, &self.principal, &event).await? {
                    return Ok(Some(event));
                }
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(UnreadableEvent.into());
            }
            match self.body.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }

    /// The first event in the buffer, if its end is there. No byte is searched twice.
    fn take_event(&mut self) -> Option<Bytes> {
        let mut windows = self.buffer[self.searched..].windows(EVENT_END.len());
        let Some(at) = windows.position(|bytes| bytes == EVENT_END) else {
            self.searched = self.buffer.len().saturating_sub(1);
            return None;
        };
        let end = self.searched + at + EVENT_END.len();
        self.searched = 0;
        Some(self.buffer.split_to(end).freeze())
    }
}

/// Whether an event is the reader's own, or every reader's. An event that cannot be read is not.
async fn is_shown(owners: &Owners, principal: &str, event: &[u8]) -> Result<bool, BoxError> {
    let data = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:"));
    let Some(data) = data else {
        // A comment keeps the connection open.
        return Ok(event.starts_with(b":"));
    };
    let Ok(envelope) = serde_json::from_slice::<Envelope>(data) else { return Ok(false) };
    match envelope.subject {
        Some(id) => Ok(owners.is_owner(principal, id).await?),
        None => Ok(PUBLIC_TYPES.iter().any(|prefix| envelope.kind.starts_with(prefix))),
    }
}
