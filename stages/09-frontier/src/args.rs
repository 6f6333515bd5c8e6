//! The flags of this stage.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::{ValueEnum, value_parser};
use rustix::process::geteuid;
use shared::Hint as _;
use shared::cli::{BuildError, Diagnosis, Isolation, Settings, StageArgs};

use shared::http::HttpServerFn;
use stage_06_advanced::{ApiUser, EngineArgs, EngineHostArgs, PlatformOptions};
use stage_08_openapi::ContractArgs;

use crate::accounts::AccessArgs;
use crate::environments::EnvironmentArgs;
use crate::sandboxes::SandboxArgs;
use crate::store::{Contents, DataDir, StoreError, verify};

/// Where evaluations and events are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StorageKind {
    /// A database in the data directory; a restart loses nothing
    Sqlite,
    /// Memory; a restart loses everything
    Memory,
}

/// The flags of the storage.
#[derive(Debug, Clone, clap::Args)]
pub struct StorageArgs {
    /// Directory of the database and of large outputs [default: /var/lib/crucible/data for root,
    /// ~/.local/state/crucible for others; a temporary one for the commands run and test]
    #[arg(long, global = true, value_name = "DIR", env = "CRUCIBLE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where evaluations and events are stored
    #[arg(long, global = true, value_enum, value_name = "STORAGE", env = "CRUCIBLE_STORAGE",
          default_value_t = StorageKind::Sqlite)]
    pub storage: StorageKind,
    /// Days after which an ended evaluation is deleted [default: never, by its age]
    #[arg(long, global = true, value_name = "DAYS", env = "CRUCIBLE_STORAGE_DAYS",
          value_parser = value_parser!(u32).range(1..=36_500))]
    pub storage_days: Option<u32>,
    /// Set by `serve`. Other commands must not meet the directory of a server that runs.
    #[arg(skip)]
    is_serving: Arc<AtomicBool>,
    /// Decided once, by the user that starts the process: the API process gives up its rights later, and
    /// would then find another directory than the one that root has made for it.
    #[arg(skip)]
    default_dir: Arc<OnceLock<PathBuf>>,
}

/// The flags of a platform, its API, its contract and its storage.
#[derive(Debug, Clone, clap::Args)]
pub struct FrontierArgs {
    /// The layers below.
    #[command(flatten)]
    pub contract: ContractArgs,
    /// The storage.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Keys and limits.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Environments.
    #[command(flatten)]
    pub environments: EnvironmentArgs,
    /// Sandboxes that stay.
    #[command(flatten)]
    pub sandboxes: SandboxArgs,
    /// Fire the probes of the ladder at the server that listens on --listen, print the verdicts and exit;
    /// with a group, only the probes of that
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "GROUP")]
    pub security_test: Option<String>,
    /// The number of the stage that is served: a later one has these flags as well.
    #[arg(skip = 9_u16)]
    pub stage: u16,
}

impl AsRef<Self> for FrontierArgs {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The most attempts that a submission may request.
const MAX_ATTEMPTS: u32 = 10;

impl FrontierArgs {
    /// The settings of the platform that `stage` serves.
    pub fn platform_options(&self, stage: &'static str, settings: &Settings) -> PlatformOptions {
        let mut options = self.contract.api.platform.options(stage, settings);
        if self.storage.storage == StorageKind::Sqlite {
            options.bounds.max_attempts = MAX_ATTEMPTS;
        }
        options
    }
}

impl FrontierArgs {
    /// The engine, with the environments that were built. It takes the files that programs leave if they can be
    /// stored.
    pub fn engine(&self) -> EngineArgs {
        let mut engine = self.contract.api.platform.engine.clone();
        let is_durable = self.storage.storage == StorageKind::Sqlite;
        engine.runsc.keeps_output_files = is_durable;
        engine.docker.keeps_output_files = is_durable;
        engine.runsc.environments = self.environments.built();
        engine.runsc.kept = self.sandboxes.kept();
        engine
    }
}

impl StorageArgs {
    /// The data directory, created and locked.
    ///
    /// # Errors
    ///
    /// When another process has it, or it cannot be used.
    pub fn lock(&self) -> Result<DataDir, StoreError> {
        let is_durable = self.storage == StorageKind::Sqlite;
        let is_named = self.data_dir.is_some() || self.is_serving();
        if is_durable && is_named { DataDir::lock(&self.path()) } else { DataDir::scratch() }
    }

