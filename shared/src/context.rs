//! The context of a request: which client made it, and how to find it again in the log.
//!
//! The HTTP adapter makes one for each request and puts it into the request's extensions; handlers
//! pass it on to [`crate::Evaluations`], and the queue records it with the evaluation. The command
//! line and the self tests make their own with [`RequestContext::internal`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a request carries beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestContext {
    /// The request's id: from the header `x-request-id` if it has a valid one, otherwise a new UUID.
    /// It stands in the answer, in its problem, and in every log event of the request.
    pub request_id: String,
    /// The authenticated client, by the id of its key. None until a stage authenticates clients.
    pub principal: Option<String>,
    /// The address that the connection came from, when there was a connection.
    pub peer: Option<IpAddr>,
    /// The key of the header `Idempotency-Key`: set by a stage that honours it.
    pub idempotency_key: Option<String>,
}

/// The longest request id that is taken over from a client, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;

impl RequestContext {
    /// The context of a call that no client made: the command line, a self test.
    pub fn internal() -> Self {
        Self::with_request_id(None)
    }

    /// A context with the request id that the client gave, if it is a valid one.
    ///
    /// Attack: a client sends a request id with line breaks or escape sequences, to forge lines of
    /// the log → only letters, digits, `-`, `_` and `.` are taken over, at most 64 of them. Test:
    /// `a_request_id_is_taken_over_only_if_it_is_plain`.
    pub fn with_request_id(given: Option<&str>) -> Self {
        let plain = |id: &&str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(allowed)
        };
        let request_id =
            given.filter(plain).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        Self { request_id, principal: None, peer: None, idempotency_key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_over_only_if_it_is_plain() {
        let id = |given: &str| RequestContext::with_request_id(Some(given)).request_id;
        assert_eq!(id("trace-1_a.B"), "trace-1_a.B");
        let long = "x".repeat(65);
        for given in ["", "a b", "a\nlevel=ERROR", "\u{1b}[31m", "é", &long] {
            assert!(id(given).parse::<Uuid>().is_ok(), "{given:?} was taken over");
        }
    }
}
