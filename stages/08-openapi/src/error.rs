//! Why a contract or one of its schemas cannot be used.

use shared::{BoxError, Hint};

/// Why a contract cannot be used. `pointer` is a JSON Pointer to the place in it.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// It is not YAML.
    #[error("the contract is not YAML")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It is not of a version whose schemas are JSON Schema.
    #[error("the contract is not OpenAPI 3.1")]
    Version,
    /// A required member is missing.
    #[error("the contract has no `{what}` at {pointer}")]
    Missing {
        /// Where.
        pointer: String,
        /// What.
        what: &'static str,
    },
    /// It has something that this program cannot check.
    #[error("the contract has {what} at {pointer}, which cannot be checked")]
    Unsupported {
        /// Where.
        pointer: String,
        /// What.
        what: String,
    },
    /// Two paths match the same requests, or one is not written as a path.
    #[error("the path {path} cannot be matched")]
    Path {
        /// Which.
        path: String,
        /// Why.
        source: matchit::InsertError,
    },
    /// One of its schemas cannot be compiled.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// An overlay cannot be applied to it.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

impl Hint for ContractError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Overlay(OverlayError::Conflict { .. }) => {
                Some("to replace it, remove it in an earlier action of the overlay")
            }
            _ => None,
        }
    }
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the schema at {pointer} cannot be used")]
pub struct SchemaError {
    /// A JSON Pointer to it.
    pub pointer: String,
    /// What is wrong.
    pub source: BoxError,
}

/// Why an overlay cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// It is not YAML.
    #[error("the overlay is not YAML")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It does not have the form of an overlay.
    #[error("this is no overlay")]
    Form(#[source] serde_json::Error),
    /// It is of another version.
    #[error("the overlay is not of version 1.0 but {0}")]
    Version(String),
    /// An action both updates and removes, or does neither.
    #[error("the action on {0} needs either `update` or `remove`")]
    Action(String),
    /// The target is a `JSONPath` with more in it than names.
    #[error("the target {0} is not a path of names, such as $.paths['/eval'].get")]
    Target(String),
    /// The target selects nothing.
    #[error("the target {0} is not in the contract")]
    NoTarget(String),
    /// The contract has another value there.
    #[error("the overlay would change {pointer}, which the contract has already")]
    Conflict {
        /// Where.
        pointer: String,
    },
}