    /// Whether this process serves clients, and does not run one program or one check.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Checks the integrity of the data directory. Its server may run.
    fn diagnose(&self) -> Diagnosis {
        let (subject, path) = ("data directory", self.path());
        if !DataDir::database_in(&path).exists() {
            let seen = format!("{} has no database yet; serve creates it", path.display());
            return Diagnosis::good(subject, seen);
        }
        match verify(&path) {
            Ok(Contents { evaluations, events, files }) => {
                let content = format!("{evaluations} evaluations, {events} events, {files} files");
                Diagnosis::good(subject, format!("{} is whole: {content}", path.display()))
            }
            Err(error) => {
                let seen = format!("{}: {error}", path.display());
                Diagnosis::missing(subject, seen, error.hint().unwrap_or_default())
            }
        }
    }

    /// The path of the data directory of a server.
    pub fn path(&self) -> PathBuf {
        let given = self.data_dir.clone();
        // systemd names the directory that it has made for the service.
        let service = || env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        let default = || self.default_dir.get_or_init(default_data_dir).clone();
        given.or_else(service).unwrap_or_else(default)
    }

    /// Creates the data directory for the process that will serve, when root runs this: that one is
    /// unprivileged, and can neither create a directory beside those of the system nor open what root
    /// has created.
    ///
    /// # Errors
    ///
    /// When there is no such user, or the directory cannot be created.
    pub fn create_for_server(&self, host: &EngineHostArgs) -> Result<(), BuildError> {
        if self.storage == StorageKind::Sqlite && !host.single_process {
            let user = ApiUser::find(host.api_user.as_deref())?;
            DataDir::create_for(&self.path(), user)?;
        }
        Ok(())
    }
}

/// The directory of this user. That of root is not in the home, which the unprivileged API process
/// cannot enter, and not `/var/lib/crucible` itself, where set-up keeps the files of the sandboxes.
fn default_data_dir() -> PathBuf {
    if geteuid().is_root() {
        return "/var/lib/crucible/data".into();
    }
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| "/var/lib".into())
        .join("crucible")
}

impl StageArgs for FrontierArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        let mut checks = self.contract.doctor().await;
        if self.storage.storage == StorageKind::Sqlite {
            checks.push(self.storage.diagnose());
        }
        checks
    }

    fn isolation(&self) -> Option<Isolation> {
        self.contract.isolation()
    }

    fn http_server(&self) -> HttpServerFn {
        match self.access.tls() {
            Some(configuration) => crate::tls::server(configuration),
            None => self.contract.http_server(),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.access.tls_cert.is_some() { "https" } else { "http" }
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        // An address that other machines can reach needs keys and TLS here, and no other permission.
        let allowed = |flag: clap::Arg| flag.default_value("true").hide(true);
        Ok(ContractArgs::configure(command)?.mut_arg("allow_remote", allowed))
    }

    fn run_one_shot(&self, settings: &Settings) -> Option<Result<(), BuildError>> {
        if let Some(group) = &self.security_test {
            return Some(crate::security_test::run(group, settings, self));
        }
        self.contract.client_from(|| crate::overlay::contract(&settings.bounds(), self))
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        self.before_listen(settings)?;
        self.before_engine(settings)
    }
}

impl FrontierArgs {
    /// What a server does before it has an engine.
    fn before_listen(&self, settings: &Settings) -> Result<(), BuildError> {
        self.access.check_exposure(settings)?;
        self.access.load_tls()?;
        self.storage.is_serving.store(true, Ordering::Relaxed);
        self.storage.create_for_server(&self.contract.api.platform.engine_host)
    }

    /// The preparations of a server whose programs run on other machines: it gives up its rights, and starts no
    /// engine.
    ///
    /// # Errors
    ///
    /// When it cannot become what it has to be.
    pub fn before_serve_without_engine(&self, settings: &Settings) -> Result<(), BuildError> {
        self.before_listen(settings)?;
        let host = &self.contract.api.platform.engine_host;
        if !host.single_process {
            ApiUser::find(host.api_user.as_deref())?.become_user()?;
        }
        Ok(())
    }

    /// The preparations of a process that runs programs and stores nothing: the split into two processes.
    ///
    /// # Errors
    ///
    /// As [`StageArgs::before_serve`].
    pub fn before_engine(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        let mut contract = self.contract.clone();
        contract.api.platform.engine = self.engine();
        contract.before_serve(settings)
    }
}
