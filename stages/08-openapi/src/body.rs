//! The body of a request, for handlers.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use shared::http::{MatchedRequest, ParsedJson};

/// The JSON body of a request: what the contract's layer has parsed, or its bytes where that layer is not.
///
/// # Errors
///
/// When it is not what `T` reads.
pub fn parsed_body<T: DeserializeOwned>(
    request: &mut MatchedRequest,
) -> Result<T, serde_json::Error> {
    match request.request.extensions_mut().remove::<ParsedJson>() {
        Some(ParsedJson(body)) => serde_json::from_value(Arc::unwrap_or_clone(body)),
        None => serde_json::from_slice(request.request.body()),
    }
}
