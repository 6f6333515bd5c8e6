//! Errors of SQS as errors of a broker.

use std::error::Error;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::broker::BrokerError;

/// Why a request failed.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn failed<E>(error: SdkError<E, HttpResponse>) -> BrokerError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default().to_owned();
    let status = error.raw_response().map(|response| response.status().as_u16());
    let is_refused = match &error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(_) => {
            !is_missing(&code) && status.is_some_and(|s| (400..500).contains(&s) && s != 429)
        }
        _ => false,
    };
    let text = chain(&error, error.message());
    if ["ReceiptHandleIsInvalid", "MessageNotInflight"].iter().any(|stale| code.contains(stale)) {
        BrokerError::Stale
    } else if is_refused && !code.contains("Throttl") && !code.contains("OverLimit") {
        BrokerError::Refused(text.into())
    } else {
        BrokerError::Unavailable(text.into())
    }
}

/// The error, its causes and the message of SQS: the SDK's own first line names no cause, and its context prints
/// whole responses.
fn chain(error: &dyn Error, message: Option<&str>) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    match message {
        Some(message) if !text.contains(message) => format!("{text}: {message}"),
        _ => text,
    }
}

/// Whether a queue does not exist. SQS has two names for that.
pub(super) fn is_missing(code: &str) -> bool {
    code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue")
}
