//! The beginning of a sandbox: its place in the quota, its row, and its first answer.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json as value;
use shared::{EvaluationsError, RequestContext};
use stage_06_advanced::{
    OpenError, SandboxChannel, SandboxDefaults, SandboxEnvironment, SandboxOrder,
};
use uuid::Uuid;

use super::executions::Executions;
use super::lease::Lease;
use super::problem::Failure;
use super::quota::Place;
use super::state::{EndReason, Fixed, Record, now};
use super::wire::CreateRequest;
use super::{Sandboxes, table};
use crate::accounts::{Intake, spawn};
use crate::audit;
use crate::audit::actions;
use crate::idempotency::{Begin, Kind};

/// How long a sandbox may take to start: its files, its kernel, and the greeting of its first process.
const OPEN_TIMEOUT: Duration = Duration::from_mins(1);
/// What is added to a lifetime that the sandbox enforces itself, should its host not do it before.
pub(super) const LIFETIME_GRACE: Duration = Duration::from_mins(1);
/// When a place in the engine is likely to be free, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A sandbox that is to be opened.
struct Opening {
    record: Record,
    place: Place,
    environment: SandboxEnvironment,
}

impl Sandboxes {
    // ANCHOR: create
    /// Opens a sandbox, or returns the one that the first request with the same key has opened.
    pub(super) async fn create(
        self: &Arc<Self>,
        context: &RequestContext,
        request: CreateRequest,
    ) -> Result<Uuid, Failure> {
        let fingerprint = value!([
            request.environment,
            request.limits,
            request.idle_timeout_seconds,
            request.lifetime_seconds,
            request.labels,
        ]);
        let id = Uuid::now_v7();
        let mut first = None;
        if let Some(key) = &context.idempotency_key {
            let (owner, plan) = (context.principal.as_deref(), (Kind::Sandbox, id));
            match self.intake.idempotency.begin(owner, key, &fingerprint, plan).await? {
                Begin::Replay(id) => return Ok(id),
                Begin::New(record) => first = Some(record),
            }
        }
        let (sandboxes, context) = (Arc::clone(self), context.clone());
        // A task of its own: a client that disconnects leaves no key that is pending, and finds its sandbox by that.
        let opened = spawn(async move {
            let opened = sandboxes.open(&context, id, request).await;
            match (first, &opened) {
                (Some(record), Ok(())) => sandboxes.intake.idempotency.complete(record).await,
                (Some(record), Err(_)) => sandboxes.intake.idempotency.forget(record).await,
                (None, _) => {}
            }
            Ok::<_, EvaluationsError>(opened)
        });
        opened.await?.map(|()| id)
    }
    // ANCHOR_END: create

    async fn open(
        self: &Arc<Self>,
        context: &RequestContext,
        id: Uuid,
        request: CreateRequest,
    ) -> Result<(), Failure> {
        let owner = context.principal.clone().unwrap_or_default();
        if !owner.is_empty() {
            let day = self.intake.quotas.check_day(&owner, Timestamp::now());
            day.map_err(EvaluationsError::from)?;
        }
        let support = self.engine()?.support();
        // Attack: fill the machine with what each sandbox may use above its limit -> the quota counts that too.
        let place = self.quotas.take(&owner, support.reserved_bytes(&request.limits));
        let place = place.map_err(EvaluationsError::from)?;
        let environment = support.environment(&request.environment).cloned();
        let environment =
            environment.ok_or_else(|| Failure::field("/environment", "choose another"))?;
        let created_at = now();
        let lifetime =
            SignedDuration::from_secs(i64::try_from(request.lifetime_seconds).unwrap_or(0));
        let mut sandbox = support.sandbox;
        sandbox.image_digest = Some(environment.digest.clone());
        let record = Record {
            id,
            owner,
            labels: request.labels,
            created_at,
            expires_at: created_at + lifetime,
            lifetime_seconds: request.lifetime_seconds,
            ended: None,
            fixed: Fixed {
                environment: request.environment,
                limits: request.limits,
                user: environment.user.clone(),
                workdir: environment.workdir.clone(),
                idle_timeout_seconds: request.idle_timeout_seconds,
                sandbox,
            },
        };
        self.open_as(context, Opening { record, place, environment }).await
    }

