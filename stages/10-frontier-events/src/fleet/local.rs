//! A worker in the process of the API, which the role `all` has beside a broker: one of the fleet like any other, whose
//! requests are calls.
//!
//! It takes tickets from the broker, claims, and reports with its token, so that nothing of the fleet has a second way.
//! It joins when the engine of this process has passed its self test, and drains when the server shuts down.

use std::sync::Arc;
use std::time::Duration;

use shared::Engine;
use shared::cli::Settings;
use shared::http::Problem;
use stage_09_frontier::FrontierArgs;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Fleet;
use super::members::Caller;
use super::session::Content;
use super::wire::{
    Announcement, ClaimReply, ClaimRequest, FileRequest, OutputRequest, ResultRequest, SyncReply,
    SyncRequest, Welcome,
};
use crate::worker::{Answer, Api, ApiError, LocalParts, work_locally};

/// What stands for the key of the worker in this process. No key has this id.
///
/// Attack: a client of an API without keys reports for it -> requests of clients have the id of a key, or none. Test:
/// `nobody_reports_for_the_worker_of_the_api`.
const PRINCIPAL: &str = "this process";

/// The fleet, as the worker in this process sees it.
struct LocalApi {
    fleet: Arc<Fleet>,
    caller: Caller,
}

impl Fleet {
    /// Starts the worker of this process on `engine`, if the role is one with it. It stops when the server shuts down,
    /// and when `engine_gone` says that its engine is.
    pub(crate) fn start_local_worker(
        self: &Arc<Self>,
        settings: &Settings,
        args: &FrontierArgs,
        engine: Arc<dyn Engine>,
        engine_gone: CancellationToken,
    ) {
        let Some(name) = self.options.local_worker.clone() else { return };
        let caller = Caller { worker: Uuid::now_v7(), principal: Some(PRINCIPAL.to_owned()) };
        let api = Box::new(LocalApi { fleet: Arc::clone(self), caller });
        let broker = Arc::clone(&self.broker);
        let closing = self.closing.clone();
        let parts = LocalParts { api, broker, engine, name, closing, engine_gone };
        tokio::spawn(work_locally(settings, args, parts));
    }
}

/// An error as a worker elsewhere would read it.
fn refused<E: ToString + Into<Problem>>(error: E) -> ApiError {
    let detail = error.to_string();
    ApiError::Status { status: error.into().status(), detail }
}

impl LocalApi {
    fn report<'a>(&'a self, token: &'a str, content: Content) -> Answer<'a, ()> {
        Box::pin(
            async move { self.fleet.report(&self.caller, token, content).await.map_err(refused) },
        )
    }
}

impl Api for LocalApi {
    fn announce<'a>(&'a self, announcement: &'a Announcement) -> Answer<'a, Welcome> {
        let welcome = self.fleet.announce(&self.caller, announcement.clone()).map_err(refused);
        Box::pin(std::future::ready(welcome))
    }

    fn sync<'a>(&'a self, request: &'a SyncRequest, _timeout: Duration) -> Answer<'a, SyncReply> {
        Box::pin(async move { self.fleet.sync(&self.caller, request).await.map_err(refused) })
    }

    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> Answer<'a, ClaimReply> {
        Box::pin(async move { self.fleet.claim(&self.caller, request).await.map_err(refused) })
    }

    fn output<'a>(&'a self, request: &'a OutputRequest) -> Answer<'a, ()> {
        self.report(&request.token, Content::Output(request.pieces.clone()))
    }

    fn file<'a>(&'a self, request: &'a FileRequest) -> Answer<'a, ()> {
        self.report(&request.token, Content::File(request.clone()))
    }

    fn result<'a>(&'a self, request: &'a ResultRequest) -> Answer<'a, ()> {
        let ResultRequest { token, pieces, file_parts, verdict, excess_bytes } = request;
        let (pieces, verdict) = (pieces.clone(), Box::new(verdict.clone()));
        let (file_parts, excess_bytes) = (*file_parts, *excess_bytes);
        self.report(token, Content::Ended { pieces, file_parts, verdict, excess_bytes })
    }

    fn leave(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(self.fleet.leave(&self.caller).map_err(refused)))
    }
}
