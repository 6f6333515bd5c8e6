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
#[derive(Debug)]
pub struct BuildError {
    error: anyhow::Error,
    hint: Option<String>,
}

impl BuildError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        anyhow::Error::msg(message.into()).into()
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error, as the cause of `message`.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        Self { error: self.error.context(message.into()), ..self }
    }
}

impl<E: Hint + 'static> From<E> for BuildError {
    fn from(error: E) -> Self {
        Self { hint: error.hint().map(str::to_owned), error: error.into() }
    }
}

impl From<anyhow::Error> for BuildError {
    fn from(error: anyhow::Error) -> Self {
        Self { error, hint: None }
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

/// The message, each cause on a line of its own, and the hint last.
impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        for cause in self.error.chain().skip(1) {
            write!(f, "\n  caused by: {cause}")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
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
