//! How the parts of this module are put between a platform and its clients.

use std::sync::{Arc, OnceLock, Weak};

use http::{HeaderValue, Method};
use shared::cli::{BuildError, Settings, eprint_line};
use shared::http::ApiService;
use stage_06_advanced::{Platform, SandboxEngine, WarmSandboxes};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Access, required};
use super::admin::Administration;
use super::args::{AccessArgs, remote_address};
use super::intake::Intake;
use super::keys::Keys;
use super::layer::{AccessControl, AccessParts};
use super::owners::Owners;
use super::queue::OwnedQueue;
use super::self_test::KeysTest;
use crate::args::StorageArgs;
use crate::artifacts::Artifacts;
use crate::audit::AuditLog;
use crate::batches::BatchParts;
use crate::components::Frontier;
use crate::environments::Selection;
use crate::idempotency::Idempotency;
use crate::limits::RateLimit;
use crate::metrics::{FrontierMetrics, MoreMetrics};
use crate::sandboxes::{SandboxArgs, SandboxParts, Sandboxes};
use crate::storage::SqliteStorage;
use crate::store::{Store, StoreError};

/// Keys, owners and the audit log of one server.
pub struct Accounts {
    /// The keys.
    pub keys: Arc<Keys>,
    /// The owners of evaluations.
    pub owners: Arc<Owners>,
    /// The audit log.
    pub audit: Arc<AuditLog>,
    intake: Arc<Intake>,
    pub(crate) store: Arc<Store>,
    stored: Option<Arc<SqliteStorage>>,
    warm: WarmSandboxes,
    /// Opens sandboxes that stay.
    sandboxes: Option<Arc<dyn SandboxEngine>>,
    /// Where the queue finds them when it is shut down.
    opened: Arc<OnceLock<Weak<Sandboxes>>>,
    more_metrics: Vec<MoreMetrics>,
    is_open: bool,
    allowed_origins: Vec<HeaderValue>,
    /// Ends the tasks in the background with the server.
    background: DropGuard,
}

impl Accounts {
    /// Puts keys in front of the queue of `components`.
    ///
    /// # Errors
    ///
    /// When other machines could reach the server, and there is no key that is valid.
    pub async fn start(
        settings: &Settings,
        args: &AccessArgs,
        frontier: &mut Frontier,
    ) -> Result<Self, BuildError> {
        let Frontier {
            components, tasks, dispatch, quotas, store, stored, warm, sandboxes, ..
        } = frontier;
        let sandboxes = sandboxes.clone();
        let (stored, warm) = (stored.clone(), warm.clone());
        let keys = Keys::new(Arc::clone(store));
        let (all, active) = keys.count().await?;
        require_key(settings, args, active)?;
        let audit = AuditLog::new(Arc::clone(store));
        let inner = Arc::clone(&components.queue);
        let owners = Owners::new(Arc::clone(&inner));
        let idempotency = Idempotency::new(Arc::clone(store), args.idempotency_hours);
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&idempotency).purge_in_background(stop.clone()));
        tokio::spawn(Arc::clone(&audit).log_heads(stop.clone()));
        let intake = Arc::new(Intake {
            tasks: Arc::clone(tasks),
            owners: Arc::clone(&owners),
            quotas: Arc::clone(quotas),
            idempotency,
            audit: Arc::clone(&audit),
        });
        let (of_keys, of_intake) = (Arc::clone(&keys), Arc::clone(&intake));
        let (of_jobs, opened) = (Arc::clone(dispatch), Arc::<OnceLock<_>>::default());
        let of_sandboxes = Arc::clone(&opened);
        components.queue = OwnedQueue::new(inner, of_keys, of_intake, of_jobs, of_sandboxes);
        // Revoked keys count: the last one revoked must not open the server at its next start.
        let store = Arc::clone(store);
        let background = stop.drop_guard();
        let (more_metrics, is_open) = (Vec::new(), all == 0);
        Ok(Self {
            keys,
            owners,
            audit,
            intake,
            store,
            stored,
            warm,
            sandboxes,
            opened,
            more_metrics,
            is_open,
            allowed_origins: settings.allow_origin.clone(),
            background,
        })
    }

    /// Batches of submissions as `selection` allows them.
    pub fn batches(&self, selection: Selection) -> BatchParts {
        BatchParts {
            store: Arc::clone(&self.store),
            intake: Arc::clone(&self.intake),
            keys: Arc::clone(&self.keys),
            selection,
            stored: self.stored.clone(),
        }
    }

    /// Sandboxes that stay, opened by the engine of `platform`. Their metrics are added to those of this.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub(crate) async fn sandboxes(
        &mut self,
        args: &SandboxArgs,
        platform: &Arc<Platform>,
    ) -> Result<Arc<Sandboxes>, StoreError> {
        let parts = SandboxParts {
            store: Arc::clone(&self.store),
            intake: Arc::clone(&self.intake),
            keys: Arc::clone(&self.keys),
            engine: self.sandboxes.clone(),
            platform: Arc::clone(platform),
        };
        let (sandboxes, metrics) = parts.start(args).await?;
        self.add_metrics(metrics);
        self.opened.get_or_init(|| Arc::downgrade(&sandboxes));
        Ok(sandboxes)
    }

    /// The files of evaluations of `platform`.
    pub(crate) fn artifacts(&self, platform: &Arc<Platform>) -> Arc<Artifacts> {
        Artifacts::new(self.stored.clone(), Arc::clone(platform))
    }

    /// Adds metrics of a later stage to `GET /metrics`.
    pub fn add_metrics(&mut self, more: MoreMetrics) {
        self.more_metrics.push(more);
    }

    /// What administrators read.
    pub fn administration(&self) -> Arc<Administration> {
        Administration::new(Arc::clone(&self.store))
    }

    /// `inner`, for clients that have a key.
    pub fn protect<A: ApiService + 'static>(
        self,
        inner: A,
        args: &AccessArgs,
    ) -> Arc<AccessControl<A>> {
        self.protect_by(inner, args, required)
    }

    /// The same, where operations need what `required` returns: a later stage has more of them.
    pub fn protect_by<A: ApiService + 'static>(
        self,
        inner: A,
        args: &AccessArgs,
        required: fn(&Method, &str) -> Access,
    ) -> Arc<AccessControl<A>> {
        let quotas = Arc::clone(&self.intake.quotas);
        let [rate, of_sandboxes] = args.rates();
        let parts = AccessParts {
            metrics: FrontierMetrics::new(self.store, Arc::clone(&self.keys), quotas, self.warm)
                .with(self.more_metrics),
            keys: self.keys,
            owners: self.owners,
            audit: self.audit,
            background: self.background,
            rate: RateLimit::per_minute("requests", rate),
            sandbox_rate: RateLimit::per_minute("sandboxes", of_sandboxes),
            is_open: self.is_open,
            required,
            behind_proxy: args.behind_proxy,
            allowed_origins: self.allowed_origins,
        };
        Arc::new(AccessControl::new(inner, parts))
    }

    /// Lets `platform` verify the keys and the audit log with its own components.
    pub fn register(&self, platform: &Platform) {
        platform.health().register_component(Arc::new(KeysTest(Arc::clone(&self.keys))));
        platform.health().register_component(self.audit.clone());
    }

    /// Prints, when a server starts, whether clients need a key.
    pub fn announce(&self, storage: &StorageArgs) {
        if !storage.is_serving() {
            return;
        }
        let text = if self.is_open {
            "open: there are no keys, so that every process of this machine may do everything; \
             `keys create` and a restart change that"
        } else {
            "clients need a key: Authorization: Bearer crk_..."
        };
        eprint_line(text);
    }
}

