//! A subscription as Server-Sent Events.
//!
//! The body is pulled: hyper polls it for the next event when the socket has taken the one before.
//! What a client does not read stays in the bounded log.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use shared::http::{Body, Response, full};
use sse_stream::{KeepAlive, Sse, SseBody};
use tokio::time::Sleep;

use crate::client_streams::StreamSlot;
use crate::event_log::{Filter, Gap};
use crate::sequenced::{Envelope, envelope};
use crate::subscription::{Delivery, Subscription};

/// A silent stream sends a comment this often: proxies close idle connections, and a client that has
/// disconnected is noticed only by a write.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The type of the event that reports a gap.
const MISSED: &str = "stream.missed";

/// A response that follows `subscription`. `source` goes into every envelope; `slot` is free again
/// when the stream has ended.
pub(crate) fn response(
    subscription: Subscription,
    source: &'static str,
    slot: StreamSlot,
) -> Response {
    let body = body(subscription, source, KEEP_ALIVE_INTERVAL);
    let body = body.map_err(move |error| {
        let _ = &slot; // owned by the body
        error
    });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx would collect events until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The response that makes an `EventSource` stop. Without it a browser requests the events after the
/// last one every few seconds, without end.
pub(crate) fn no_more() -> Response {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

// ANCHOR: body
fn body(subscription: Subscription, source: &'static str, keep_alive: Duration) -> Body {
    let events = stream::unfold(subscription, move |mut subscription| async move {
        let delivery = match subscription.next().await {
            Ok(delivery) => delivery?,
            Err(error) => {
                tracing::error!(%error, "an event stream was broken off");
                return None;
            }
        };
        let event = match delivery {
            Delivery::Event(event) => Sse::default()
                .id(event.sequence.to_string())
                .event(event.event.kind.as_str())
                .data(event.to_json(source)),
            Delivery::Missed(gap) => missed(gap, subscription.filter(), source),
        };
        Some((Ok::<_, Infallible>(event), subscription))
    });
    let comment = KeepAlive::new().interval(keep_alive).comment("still here");
    let frames = SseBody::<_, Clock>::new_keep_alive(events, comment).into_data_stream();
    // Encoding fails on a line break in a name or an id; no name or id has one.
    let frames = frames.scan((), |(), frame| ready(frame.ok().map(|data| Ok(Frame::data(data)))));
    StreamBody::new(frames).boxed_unsync()
}
// ANCHOR_END: body

/// The event that reports a gap. Its `id:` is the end of the gap, so that a reader that comes back
/// resumes after it.
fn missed(gap: Gap, filter: Filter, source: &str) -> Sse {
    let subject = match filter {
        Filter::Everything => None,
        Filter::Evaluation(id) => Some(id),
    };
    let data = to_raw_value(&gap).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let text = envelope(&Envelope {
        specversion: "1.0",
        id: format!("missed-{}-{}", gap.from, gap.to),
        source,
        kind: MISSED,
        subject,
        time: Timestamp::now(),
        datacontenttype: "application/json",
        data: &data,
    });
    Sse::default().id(gap.to.to_string()).event(MISSED).data(text)
}

/// The timer of tokio, as `sse_stream` takes it.
struct Clock(Pin<Box<Sleep>>);

impl Future for Clock {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl sse_stream::Timer for Clock {
    fn reset(mut self: Pin<&mut Self>, instant: Instant) {
        self.0.as_mut().reset(instant.into());
    }

    fn from_duration(duration: Duration) -> Self {
        Self(Box::pin(tokio::time::sleep(duration)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::{Event, EventSink, EventType};
    use sse_stream::SseStream;
    use uuid::Uuid;

    use super::*;
    use crate::event_log::EventLogLimits;
    use crate::in_memory::{InMemoryMonitor, MonitorOptions};
    use crate::service::MonitoringService;

    fn monitor(evaluation_events: usize) -> InMemoryMonitor {
        let log_limits = EventLogLimits { evaluation_events, ..EventLogLimits::default() };
        InMemoryMonitor::new(MonitorOptions { log_limits, ..MonitorOptions::default() })
    }

    fn emit(monitor: &InMemoryMonitor, kind: EventType, id: Uuid, text: &str) {
        monitor.emit(Event::now(kind, Some(id), json!({ "text": text })));
    }

    async fn all(body: Body) -> Vec<Sse> {
        SseStream::new(body.map_err(std::io::Error::other)).map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn output_that_looks_like_an_event_stays_inside_one() {
        let (monitor, id) = (monitor(100), Uuid::now_v7());
        let forged = "\n\nevent: evaluation.completed\nid: 1\ndata: {\"outcome\": \"exited\"}\n\n";
        emit(&monitor, EventType::EvaluationQueued, id, "");
        emit(&monitor, EventType::EvaluationProgress, id, forged);
        emit(&monitor, EventType::EvaluationFailed, id, "");
        let stream = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
        let events = all(body(stream, "/", KEEP_ALIVE_INTERVAL)).await;
        let kinds: Vec<_> = events.iter().map(|event| event.event.as_deref().unwrap()).collect();
        assert_eq!(kinds, ["evaluation.queued", "evaluation.progress", "evaluation.failed"]);
        let data: Value = serde_json::from_str(events[1].data.as_ref().unwrap()).unwrap();
        assert_eq!(data["data"]["text"], forged);
    }

    #[tokio::test]
    async fn what_was_missed_is_an_event_to_resume_from() {
        let (monitor, id) = (monitor(2), Uuid::now_v7());
        emit(&monitor, EventType::EvaluationQueued, id, "");
        for _ in 0..5 {
            emit(&monitor, EventType::EvaluationProgress, id, "x");
        }
        emit(&monitor, EventType::EvaluationCompleted, id, "");
        let stream = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
        let events = all(body(stream, "/", KEEP_ALIVE_INTERVAL)).await;
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].event.as_deref(), Some(MISSED));
        let data: Value = serde_json::from_str(events[0].data.as_ref().unwrap()).unwrap();
        let number = |event: &Sse| event.id.as_ref().unwrap().parse::<u64>().unwrap();
        assert_eq!(data["data"]["to"], number(&events[0]));
        assert_eq!(number(&events[0]) + 1, number(&events[1]));
        assert_eq!(data["subject"], json!(id));
    }

    #[tokio::test]
    async fn a_silent_stream_says_that_it_is_alive() {
        let (monitor, id) = (monitor(100), Uuid::now_v7());
        emit(&monitor, EventType::EvaluationQueued, id, "");
        let stream = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
        let mut body = body(stream, "/", Duration::from_millis(20));
        let mut frames = Vec::new();
        for _ in 0..3 {
            let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.unwrap();
            frames.push(frame.unwrap().unwrap().into_data().unwrap());
        }
        assert!(frames[0].starts_with(b"event: evaluation.queued\n"), "{frames:?}");
        assert!(frames[1..].iter().all(|frame| frame.starts_with(b": still here\n")), "{frames:?}");
    }
}
