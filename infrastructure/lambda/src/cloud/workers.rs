//! Workers join, give signs of life, drain and leave: an item for each, which expires.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::http::Problem;
use stage_10_frontier_events::{Announcement, SyncReply, SyncRequest, Welcome};
use uuid::Uuid;

use super::evaluations::MAX_COUNTED;
use super::row::{RUNNING, millis_in, seconds_in};
use super::sessions::Renewed;
use super::table::{Change, Item, Key, Search, id_of, number, number_of, text, text_of};
use super::{Cloud, CloudError};

/// The `pk` of all workers.
const WORKERS: &str = "workers";
/// After so many leases without a sign of life a worker is not listed any more.
const FORGET_LEASES: u32 = 10;
/// Workers that are read, at most: as many as the contract lists.
const MAX_WORKERS: usize = 256;
/// Sessions that are renewed at the same time.
const MAX_RENEWALS: usize = 16;

/// The worker that a request comes from: the id in its path, and the key that it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) worker: Uuid,
    pub(super) principal: String,
}

/// Why a worker is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    /// It has to announce itself first.
    #[error("no worker with this id has announced itself with this key")]
    Unknown,
    /// It cannot run what this API accepts.
    #[error("{0}")]
    Unfit(String),
    /// The storage failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Unknown => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            MemberError::Unfit(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            MemberError::Cloud(error) => error.into(),
        }
    }
}

fn worker_key(worker: Uuid) -> Key {
    Key::new(WORKERS, worker.to_string())
}

/// The condition of everything that a worker does after its announcement.
///
/// Attack: a key of a worker acts for another worker, whose id it has seen → the key has to be the one that has
/// announced it. Test: `a_session_belongs_to_its_worker_and_its_key`.
fn while_member(caller: &Caller) -> Change {
    let change = Change::when("attribute_exists(#pk) AND #principal = :principal");
    change.with("principal", text(&*caller.principal))
}

impl Cloud {
    fn expiry(&self) -> i64 {
        seconds_in(self.options.lease * FORGET_LEASES)
    }

    /// Makes a worker one of the fleet, or changes what it has said about itself.
    pub(super) async fn announce(
        &self,
        caller: &Caller,
        mut announcement: Announcement,
    ) -> Result<Welcome, MemberError> {
        if let Some(why) = announcement.unfit(self.options.engine, &self.options.bounds) {
            return Err(MemberError::Unfit(why));
        }
        // No environment can be named here but the default one, which has no digest.
        announcement.environments.retain(|_, digest| digest.is_none());
        let told = serde_json::to_string(&announcement).map_err(CloudError::from)?;
        let condition = "attribute_not_exists(#pk) OR #principal = :principal";
        let change = Change::when(condition)
            .with("principal", text(&*caller.principal))
            .set("principal", text(&*caller.principal))
            .set("announcement", text(told))
            .set("capacity", number(announcement.capacity))
            .set("seen", number(millis_in(Duration::ZERO)))
            .set("expires", number(self.expiry()))
            .remove("draining")
            .remove("drain")
            .remove("failing");
        let joined = self.table.update(&worker_key(caller.worker), change).await?;
        joined.ok_or(MemberError::Unknown)?;
        tracing::info!(worker = %caller.worker, name = announcement.name, "worker joined");
        let lease = self.options.lease;
        Ok(Welcome {
            lease_seconds: lease.as_secs_f64(),
            // It is not delayed: a function is paid for by its time.
            poll_seconds: (lease / 4).as_secs_f64(),
            pause_seconds: Some((lease / 4).as_secs_f64()),
        })
    }

    /// What a worker has said about itself.
    pub(super) async fn member(&self, caller: &Caller) -> Result<Announcement, MemberError> {
        let found = self.table.get(&worker_key(caller.worker)).await?;
        let found = found.filter(|item| text_of(item, "principal") == Some(&*caller.principal));
        let found = found.ok_or(MemberError::Unknown)?;
        let told = text_of(&found, "announcement").unwrap_or_default();
        Ok(serde_json::from_str(told).map_err(CloudError::from)?)
    }