/// Refuses to serve other machines without a key that is valid: no client could show one, and an open server would run
/// the programs of everybody.
///
/// Attack: a proxy on the same machine passes requests of strangers on to a loopback address, and the data directory is
/// new → with `--behind-proxy` a key is needed at each address. Test: `an_address_for_other_machines_needs_tls_and_keys`.
fn require_key(settings: &Settings, args: &AccessArgs, active: u64) -> Result<(), BuildError> {
    let of_others = match remote_address(settings) {
        _ if active > 0 => return Ok(()),
        Some(address) => format!("{address} can be reached from other machines"),
        None if args.behind_proxy => "the proxy can be reached from other machines".to_owned(),
        None => return Ok(()),
    };
    let error = format!("{of_others}, and there is no key that a client could show");
    let hint = "make one: keys create --name NAME --scope submit --scope read";
    Err(BuildError::new(error).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        access: AccessArgs,
    }

    fn line(arguments: &[&str]) -> Line {
        Line::parse_from(["x"].into_iter().chain(arguments.iter().copied()))
    }

    #[test]
    fn an_address_for_other_machines_needs_tls_and_keys() {
        for address in ["127.0.0.1:8009", "[::1]:8009", "127.1.2.3:1"] {
            let local = line(&["--listen", address]);
            assert!(local.access.check_exposure(&local.settings).is_ok());
            assert!(require_key(&local.settings, &local.access, 0).is_ok());
            let proxied = line(&["--listen", address, "--behind-proxy"]);
            assert!(require_key(&proxied.settings, &proxied.access, 0).is_err());
            assert!(require_key(&proxied.settings, &proxied.access, 1).is_ok());
        }
        let default = line(&[]);
        assert!(require_key(&default.settings, &default.access, 0).is_ok());
        for address in ["0.0.0.0:8009", "[::]:8009", "192.0.2.1:80", "[::ffff:127.0.0.1]:1"] {
            let plain = line(&["--listen", address]);
            let error = plain.access.check_exposure(&plain.settings).unwrap_err().to_string();
            assert!(error.contains("--tls-cert"), "{error}");
            let proxied = line(&["--listen", address, "--behind-proxy"]);
            assert!(proxied.access.check_exposure(&proxied.settings).is_ok());
            let error = require_key(&proxied.settings, &proxied.access, 0).unwrap_err().to_string();
            assert!(error.contains("keys create"), "{error}");
            assert!(require_key(&proxied.settings, &proxied.access, 1).is_ok());
        }
    }
}