    /// Opens it while its row is written.
    async fn open_as(
        self: &Arc<Self>,
        context: &RequestContext,
        Opening { record, place, environment }: Opening,
    ) -> Result<(), Failure> {
        let id = record.id;
        let executions = Executions::new(
            self.outputs.join(id.to_string()),
            self.max_output_bytes,
            (Arc::clone(&self.counters.stored_bytes), Arc::clone(&self.spool_memory)),
        );
        let lease = Lease::new(&record, executions, place);
        {
            let mut live = self.live();
            if self.closing.is_cancelled() {
                return Err(refused(&OpenError::Closed {}));
            }
            live.insert(id, Arc::clone(&lease));
        }
        self.counters.opened();
        let lifetime = record.lifetime_seconds;
        let order =
            SandboxOrder { id, environment: environment.name.clone(), limits: record.fixed.limits };
        let detail = value!({ "environment": environment.name });
        let entry = Intake::entry(context, actions::SANDBOX_CREATE, id, &detail);
        let insert = self.store.write(move |database| {
            table::insert(database, &record)?;
            entry.map(|entry| audit::table::append(database, &entry)).transpose()
        });
        let (inserted, opened) = tokio::join!(insert, self.channel(order, &environment, lifetime));
        let channel = match (inserted, opened) {
            (Ok(_), Ok(channel)) => channel,
            (Err(error), _) => {
                self.end(&lease, EndReason::EngineError).await;
                return Err(error.into());
            }
            (Ok(_), Err(failure)) => {
                self.end(&lease, EndReason::EngineError).await;
                return Err(failure);
            }
        };
        tracing::info!(%id, "sandbox opened");
        let channel = Arc::new(channel);
        lease.opened(Arc::clone(&channel));
        tokio::spawn(Arc::clone(self).watch(lease, channel));
        Ok(())
    }

    /// Opens a sandbox, and waits for the greeting of its first process.
    async fn channel(
        &self,
        order: SandboxOrder,
        environment: &SandboxEnvironment,
        lifetime_seconds: u64,
    ) -> Result<SandboxChannel, Failure> {
        let open = async {
            let socket = self.engine()?.open(order).await.map_err(|error| refused(&error))?;
            let defaults = SandboxDefaults {
                user: environment.user.clone(),
                workdir: environment.workdir.clone(),
                env: environment.variables.clone(),
                allows_root: environment.has_root,
            };
            let channel = SandboxChannel::new(socket, &defaults);
            channel.set_lifetime(Duration::from_secs(lifetime_seconds) + LIFETIME_GRACE);
            channel.ready().await.map_err(|error| failed(&error))?;
            Ok(channel)
        };
        let opened = tokio::time::timeout(OPEN_TIMEOUT, open).await;
        opened.unwrap_or_else(|elapsed| Err(failed(&elapsed)))
    }
}

/// What a client is answered when the engine opens nothing.
fn refused(error: &OpenError) -> Failure {
    match error {
        OpenError::Full { .. } => {
            let problem = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "full", error.to_string());
            problem.retry_after(RETRY_AFTER_SECONDS)
        }
        OpenError::UnknownEnvironment { .. } | OpenError::NotForSandboxes { .. } => {
            Failure::field("/environment", error.to_string())
        }
        OpenError::Limit { name, .. } => {
            Failure::field(&format!("/limits/{name}"), error.to_string())
        }
        OpenError::Closed {} => {
            let detail = "the server is stopping, or its engine is gone";
            let problem = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "closed", detail);
            problem.retry_after(RETRY_AFTER_SECONDS)
        }
        OpenError::IdInUse {} | OpenError::Failed { .. } => failed(error),
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    tracing::warn!(error = %error, "a sandbox was not opened");
    let detail = "the sandbox did not start; the log of the server has the reason";
    let problem = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not_started", detail);
    problem.retry_after(RETRY_AFTER_SECONDS)
}
