//! The state of a sandbox as clients see it and the database has it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::SandboxInfo;
use stage_06_advanced::SandboxLimits;
use uuid::Uuid;

/// Where a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// It is being opened.
    Starting,
    /// It executes commands.
    Ready,
    /// Nothing of it is left but its record.
    Ended,
}

/// Why a sandbox has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndReason {
    /// Its client removed it.
    Removed,
    /// It was not used for as long as its client had said.
    IdleTimeout,
    /// Its lifetime was over.
    LifetimeExceeded,
    /// It used more memory than its limit.
    MemoryExceeded,
    /// Its first process, or gVisor's kernel, has ended.
    SandboxEnded,
    /// The server has stopped, in order: by a signal, or because the process of its engine was gone.
    ServerStopped,
    /// The server was started again, after one that could not say that it stops.
    ServerRestarted,
    /// It did not start, or its engine failed.
    EngineError,
}

/// All reasons, for metrics that are there from the start.
pub(super) const END_REASONS: [EndReason; 8] = [
    EndReason::Removed,
    EndReason::IdleTimeout,
    EndReason::LifetimeExceeded,
    EndReason::MemoryExceeded,
    EndReason::SandboxEnded,
    EndReason::ServerStopped,
    EndReason::ServerRestarted,
    EndReason::EngineError,
];

impl EndReason {
    /// Its name in responses and in the database.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::IdleTimeout => "idle_timeout",
            Self::LifetimeExceeded => "lifetime_exceeded",
            Self::MemoryExceeded => "memory_exceeded",
            Self::SandboxEnded => "sandbox_ended",
            Self::ServerStopped => "server_stopped",
            Self::ServerRestarted => "server_restarted",
            Self::EngineError => "engine_error",
        }
    }

    /// The reason with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        END_REASONS.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// The end of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) at: Timestamp,
    pub(super) reason: EndReason,
}

pub(super) type Labels = BTreeMap<String, String>;

/// A sandbox, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: Uuid,
    /// The id of its key; empty on a server without keys.
    pub(super) owner: String,
    pub(super) fixed: Fixed,
    pub(super) labels: Labels,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) lifetime_seconds: u64,
    pub(super) ended: Option<Ended>,
}

/// What does not change any more. The database has it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fixed {
    pub(super) environment: String,
    pub(super) limits: SandboxLimits,
    pub(super) user: String,
    pub(super) workdir: String,
    pub(super) idle_timeout_seconds: u64,
    pub(super) sandbox: SandboxInfo,
}

/// A sandbox as clients see it.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    id: Uuid,
    status: Status,
    #[serde(flatten)]
    fixed: &'a Fixed,
    labels: &'a Labels,
    created_at: Timestamp,
    expires_at: Timestamp,
    lifetime_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<EndReason>,
}

impl Record {
    #[cfg(test)]
    pub(super) fn for_test(owner: &str, label: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            owner: owner.to_owned(),
            fixed: Fixed {
                environment: "agent".to_owned(),
                limits: stage_06_advanced::SandboxBounds::default().default,
                user: "agent".to_owned(),
                workdir: "/home/agent".to_owned(),
                idle_timeout_seconds: 60,
                sandbox: SandboxInfo::default(),
            },
            labels: [("task".to_owned(), label.to_owned())].into(),
            created_at: now(),
            expires_at: now(),
            lifetime_seconds: 60,
            ended: None,
        }
    }

    /// The sandbox as clients see it. One that has not ended is `live`.
    pub(super) fn view(&self, live: Status) -> View<'_> {
        View {
            id: self.id,
            status: if self.ended.is_some() { Status::Ended } else { live },
            fixed: &self.fixed,
            labels: &self.labels,
            created_at: self.created_at,
            expires_at: self.expires_at,
            lifetime_seconds: self.lifetime_seconds,
            ended_at: self.ended.map(|ended| ended.at),
            end_reason: self.ended.map(|ended| ended.reason),
        }
    }
}

/// The present time, as precise as it is stored.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
