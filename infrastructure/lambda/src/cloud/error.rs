//! What can go wrong with Amazon's services.

use shared::http::Problem;
use shared::{BoxError, EvaluationsError};

/// Why an operation on the storage failed. Nothing that a client could change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloudError {
    /// DynamoDB.
    #[error("the table {table} cannot be used")]
    Table {
        /// Its name.
        table: String,
        /// What DynamoDB answers.
        source: BoxError,
    },
    /// S3.
    #[error("the object {key} cannot be read or written")]
    Object {
        /// Its key.
        key: String,
        /// What S3 answers.
        source: BoxError,
    },
    /// An item that is not what was written.
    #[error("the item of {item} has no valid {attribute}")]
    Item {
        /// Which item.
        item: String,
        /// Which attribute.
        attribute: &'static str,
    },
    /// A value that cannot be written as JSON or read from it.
    #[error("a stored value is not valid")]
    Json(#[from] serde_json::Error),
    /// Evaluations wait without a ticket, or run without a worker.
    #[error("{count} evaluations could not be repaired")]
    NotRepaired {
        /// How many of those that one sweep has looked at.
        count: usize,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl shared::Hint for CloudError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Table { .. } => Some("check CRUCIBLE_TABLE, the region and the role"),
            Self::Object { .. } => Some("check CRUCIBLE_BUCKET, the region and the role"),
            Self::NotRepaired { .. } => {
                Some("the log has a line for each: check the queues and the role")
            }
            _ => None,
        }
    }
}

impl From<CloudError> for Problem {
    fn from(error: CloudError) -> Self {
        Self::internal(&error)
    }
}

impl From<CloudError> for EvaluationsError {
    fn from(error: CloudError) -> Self {
        Self::Internal(Box::new(error))
    }
}