    /// A sign of life, which extends the leases of its sessions, and is answered with what has changed.
    pub(super) async fn sync(
        &self,
        caller: &Caller,
        request: &SyncRequest,
    ) -> Result<SyncReply, MemberError> {
        let mut change = while_member(caller)
            .set("seen", number(millis_in(Duration::ZERO)))
            .set("expires", number(self.expiry()));
        change = if request.draining {
            change.set("draining", number(1))
        } else {
            change.remove("draining")
        };
        change = match &request.failing {
            Some(why) => change.set("failing", text(&**why)),
            None => change.remove("failing"),
        };
        let member = self.table.update(&worker_key(caller.worker), change).await?;
        let member = member.ok_or(MemberError::Unknown)?;
        let renewals: Vec<_> =
            request.sessions.iter().map(|token| self.renew(caller, token)).collect();
        let renewed: Vec<Renewed> =
            stream::iter(renewals).buffered(MAX_RENEWALS).try_collect().await?;
        let mut reply = SyncReply {
            drain: member.contains_key("drain") && !request.draining,
            ..SyncReply::default()
        };
        for session in renewed {
            match session {
                Renewed::Kept { token, is_cancelled: true }
                    if !request.cancelled.contains(&token) =>
                {
                    reply.cancel.push(token);
                }
                Renewed::Lost(token) => reply.lost.push(token),
                Renewed::Kept { .. } | Renewed::Recorded => {}
            }
        }
        Ok(reply)
    }

    /// Has a worker take no more tickets. What runs goes on.
    pub(super) async fn drain(&self, worker: Uuid) -> Result<(), MemberError> {
        let change = Change::when("attribute_exists(#pk)").set("drain", number(1));
        let drained = self.table.update(&worker_key(worker), change).await?;
        drained.map(drop).ok_or(MemberError::Unknown)
    }

    /// Forgets a worker: its item has expired from now on. What it still has is lost after its lease.
    pub(super) async fn leave(&self, caller: &Caller) -> Result<(), MemberError> {
        let change = while_member(caller).set("expires", number(seconds_in(Duration::ZERO)));
        let left = self.table.update(&worker_key(caller.worker), change).await?;
        left.ok_or(MemberError::Unknown)?;
        tracing::info!(worker = %caller.worker, "worker left");
        Ok(())
    }

    /// The workers that were seen lately.
    async fn seen(&self) -> Result<Vec<Item>, CloudError> {
        let search = Search {
            condition: "#pk = :pk",
            values: vec![("pk", text(WORKERS))],
            ..Search::default()
        };
        let mut found = self.table.all(search, MAX_WORKERS).await?;
        // What has expired is removed by DynamoDB within days.
        let now = seconds_in(Duration::ZERO);
        found.retain(|item| number_of::<i64>(item, "expires").is_some_and(|end| end > now));
        found.truncate(MAX_WORKERS);
        Ok(found)
    }

    /// Programs that the workers that take work can run at the same time.
    pub(super) async fn places(&self) -> Result<usize, CloudError> {
        let found = self.seen().await?;
        let open = found.iter().filter(|item| self.state_of(item) == "ready");
        Ok(open.filter_map(|item| number_of::<usize>(item, "capacity")).sum())
    }

    fn state_of(&self, item: &Item) -> &'static str {
        let lease = i64::try_from(self.options.lease.as_millis()).unwrap_or(i64::MAX);
        let oldest = millis_in(Duration::ZERO).saturating_sub(lease);
        if number_of::<i64>(item, "seen").is_none_or(|seen| seen < oldest) {
            "lost"
        } else if item.contains_key("failing") {
            "failing"
        } else if item.contains_key("draining") || item.contains_key("drain") {
            "draining"
        } else {
            "ready"
        }
    }

    /// All workers, as an administrator sees them.
    pub(super) async fn workers(&self) -> Result<Vec<Value>, CloudError> {
        let mut busy = std::collections::HashMap::<String, u32>::new();
        for item in self.queue(RUNNING, MAX_COUNTED).await? {
            let row = match id_of(&item) {
                Some(id) => self.row(id).await?,
                None => None,
            };
            if let Some(worker) = row.as_ref().and_then(|row| row.text("worker")) {
                *busy.entry(worker.to_owned()).or_default() += 1;
            }
        }
        let found = self.seen().await?;
        let items = found.iter().map(|item| {
            let id = text_of(item, "sk").unwrap_or_default();
            let told = text_of(item, "announcement").unwrap_or_default();
            let told: Announcement = serde_json::from_str(told)?;
            let seen = number_of(item, "seen").and_then(|at| Timestamp::from_millisecond(at).ok());
            let mut one = json!({
                "id": id, "name": told.name, "state": self.state_of(item), "capacity": told.capacity,
                "busy": busy.get(id).copied().unwrap_or_default(),
                "environments": told.environments.into_keys().collect::<Vec<_>>(),
                "sandbox": told.sandbox, "version": told.version, "seen_at": seen,
            });
            if let Some(failing) = text_of(item, "failing") {
                one["failing"] = failing.into();
            }
            Ok(one)
        });
        items.collect()
    }
}
