//! Checks a large JSON response while it is sent.
//!
//! Attack: lists of evaluations with megabytes of output, each parsed into memory again for the check →
//! what is parsed is an outline: the JSON that passes, with long strings cut to their beginning. It is
//! small, because only strings are large in a response, and a response whose outline is not is a
//! violation. Test: `a_large_response_is_checked_by_its_outline`.
//!
//! What it does not check: a string after its first [`MAX_STRING_BYTES`] bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{ready, stream};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use shared::BoxError;
use shared::http::Body;
use stage_02_queue::off_runtime;

use crate::response::check_body;
use crate::schema::Schema;
use crate::violation::{Kind, Part, Violation, Violations};

/// The media type of what is checked here.
const JSON: &str = "application/json";
/// Bytes of a string that its outline has, as they are written in JSON.
const MAX_STRING_BYTES: usize = 1 << 10;
/// Bytes of an outline. A page of a list has some hundred kilobytes.
const MAX_OUTLINE_BYTES: usize = 4 << 20;

// ANCHOR: outline
/// JSON with long strings cut.
#[derive(Default)]
struct Outline {
    text: Vec<u8>,
    /// Bytes of the string that is being read; None outside of strings.
    string: Option<usize>,
    escape: Escape,
    is_cut: bool,
    is_too_large: bool,
}

/// Where in an escape the last byte was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After the backslash.
    Started,
    /// So many digits of `\u` are left.
    Digits(u8),
}

impl Outline {
    fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.follow(*byte) && !self.is_too_large {
                self.text.push(*byte);
            }
            self.is_too_large |= self.text.len() > MAX_OUTLINE_BYTES;
        }
    }

    /// Follows the syntax by one byte, and decides whether the outline has it.
    fn follow(&mut self, byte: u8) -> bool {
        let Some(length) = self.string else {
            self.string = (byte == b'"').then_some(0);
            return true;
        };
        let is_in_escape = self.escape != Escape::None;
        self.escape = match (self.escape, byte) {
            (Escape::None, b'\\') => Escape::Started,
            (Escape::Started, b'u') => Escape::Digits(4),
            (Escape::Digits(left @ 2..), _) => Escape::Digits(left - 1),
            _ => Escape::None,
        };
        if !is_in_escape && byte == b'"' {
            (self.string, self.is_cut) = (None, false);
            return true;
        }
        // A cut begins with a character: neither in an escape nor in a character of several bytes.
        let is_continuation = byte & 0xc0 == 0x80;
        self.is_cut |= length >= MAX_STRING_BYTES && !is_in_escape && !is_continuation;
        self.string = Some(length + 1);
        !self.is_cut
    }

    fn check(&self, schema: &Schema) -> Violations {
        let mut violations = Violations::default();
        if self.is_too_large {
            let detail = "this has too much beside long texts to be checked";
            violations.add(Violation::of(Part::Body, Kind::Shape, detail));
        } else {
            check_body(schema, JSON, &self.text, &mut violations);
        }
        violations
    }
}
// ANCHOR_END: outline

/// What is done with the violations of a response. An error ends it before its last piece.
pub(crate) type Report = Box<dyn FnOnce(&Violations) -> Result<(), BoxError> + Send>;

struct Checking {
    body: Body,
    outline: Outline,
    schema: Arc<Schema>,
    /// The last piece so far. It is sent when another one follows, or when the check has passed.
    held: Option<Frame<Bytes>>,
    /// None when it was called.
    report: Option<Report>,
}

// ANCHOR: wrap
/// The same body, of `length` bytes, whose outline is checked while it is sent.
pub(crate) fn wrap(body: Body, length: u64, schema: Arc<Schema>, report: Report) -> Body {
    let (outline, report) = (Outline::default(), Some(report));
    let checking = Checking { body, outline, schema, held: None, report };
    let frames = stream::try_unfold(checking, |mut checking| async move {
        let next = checking.next().await?;
        Ok::<_, BoxError>(next.map(|frame| (frame, checking)))
    });
    Body::new(Sized { inner: Body::new(StreamBody::new(frames)), left: length })
}

impl Checking {
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, BoxError> {
        while self.report.is_some() {
            let Some(frame) = self.body.frame().await.transpose()? else {
                self.finish().await?;
                break;
            };
            if let Some(data) = frame.data_ref() {
                self.outline.feed(data);
            }
            if let Some(previous) = self.held.replace(frame) {
                return Ok(Some(previous));
            }
        }
        Ok(self.held.take())
    }

    async fn finish(&mut self) -> Result<(), BoxError> {
        let (outline, schema) = (std::mem::take(&mut self.outline), Arc::clone(&self.schema));
        let violations = off_runtime(outline.text.len(), move || outline.check(&schema)).await?;
        self.report.take().map_or(Ok(()), |report| report(&violations))
    }
}
// ANCHOR_END: wrap

/// A body whose length is known.
struct Sized {
    inner: Body,
    left: u64,
}

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.left = self.left.saturating_sub(bytes as u64);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outline(text: &str, piece: usize) -> Value {
        let mut outline = Outline::default();
        text.as_bytes().chunks(piece).for_each(|piece| outline.feed(piece));
        serde_json::from_slice(&outline.text).unwrap()
    }

    #[test]
    fn only_long_strings_are_cut() {
        let value = json!({ "a\"b\\": [1, -2.5, "x\n\u{1}", "é", null], "{": {"}": "\\"} });
        for piece in [1, 3, 1000] {
            assert_eq!(outline(&value.to_string(), piece), value);
        }
        for character in ["x", "é", "\u{1f980}", "\n", "\u{1}", "\"", "\\"] {
            let long = json!({ "a": character.repeat(5000), "b": [character.repeat(5000), "end"] });
            let cut = outline(&long.to_string(), 7);
            let text = cut["a"].as_str().unwrap();
            assert!(!text.is_empty() && text.len() <= MAX_STRING_BYTES, "{}", text.len());
            assert_eq!((&cut["b"][0], &cut["b"][1]), (&cut["a"], &json!("end")));
        }
    }

    #[test]
    fn an_outline_is_bounded() {
        let mut outline = Outline::default();
        outline.feed(b"[");
        for _ in 0..100 {
            outline.feed(&b"1,".repeat(50_000));
        }
        assert!(outline.is_too_large && outline.text.len() <= MAX_OUTLINE_BYTES + 1);
    }
}
