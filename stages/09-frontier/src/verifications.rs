//! `POST /verify`: a second program decides about a first one, and never runs beside it.
//!
//! The first one is an evaluation like any other. When it has ended, the second one, the *verifier*, is another, in a
//! sandbox of its own: it finds what the first has printed and left as files, and nothing else of it. Its exit code is
//! the verdict: 0 is `passed`, another one `failed`. Whatever else happens is `error`, which is not `passed`.
//!
//! The pair is stored when it is accepted. The verifier's id is stored before the verifier is accepted under it, so
//! that a crash leaves no doubt: the next start looks whether there is an evaluation with that id.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a program prints a verdict, or exits with 0 in the middle of the tests | the verifier's exit code alone counts, and it runs in another sandbox | `a_program_cannot_influence_its_verifier` |
//! | it leaves `json.py`, `sitecustomize.py`, a link, a path that climbs | its files have numbers, below a directory that no import looks into; their paths are text in a list | `a_program_cannot_influence_its_verifier` |
//! | it leaves or prints more than the verifier can hold | the verifier gets a bounded number of bytes, or there is no verdict | `what_is_too_large_is_no_verdict` |
//! | the server is killed between the two | the pair is stored, and goes on | `a_verification_goes_on_after_a_kill` |

mod evaluated;
mod run;
mod table;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use shared::EvaluationsError;
use shared::http::{BodyPolicy, MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use stage_02_queue::preferred_wait;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::actions;
use crate::batches::{BatchKind, Follower, Groups, Plan, Row, accepted, internal};
use crate::storage::SqliteStorage;
use crate::store::StoreError;
pub(crate) use evaluated::is_evaluated;
use table::Verdict;

/// The largest body of `POST /verify`, in bytes: two submissions. The contract has the same number.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Verifiers that are submitted at the same time.
const MAX_SUBMITTING: usize = 4;

/// Verifies programs by others.
pub(crate) struct Verifications {
    groups: Arc<Groups>,
    /// None when nothing is durable: then no files are taken, and nothing is verified.
    storage: Option<Arc<SqliteStorage>>,
    /// A permit for each verifier that is in memory, with what its program has left.
    submitting: Semaphore,
    /// Notified when a verdict was stored: each waiting request looks for its own.
    decided: Notify,
}

/// A verification as clients see it.
#[derive(Debug, Serialize)]
struct Verification {
    id: Uuid,
    status: &'static str,
    created_at: Timestamp,
    verdict: Option<Verdict>,
    /// Why there is no verdict of the verifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The evaluation of the program.
    program: Uuid,
    /// The evaluation of the verifier, once it is accepted.
    verifier: Option<Uuid>,
}

type Answer = Result<Response, Problem>;

impl Verifications {
    /// Verifications over `storage`. Those that had no verdict when the server ended go on.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub(crate) async fn start(
        groups: Arc<Groups>,
        storage: Option<Arc<SqliteStorage>>,
    ) -> Result<Arc<Self>, StoreError> {
        let submitting = Semaphore::new(MAX_SUBMITTING);
        let verifications = Arc::new(Self { groups, storage, submitting, decided: Notify::new() });
        let undecided = verifications.groups.store.read(table::undecided).await?;
        for id in undecided {
            verifications.spawn(id);
        }
        Ok(verifications)
    }

    /// The routes, to be merged over those of the platform.
    pub(crate) fn routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::POST, "/verify", Self::submit)
            .route(Method::GET, "/verify/{id}", Self::get);
        let body = BodyPolicy::Buffered { max_bytes: Some(MAX_BODY_BYTES) };
        Router::from(routes).body_policy(&Method::POST, "/verify", body)
    }

    async fn submit(self: Arc<Self>, mut request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (wait, context) = (preferred_wait(&request)?, request.context());
        let (program, verifier) = self.groups.parsed(&mut request, wire::parse).await?;
        if self.storage.is_none() {
            let detail =
                "this server stores nothing on disk, and cannot verify what a program left";
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        self.groups.check_health()?;
        let verifications = Arc::clone(&self);
        let plan = Plan {
            kind: BatchKind::Verification,
            detail: String::new(),
            submissions: vec![program],
            follower: Some(Follower {
                submission: verifier,
                plan: table::plan,
                start: Box::new(move |row| verifications.spawn(row.id)),
            }),
            action: actions::VERIFICATION_SUBMIT,
        };
        let row = self.groups.accept(&context, plan).await?;
        let verification = self.ended(&row, wait.unwrap_or_default()).await?;
        let has_ended = wait.is_some() && verification.verdict.is_some();
        accepted(has_ended, &format!("/verify/{}", row.id), wait, &verification)
    }

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (id, context) = (request.param("id")?, request.context());
        let row = self.groups.find(&context, BatchKind::Verification, id).await?;
        json(StatusCode::OK, &self.ended(&row, Duration::ZERO).await?)
    }

    /// The verification as soon as it has a verdict, or as it is after `wait`.
    async fn ended(&self, row: &Row, wait: Duration) -> Result<Verification, EvaluationsError> {
        let deadline = Instant::now() + wait;
        loop {
            // Before the verdict is read: one that comes in between wakes this request.
            let decided = self.decided.notified();
            let id = row.id;
            let state = self.groups.store.read(move |database| table::state(database, id)).await;
            let state = state.map_err(internal)?.ok_or(EvaluationsError::NotFound)?;
            let is_over = state.verdict.is_some()
                || tokio::time::timeout_at(deadline, decided).await.is_err();
            if is_over {
                return Ok(Verification {
                    id,
                    status: if state.verdict.is_some() { "ended" } else { "running" },
                    created_at: row.created_at,
                    verdict: state.verdict,
                    error: state.error,
                    program: *row.members.first().ok_or(EvaluationsError::NotFound)?,
                    verifier: state.verifier,
                });
            }
        }
    }
}
