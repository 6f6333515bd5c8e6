//! Errors for people: a message, its causes, and a hint as data.
//!
//! The message of an error names what failed, and its `source` names why; neither repeats the
//! other. What to do about it is the hint. It is kept apart, because it is meant for the operator at
//! the terminal: in an answer over HTTP it would tell a remote client to run commands on the server.

use std::fmt;

/// A boxed error of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error that may know what the operator can do about it.
pub trait Hint: std::error::Error + Send + Sync {
    /// What the operator can do about it, as one sentence in the imperative.
    fn hint(&self) -> Option<&'static str> {
        None
    }
}

/// Why a stage could not be built, or a command of it failed: for the operator at the terminal.
///
/// Every error with a [`Hint`] converts into one, and so do plain messages and errors of the system.
pub struct BuildError {
    source: BoxError,
    hint: Option<String>,
}

impl BuildError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { source: message.into().into(), hint: None }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, as the cause of `message`.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        let source = Context { message: message.into(), source: self.source }.into();
        Self { source, hint: self.hint }
    }
}

impl<E: Hint + 'static> From<E> for BuildError {
    fn from(error: E) -> Self {
        Self { hint: error.hint().map(str::to_owned), source: Box::new(error) }
    }
}

impl From<String> for BuildError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for BuildError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        Self { source: Box::new(error), hint: None }
    }
}

impl From<serde_json::Error> for BuildError {
    fn from(error: serde_json::Error) -> Self {
        Self { source: Box::new(error), hint: None }
    }
}

/// The message, each cause on a line of its own, and the hint last.
impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(inner) = cause {
            write!(f, "\n  caused by: {inner}")?;
            cause = inner.source();
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug)]
struct Context {
    message: String,
    source: BoxError,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_comes_after_the_message_and_the_hint_comes_last() {
        let cause = std::io::Error::other("no such file");
        let error = BuildError::from(cause).context("cannot read x").with_hint("create it");
        assert_eq!(
            error.to_string(),
            "cannot read x\n  caused by: no such file\n  hint: create it"
        );
    }
}
