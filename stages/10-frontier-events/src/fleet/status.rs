//! The fleet for people: `GET /workers`, and a part of `GET /status`.

use serde::Serialize;
use serde_json::{Value, json};
use shared::http::Problem;
use shared::{Engine as _, SandboxInfo};
use stage_06_advanced::PlatformStatus;
use uuid::Uuid;

use super::Fleet;
use super::state::{Member, State};

/// One worker, as an administrator sees it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct WorkerStatus {
    id: Uuid,
    name: String,
    state: &'static str,
    capacity: u32,
    busy: usize,
    environments: Vec<String>,
    sandbox: SandboxInfo,
    version: String,
    seen_at: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing: Option<String>,
}

/// All workers, in the order in which they were started.
pub(super) fn list(fleet: &Fleet) -> Vec<WorkerStatus> {
    let mut state = fleet.state();
    state.forget(fleet.options.lease);
    let members = state.members.iter();
    members.map(|(id, member)| worker(fleet, &state, *id, member)).collect()
}

fn worker(fleet: &Fleet, state: &State, id: Uuid, member: &Member) -> WorkerStatus {
    let announced = &member.announcement;
    WorkerStatus {
        id,
        name: announced.name.clone(),
        state: state_of(member, fleet),
        capacity: announced.capacity,
        busy: state.busy(id),
        environments: announced.environments.keys().cloned().collect(),
        sandbox: announced.sandbox.clone(),
        version: announced.version.clone(),
        seen_at: member.seen_at,
        failing: member.failing.clone(),
    }
}

fn state_of(member: &Member, fleet: &Fleet) -> &'static str {
    if member.seen.elapsed() >= fleet.options.lease {
        "lost"
    } else if member.failing.is_some() {
        "failing"
    } else if member.drain || member.is_draining {
        "draining"
    } else {
        "ready"
    }
}

/// The status of a platform, with the sums over its fleet.
pub(super) fn with_fleet(
    status: &PlatformStatus,
    fleet: &std::sync::Arc<Fleet>,
) -> Result<Value, Problem> {
    let mut status = serde_json::to_value(status).map_err(|error| Problem::internal(&error))?;
    let sandbox = super::FleetEngine::new(std::sync::Arc::clone(fleet)).sandbox();
    let state = fleet.state();
    let open = || state.members.values().filter(|member| member.is_open(fleet.options.lease));
    let capacity: u32 = open().map(|member| member.announcement.capacity).sum();
    let is_published = |offer: &&super::state::Offer| offer.published.is_some();
    let mut section = json!({
        "workers": state.members.len(),
        "ready": open().count(),
        "capacity": capacity,
        "running": state.sessions.len(),
        "published": state.offers.values().filter(is_published).count(),
    });
    if let Some(error) = &state.broker_error {
        section["broker_error"] = error.clone().into();
    }
    drop(state);
    status["fleet"] = section;
    if status.get("sandbox").is_none() {
        status["sandbox"] =
            serde_json::to_value(sandbox).map_err(|error| Problem::internal(&error))?;
    }
    Ok(status)
}
