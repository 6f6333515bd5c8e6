//! Sandboxes that stay: opened by a client, used for many executions and files, removed at the end of a lease.
//!
//! 1. `args`: the flags; `state` and `table`: what a sandbox is, and its row; `wire`: what clients send;
//! 2. `lease`: one that is open, with its deadlines; `open` and `end`: its beginning and its end; `quota`;
//! 3. `execution` and `executions`: commands by the ids that clients choose; `run`: one of them, from its start to its
//!    end; `spool` and `stdin`: its streams;
//! 4. `files`: files and directories, in and out;
//! 5. `leases`, `execs`, `output`: the routes; `problem`: their errors; `metrics`.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | the id of another key's sandbox, on any route | each handler finds it by its owner: the answer is that of an id that nothing has | `another_keys_sandbox_does_not_exist` |
//! | a key is revoked while it has sandboxes | they end | `a_revoked_key_has_no_sandboxes` |
//! | more sandboxes or memory than a key may have | a place is reserved before anything is opened | `a_key_has_so_many_sandboxes_and_so_much_memory` |
//! | a lost response makes a client repeat a command | the command runs under an id of the client's, once | `a_command_runs_once_however_often_it_is_requested` |
//! | endless output | a spool has a limit, and so has the disk that a sandbox gets for them; the last of the disk is not for outputs | `the_first_or_the_last_bytes_are_kept`, `output_that_could_not_be_stored_is_counted` |
//! | commands that never read their standard input | a sandbox has so many bytes of it in memory | `standard_input_that_is_not_read_is_bounded` |
//! | long responses that are read slowly | a key has half of the turns | `one_key_does_not_hold_all` |
//! | a program becomes root inside and replaces the exec supervisor | frames are an attacker's: typed, bounded, and each wait has a deadline of the host | `a_supervisor_that_lies_makes_no_end_and_reaches_no_other_sandbox` |
//! | a path of the sandbox that is a link, a device, a FIFO | no process of the host opens it: a program inside does, as the sandbox's user | `each_file_error_has_its_kind` |
//! | a client goes and leaves a sandbox | idle time and lifetime end it | `idle_time_and_lifetime_end_a_sandbox` |
//! | the server stops while sandboxes are open | they end first, and their ends are stored with that reason | `after_a_kill_nothing_is_left_and_the_next_server_says_so` |
//! | the server is killed | the engine host removes what there is; the next server says so | `after_a_kill_nothing_is_left_and_the_next_server_says_so` |
//!
//! What it does not protect: a program from another one in the same sandbox. They are one client's.

mod args;
mod end;
mod execs;
mod execution;
mod executions;
mod files;
mod lease;
mod leases;
mod metrics;
mod open;
mod output;
mod problem;
mod quota;
mod run;
mod spool;
mod state;
mod stdin;
mod table;
mod transfer;
mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::Value;
use shared::RequestContext;
use shared::http::{MatchedRequest, Router};
use shared::submission::InvalidSubmission;
use stage_06_advanced::{Platform, SandboxEngine};
use stage_08_openapi::parsed_body;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use args::SandboxArgs;

use crate::accounts::{Intake, Keys};
use crate::audit::Entry;
use crate::limits::Shares;
use crate::metrics::MoreMetrics;
use crate::store::{Store, StoreError};
use lease::Lease;
use metrics::Counters;
use problem::Failure;
use quota::{QuotaLimits, Quotas};
use spool::SpoolMemory;
use state::{EndReason, Record};

/// The directory of outputs, in the data directory.
const OUTPUTS: &str = "sandboxes";
/// Responses with long outputs that are made or sent at the same time: each may have 20 MiB, and more as JSON. One key
/// has half of them at most, and half of the transfers.
const MAX_VIEWS: usize = 8;
/// Files that are transferred at the same time: each may have a few hundred KiB in memory.
const MAX_TRANSFERS: usize = 64;

/// The sandboxes that stay, of one server.
pub struct Sandboxes {
    store: Arc<Store>,
    intake: Arc<Intake>,
    keys: Arc<Keys>,
    /// None where no engine can open one.
    engine: Option<Arc<dyn SandboxEngine>>,
    /// Whether work is accepted.
    platform: Arc<Platform>,
    outputs: PathBuf,
    max_output_bytes: u64,
    /// Those that have not ended.
    live: Mutex<HashMap<Uuid, Arc<Lease>>>,
    /// Cancelled when the server stops.
    closing: CancellationToken,
    quotas: Arc<Quotas>,
    counters: Arc<Counters>,
    /// A permit for each large response that is made.
    views: Shares,
    spool_memory: Arc<SpoolMemory>,
    /// A permit for each file that is transferred.
    transfers: Shares,
}

