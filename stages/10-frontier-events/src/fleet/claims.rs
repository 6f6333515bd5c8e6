//! Claims and reports: the way of one session.

use std::time::Duration;

use shared::{Job, SandboxInfo};
use stage_02_queue::{Dispatch as _, Lease};
use stage_09_frontier::{Claimed, PriorityDispatch};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Fleet;
use super::members::Caller;
use super::session::{Content, Phase, Report, ReportError, Session};
use super::state::{MAX_SESSIONS, State};
use super::wire::{ClaimReply, ClaimRequest};
use crate::bugs::{self, has_bug};

/// How long a request waits for a commit, a claim at most half of the lease. The worker sends it again after that.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Random bytes of a token.
const TOKEN_BYTES: usize = 16;

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClaimError {
    /// The worker has to announce itself first.
    #[error("no worker with this id has announced itself with this key")]
    UnknownWorker,
    /// Acknowledge the ticket: it stands for nothing that this worker may run. What waits gets another ticket.
    #[error("{0}")]
    Refused(&'static str),
    /// The start is not committed yet; send it again.
    #[error("the start is not committed yet; send it again")]
    Later,
}

impl Fleet {
    // ANCHOR: claim
    /// Gives the worker what its ticket stands for: when this returns, the start is committed.
    pub(super) async fn claim(
        &self,
        caller: &Caller,
        request: &ClaimRequest,
    ) -> Result<ClaimReply, ClaimError> {
        let (mut phase, reply) = self.open_session(caller, request).await?;
        let decided = phase.wait_for(|phase| *phase != Phase::Claimed);
        // The worker counts its lease from the request that is answered.
        let longest = COMMIT_TIMEOUT.min(self.options.lease / 2);
        let decided = tokio::select! {
            decided = timeout(longest, decided) => decided,
            () = self.closing.cancelled() => return Err(ClaimError::Later),
        };
        match decided {
            Ok(Ok(phase)) if *phase == Phase::Running => Ok(reply),
            Ok(_) => Err(ClaimError::Refused("it has ended")),
            Err(_) => Err(ClaimError::Later),
        }
    }
    // ANCHOR_END: claim

    /// The session of this claim: the one that it had, if its answer was lost, or a new one.
    async fn open_session(
        &self,
        caller: &Caller,
        request: &ClaimRequest,
    ) -> Result<(watch::Receiver<Phase>, ClaimReply), ClaimError> {
        let refused = |why| Err(ClaimError::Refused(why));
        let token = random_token().ok_or(ClaimError::Later)?;
        let Some(jobs) = self.jobs.get() else { return Err(ClaimError::Later) };
        let unwanted = {
            let mut state = self.state();
            let lease = self.options.lease;
            let member = state.member(caller).map_err(|_| ClaimError::UnknownWorker)?;
            let (places, is_open) = (member.places(), member.is_open(lease));
            let environments = member.announcement.environments.clone();
            let sandbox = member.announcement.sandbox.clone();
            if let Some(session) = state.sessions.get_mut(&request.evaluation) {
                let is_same = session.worker == caller.worker && session.claim == request.claim;
                return if is_same || has_bug(bugs::CLAIMED_TWICE) {
                    session.renew(lease);
                    Ok(opened(session))
                } else {
                    refused("it runs already")
                };
            }
            if !is_open {
                return refused("this worker takes no work");
            }
            let busy = state.busy(caller.worker);
            if busy >= places {
                return refused("this worker has as many as it can run");
            }
            if state.sessions.len() >= MAX_SESSIONS {
                return refused("as many run as may");
            }
            let claimed = match jobs.claim(request.evaluation, request.attempt) {
                Claimed::Leased(lease) => *lease,
                Claimed::NotNow => return refused("its key runs as many as it may"),
                Claimed::Gone => return refused("it does not wait"),
            };
            if environments.contains_key(&claimed.job.submission.profile) {
                let who = (caller.worker, request.claim);
                let session = Session::new(token, who, claimed.job.clone(), sandbox, lease);
                let opened = opened(&session);
                state.insert(session, claimed);
                self.claimed.notify_one();
                return Ok(opened);
            }
            claimed
        };
        // The ticket named another environment than the submission does.
        give_back(jobs, unwanted).await;
        refused("this worker does not have its environment")
    }

    /// Passes a report on to the engine of its session, and returns what that says.
    pub(super) async fn report(
        &self,
        caller: &Caller,
        token: &str,
        content: Content,
    ) -> Result<(), ReportError> {
        let is_end = matches!(content, Content::Ended { .. });
        let (reports, phase) = {
            let mut state = self.state();
            let is_member = state.member(caller).is_ok();
            if is_member && is_end && state.is_recorded(caller.worker, token) {
                return Ok(());
            }
            let session = state.session_of(caller.worker, token).filter(|_| is_member);
            let session = session.ok_or(ReportError::Fenced)?;
            session.renew(self.options.lease);
            (session.reports.clone(), session.phase.subscribe())
        };
        if *phase.borrow() == Phase::Running {
            let (answer, answered) = oneshot::channel();
            // Refused by a session that has ended in between.
            reports.send(Report { content, answer }).await.map_err(|_| ReportError::Fenced)?;
            answered.await.map_err(|_| ReportError::Fenced)??;
        }
        if is_end && !has_bug(bugs::EARLY_CONFIRMATION) { recorded(phase).await } else { Ok(()) }
    }
}

/// Waits until the end of a session is committed.
async fn recorded(mut phase: watch::Receiver<Phase>) -> Result<(), ReportError> {
    let is_final = |phase: &Phase| !matches!(phase, Phase::Running | Phase::Reported);
    match timeout(COMMIT_TIMEOUT, phase.wait_for(is_final)).await {
        Ok(Ok(phase)) if *phase == Phase::Recorded => Ok(()),
        Ok(_) => Err(ReportError::Fenced),
        Err(_) => Err(ReportError::Later),
    }
}

impl State {
    fn insert(&mut self, session: Session, lease: Lease) {
        self.tokens.insert(session.token.clone(), session.job.id);
        self.offers.remove(&session.job.id);
        self.sessions.insert(session.job.id, session);
        self.leases.push_back(lease);
    }
}

fn opened(session: &Session) -> (watch::Receiver<Phase>, ClaimReply) {
    let reply = ClaimReply { token: session.token.clone(), job: session.job.clone() };
    (session.phase.subscribe(), reply)
}

async fn give_back(jobs: &PriorityDispatch, lease: Lease) {
    let job = lease.job.clone();
    if let Err(error) = jobs.ack(lease).await {
        tracing::warn!(%error, "a claim was not taken back");
    }
    if let Err(error) = jobs.push(job).await {
        tracing::error!(%error, "a job was not given back");
    }
}

/// The place where a job of a session runs.
pub(super) fn sandbox_of(state: &State, job: &Job) -> Option<SandboxInfo> {
    let session =
        state.sessions.get(&job.id).filter(|session| session.job.attempt == job.attempt)?;
    Some(session.sandbox.clone())
}

/// None when the system has no random bytes.
fn random_token() -> Option<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(data_encoding::HEXLOWER.encode(&bytes))
}
