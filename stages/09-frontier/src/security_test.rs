//! `--security-test`: fires the ladder's probes at the server that runs, and prints the verdict on each.
//!
//! The ladder is another program, which stands beside this one: a server has no use for hostile programs in
//! its binary, and a stage does not import what imports the stages. If clients need keys, the ladder gets
//! four, which are revoked when it has ended. They expire after a day in case this process does not live
//! that long.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | another user of the machine reads the keys off a command line | they are in the environment of the ladder | `the_ladder_gets_keys_that_stop_working` |

mod report;
mod routes;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use jiff::Timestamp;
use serde_json::json;
use shared::cli::{BuildError, Settings};

use crate::StorageKind;
use crate::accounts::command::{create, new_record};
use crate::accounts::key::ApiKey;
use crate::accounts::record::Scope;
use crate::accounts::table;
use crate::args::FrontierArgs;
use crate::audit::{self, Entry, actions};
use crate::store::{Beside, DataDir};

use report::Test;
pub use routes::SecurityTests;

/// The ladder's binary, where it is not beside this one.
const LADDER_ENV: &str = "CRUCIBLE_LADDER";
/// The variable with the file that the ladder writes its verdicts to as well.
const REPORT_ENV: &str = "CRUCIBLE_LADDER_REPORT";
/// The variable in which the ladder finds keys.
const KEYS_ENV: &str = "CRUCIBLE_LADDER_KEYS";
/// The port of stage 0, unless another one is given.
const DEFAULT_PORT: u16 = 8000;
/// What the ladder's clients may do: submit and read, the same for the attacker, read, submit.
const CLIENTS: [&[Scope]; 4] = [
    &[Scope::Submit, Scope::Read],
    &[Scope::Submit, Scope::Read],
    &[Scope::Read],
    &[Scope::Submit],
];

/// Fires the probes of `group`, or all of them without one.
///
/// # Errors
///
/// When there is no ladder, the server cannot be tested, or a probe escaped.
pub(crate) fn run(group: &str, settings: &Settings, args: &FrontierArgs) -> Result<(), BuildError> {
    let ladder = find_ladder()?;
    let address = listen_address(settings, args);
    check_address(address, args)?;
    let mut keys = TestKeys::create(args)?;
    let mut command = command_line(&ladder, args.stage, address, group, keys.as_ref());
    let report = tempfile::NamedTempFile::new()?;
    let started = Test::started(group);
    let status = command.env(REPORT_ENV, report.path()).status();
    let revoked = keys.as_mut().map_or(Ok(()), TestKeys::revoke);
    let status = status
        .map_err(|error| BuildError::new(format!("cannot start {}: {error}", ladder.display())))?;
    revoked?;
    let verdicts = std::fs::read(report.path()).ok();
    if let Some(verdicts) = verdicts.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        started.ended(Ok(verdicts)).store_beside(args);
    }
    judge(status)
}

/// The address of the server.
fn listen_address(settings: &Settings, args: &FrontierArgs) -> SocketAddr {
    settings.listen.unwrap_or((Ipv4Addr::LOCALHOST, DEFAULT_PORT + args.stage).into())
}

/// The command that fires the probes.
fn command_line(
    ladder: &Path,
    stage: u16,
    address: SocketAddr,
    group: &str,
    keys: Option<&TestKeys>,
) -> Command {
    let mut command = Command::new(ladder);
    command.args(["attack", "--stage", &stage.to_string(), "--url", &format!("http://{address}")]);
    if !group.is_empty() {
        command.args(["--group", group]);
    }
    if let Some(keys) = keys {
        command.env(KEYS_ENV, keys.text());
    }
    command
}

fn judge(status: ExitStatus) -> Result<(), BuildError> {
    if status.success() {
        return Ok(());
    }
    let error = BuildError::new("the security test did not pass: the verdicts are above");
    Err(error.with_hint("(!) marks a probe that this stage has to contain; ERROR is no verdict"))
}

/// The ladder: the named one, or the one beside this binary.
fn find_ladder() -> Result<PathBuf, BuildError> {
    let named = std::env::var_os(LADDER_ENV).map(PathBuf::from);
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("ladder"));
    named.or_else(beside).filter(|path| is_file(path)).ok_or_else(|| {
        let error = BuildError::new("there is no ladder beside this program to fire probes with");
        error.with_hint("cargo build -p ladder, or name its binary in CRUCIBLE_LADDER")
    })
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The probes speak HTTP without TLS, and test what a client on this machine can do.
fn check_address(address: SocketAddr, args: &FrontierArgs) -> Result<(), BuildError> {
    if address.ip().is_loopback() && args.access.tls_cert.is_none() && address.port() != 0 {
        return Ok(());
    }
    let error = format!("the probes speak plain HTTP to this machine, and not to {address}");
    let hint =
        "test a server with the same settings on --listen 127.0.0.1:8009, without --tls-cert";
    Err(BuildError::new(error).with_hint(hint))
}

/// Keys for the time of the test.
struct TestKeys {
    database: Beside,
    ids: Vec<String>,
    keys: Vec<ApiKey>,
}

impl TestKeys {
    /// New keys, if the server needs any: None for one that is open.
    fn create(args: &FrontierArgs) -> Result<Option<Self>, BuildError> {
        let path = args.storage.path();
        if args.storage.storage == StorageKind::Memory || !DataDir::database_in(&path).exists() {
            return Ok(None);
        }
        let mut database = Beside::open(&path)?;
        if database.read(table::list)?.is_empty() {
            return Ok(None);
        }
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for scopes in CLIENTS {
            let scopes = scopes.iter().copied().collect();
            let record = new_record("security test".to_owned(), scopes, Some(1));
            let key = ApiKey::generate()?;
            database.write(|rows| create(rows, &record, &key))?;
            ids.push(record.id);
            keys.push(key);
        }
        Ok(Some(Self { database, ids, keys }))
    }

    fn text(&self) -> String {
        self.keys.iter().map(ApiKey::reveal).collect::<Vec<_>>().join(",")
    }

    fn revoke(&mut self) -> Result<(), BuildError> {
        let (ids, now) = (std::mem::take(&mut self.ids), Timestamp::now());
        Ok(self.database.write(|rows| {
            for id in &ids {
                table::revoke(rows, id, now)?;
                let detail = json!({ "name": "security test" });
                audit::table::append(rows, &Entry::of_command(actions::KEY_REVOKE, id, &detail))?;
            }
            Ok(())
        })?)
    }
}
