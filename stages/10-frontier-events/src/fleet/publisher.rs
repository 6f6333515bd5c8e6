//! Tickets for what waits.
//!
//! A ticket is published for no more evaluations than the workers can take soon: the order of what waits further
//! back can still change, and stays here. Environments that no worker has get no tickets at all, and hold nobody
//! up.

use std::cell::{LazyCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use shared::Job;
use stage_09_frontier::{PriorityDispatch, owner_of};
use tokio::time::Instant;
use uuid::Uuid;

use super::Fleet;
use super::state::{Offer, State};
use crate::broker::{BrokerError, Ticket};
use crate::bugs::{self, has_bug};

/// Tickets for each place of the workers of an environment, so that a free worker finds one.
const TICKETS_PER_PLACE: usize = 2;
/// Tickets of one environment, at most.
const MAX_WINDOW: usize = 512;
/// Tickets that are sent and not confirmed yet, at most.
const MAX_UNCONFIRMED: usize = 16;
/// How often unclaimed tickets are looked through.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after the broker has not taken a ticket.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the hash that stands for an owner.
const GROUP_BYTES: usize = 8;

/// Publishes until the fleet is closed.
pub(super) async fn run(fleet: Arc<Fleet>, jobs: Arc<PriorityDispatch>) {
    while !fleet.closing.is_cancelled() {
        // Registered before the look: what changes after it wakes this task.
        let mut changed = pin!(fleet.offers_changed.notified());
        changed.as_mut().enable();
        fleet.report_lost();
        fleet.offer(&jobs);
        let is_published = fleet.publish_due().await;
        if !is_published {
            tokio::time::sleep(RETRY_INTERVAL).await;
            continue;
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = fleet.closing.cancelled() => {}
        }
    }
}

impl Fleet {
    /// Offers what waits, as far as the workers can take it soon.
    pub(super) fn offer(&self, jobs: &PriorityDispatch) {
        let mut state = self.state();
        state.forget(self.options.lease);
        state.offers.retain(|id, _| jobs.is_offered(*id));
        let left = RefCell::new(state.windows(self.options.lease));
        // Otherwise each change would look through everything that waits.
        let has_places = || left.borrow().values().any(|places| *places > 0);
        let is_wanted = |job: &Job| {
            left.borrow().get(&job.submission.profile).is_some_and(|places| *places > 0)
        };
        while let Some(job) = has_places().then(|| jobs.offer(is_wanted)).flatten() {
            if let Some(places) = left.borrow_mut().get_mut(&job.submission.profile) {
                *places -= 1;
            }
            state.offers.insert(job.id, Offer { ticket: ticket(&job), published: None });
        }
    }

    /// Publishes what was not published, and what no worker has claimed for too long. False when the broker does
    /// not take it.
    async fn publish_due(&self) -> bool {
        let due = self.due().into_iter();
        // Sent in their order, and confirmed together: a broker that answers after 10 ms would get 100 tickets a
        // second otherwise.
        let mut confirmed = stream::iter(due)
            .map(|(id, ticket)| async move { (id, self.broker.publish(&ticket).await) })
            .buffered(MAX_UNCONFIRMED);
        let mut is_taken = true;
        loop {
            let published = tokio::select! {
                published = confirmed.next() => published,
                () = self.closing.cancelled() => return true,
            };
            let Some((id, published)) = published else { return is_taken };
            let mut state = self.state();
            match published {
                Ok(()) => {
                    if state.broker_error.take().is_some() {
                        tracing::info!("the broker takes tickets again");
                    }
                    if let Some(offer) = state.offers.get_mut(&id) {
                        offer.published = Some(Instant::now());
                    }
                }
                Err(error) => {
                    state.note(&error);
                    is_taken = false;
                    // The queue of one environment may be full or forbidden, and those of the others are not. Without
                    // a broker all of them would wait for it: what else was sent is published again, and the broker or
                    // the claim drops the second ticket.
                    if matches!(error, BrokerError::Unavailable(_)) {
                        return false;
                    }
                }
            }
        }
    }

    fn due(&self) -> Vec<(Uuid, Ticket)> {
        let state = self.state();
        // Found once, and only when a ticket is old: there can be a thousand workers.
        let idle = LazyCell::new(|| state.idle_environments(self.options.lease));
        let is_due = |offer: &&Offer| match offer.published {
            None => true,
            Some(_) if has_bug(bugs::NO_REPUBLICATION) => false,
            Some(at) => {
                let is_old = at.elapsed() >= self.options.republish;
                is_old && idle.contains(offer.ticket.environment.as_str())
            }
        };
        let due = state.offers.values().filter(is_due).map(|offer| &offer.ticket);
        let mut due: Vec<_> = due.map(|ticket| (ticket.evaluation, ticket.clone())).collect();
        // Ids rise with the time of acceptance.
        due.sort_unstable_by_key(|(id, _)| *id);
        due
    }
}

impl State {
    /// How many more tickets each environment may have.
    fn windows(&self, lease: Duration) -> HashMap<String, usize> {
        let mut windows: HashMap<&str, usize> = HashMap::new();
        let now = Instant::now();
        for member in self.members.values().filter(|member| member.is_open_at(now, lease)) {
            let tickets = member.places() * TICKETS_PER_PLACE;
            for environment in member.announcement.environments.keys() {
                *windows.entry(environment).or_default() += tickets;
            }
        }
        let mut offered: HashMap<&str, usize> = HashMap::new();
        for offer in self.offers.values() {
            *offered.entry(&offer.ticket.environment).or_default() += 1;
        }
        let left = windows.into_iter().map(|(environment, tickets)| {
            let offered = offered.get(environment).copied().unwrap_or_default();
            (environment.to_owned(), tickets.min(MAX_WINDOW).saturating_sub(offered))
        });
        left.collect()
    }

    /// The environments of which a worker could have claimed a ticket.
    fn idle_environments(&self, lease: Duration) -> HashSet<&str> {
        let (busy, now) = (self.busy_workers(), Instant::now());
        let idle = self.members.iter().filter(|(id, member)| {
            let busy = busy.get(*id).copied().unwrap_or_default();
            member.is_open_at(now, lease) && busy < member.places()
        });
        let environments = idle.flat_map(|(_, member)| member.announcement.environments.keys());
        environments.map(String::as_str).collect()
    }

    /// Logs the first of the errors in a row.
    fn note(&mut self, error: &BrokerError) {
        let text = error.to_string();
        if self.broker_error.as_ref() != Some(&text) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "a ticket was not published; it is tried again");
            self.broker_error = Some(text);
        }
    }
}

fn ticket(job: &Job) -> Ticket {
    let group = owner_of(&job.submission).map(|owner| {
        let digest = Sha256::digest(owner.as_bytes());
        data_encoding::HEXLOWER.encode(&digest[..GROUP_BYTES])
    });
    let environment = job.submission.profile.clone();
    Ticket { evaluation: job.id, attempt: job.attempt, environment, group }
}
