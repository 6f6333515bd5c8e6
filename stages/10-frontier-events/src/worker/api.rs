//! What a worker asks its API: over HTTP, or in the same process.

use std::time::Duration;

use http::StatusCode;
use shared::cli::BuildError;
use shared::{BoxError, BoxFuture};

use crate::fleet::wire::{
    Announcement, ClaimReply, ClaimRequest, FileRequest, OutputRequest, ResultRequest, SyncReply,
    SyncRequest, Welcome,
};

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// There was no response.
    #[error("the API cannot be reached")]
    Unreachable(#[source] BoxError),
    /// There was another response than a success.
    #[error("the API answers {status}: {detail}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// What it says.
        detail: String,
    },
}

impl ApiError {
    /// The status of the response, if there was one.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unreachable(_) => None,
            Self::Status { status, .. } => Some(*status),
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status().is_none_or(|status| {
            let is_busy =
                matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            status.is_server_error() || is_busy
        })
    }

    /// Whether the API does not know this worker, as after a restart.
    pub(crate) fn is_unknown_worker(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// What an operator can do about it.
    fn hint(&self) -> &'static str {
        match self.status() {
            None => "check --api, and whether the API runs",
            Some(StatusCode::UNAUTHORIZED) => {
                "give a key with --api-key-file; on the API's machine: keys create --name NAME --scope worker"
            }
            Some(StatusCode::FORBIDDEN) => {
                "the key needs the scope worker; on the API's machine: keys create --name NAME --scope worker"
            }
            Some(StatusCode::NOT_FOUND) => "check --api: only stage 10 has workers",
            Some(StatusCode::CONFLICT) => "start API and worker with settings that fit",
            Some(_) => "the log of the API has the cause",
        }
    }
}

impl From<ApiError> for BuildError {
    fn from(error: ApiError) -> Self {
        let hint = error.hint();
        BuildError::from(anyhow::Error::new(error)).with_hint(hint)
    }
}

/// What the API answers.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// The API, as one worker sees it. Each request may be sent again when its answer was lost.
pub(crate) trait Api: Send + Sync {
    /// Joins the fleet, or changes what was said.
    fn announce<'a>(&'a self, announcement: &'a Announcement) -> Answer<'a, Welcome>;

    /// Gives a sign of life, and waits for news: so long at most.
    fn sync<'a>(&'a self, request: &'a SyncRequest, timeout: Duration) -> Answer<'a, SyncReply>;

    /// Claims what a ticket stands for.
    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> Answer<'a, ClaimReply>;

    /// Reports output.
    fn output<'a>(&'a self, request: &'a OutputRequest) -> Answer<'a, ()>;

    /// Reports a part of a file.
    fn file<'a>(&'a self, request: &'a FileRequest) -> Answer<'a, ()>;

    /// Reports the end.
    fn result<'a>(&'a self, request: &'a ResultRequest) -> Answer<'a, ()>;

    /// Leaves the fleet.
    fn leave(&self) -> Answer<'_, ()>;
}