/// What sandboxes are connected to.
pub(crate) struct SandboxParts {
    pub(crate) store: Arc<Store>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) engine: Option<Arc<dyn SandboxEngine>>,
    pub(crate) platform: Arc<Platform>,
}

impl SandboxParts {
    /// Sandboxes, and their metrics. Those of the server before are ended first.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub(crate) async fn start(
        self,
        args: &SandboxArgs,
    ) -> Result<(Arc<Sandboxes>, MoreMetrics), StoreError> {
        let Self { store, intake, keys, engine, platform } = self;
        let quotas = Quotas::new(QuotaLimits {
            of_key: args.of_client(true).into(),
            without_key: args.of_client(false).into(),
            memory_bytes: args.key_sandbox_memory_bytes,
        });
        let counters = Counters::new(Arc::clone(&quotas));
        let ended = store.write(|database| table::recover(database, state::now())).await?;
        for _ in 0..ended {
            counters.ended(EndReason::ServerRestarted);
        }
        let outputs = store.directory().path().join(OUTPUTS);
        let left = outputs.clone();
        let emptied = tokio::task::spawn_blocking(move || empty(&left)).await;
        emptied.map_err(|_| StoreError::Panicked)??;
        let metrics = metrics::of(&counters);
        let sandboxes = Arc::new(Sandboxes {
            store,
            intake,
            keys,
            engine,
            platform,
            outputs,
            max_output_bytes: args.sandbox_output_bytes,
            live: Mutex::default(),
            closing: CancellationToken::new(),
            quotas,
            counters,
            views: Shares::new(MAX_VIEWS, MAX_VIEWS / 2),
            spool_memory: Arc::default(),
            transfers: Shares::new(MAX_TRANSFERS, MAX_TRANSFERS / 2),
        });
        tokio::spawn(end::end_with_keys(Arc::downgrade(&sandboxes)));
        Ok((sandboxes, metrics))
    }
}

/// Removes the outputs of the server before.
fn empty(outputs: &std::path::Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(outputs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(outputs, error))
        }
        _ => Ok(()),
    }
}

impl Sandboxes {
    /// The routes, to be merged over those of the platform.
    pub fn routes(self: &Arc<Self>) -> Router {
        self.lease_routes()
            .merge(self.exec_routes())
            .merge(self.output_routes())
            .merge(self.file_routes())
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Lease>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// 501, when this server has none that opens sandboxes.
    fn engine(&self) -> Result<&Arc<dyn SandboxEngine>, Failure> {
        self.engine.as_ref().ok_or_else(|| {
            let detail = "this server opens no sandboxes: it has no engine of its own that could; use a stage \
                          with a local engine, such as stage 09 with --engine gvisor";
            Failure::new(StatusCode::NOT_IMPLEMENTED, "no_engine", detail)
        })
    }

    /// Whether the client of a request may see what `owner` has.
    fn is_visible(&self, context: &RequestContext, owner: &str) -> bool {
        match context.principal.as_deref() {
            Some(key) => key == owner || self.keys.is_admin(key),
            None => true,
        }
    }

    /// The sandbox of a request, which may have ended.
    async fn find(
        &self,
        request: &MatchedRequest,
    ) -> Result<(Record, Option<Arc<Lease>>), Failure> {
        let id: Uuid = request.param("id").map_err(|_| Failure::no_sandbox())?;
        let lease = self.live().get(&id).cloned();
        let record = match &lease {
            Some(lease) => Some(lease.record().0),
            None => self.store.read(move |database| table::get(database, id)).await?,
        };
        match record {
            Some(record) if self.is_visible(&request.context(), &record.owner) => {
                Ok((record, lease))
            }
            _ => Err(Failure::no_sandbox()),
        }
    }

    /// The sandbox of a request, which has not ended.
    async fn find_live(&self, request: &MatchedRequest) -> Result<Arc<Lease>, Failure> {
        let (record, lease) = self.find(request).await?;
        lease.ok_or_else(|| Failure::gone(record.ended.map(|ended| ended.reason)))
    }

    /// Appends what a client does to the audit log, behind the request.
    fn record(&self, context: &RequestContext, action: &str, id: Uuid, detail: &Value) {
        let is_of_client = context.peer.is_some() || context.principal.is_some();
        if is_of_client {
            let entry = Entry::of(context, action, &id.to_string(), detail);
            self.intake.audit.record_later(entry);
        }
    }
}

/// The JSON body of a request; null when it has none.
fn body(request: &mut MatchedRequest) -> Result<Value, InvalidSubmission> {
    if request.request.body().is_empty() {
        return Ok(Value::Null);
    }
    parsed_body(request).map_err(|error| InvalidSubmission::Malformed(error.to_string()))
}
