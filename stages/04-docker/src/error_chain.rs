//! An error and its causes as one line, for logs and for reports of self tests.

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The message of `error`, followed by the message of each cause.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
