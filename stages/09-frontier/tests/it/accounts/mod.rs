//! Clients with keys: the stage as a process, and keys that its commands make.

mod admin;
mod attacks;
pub(crate) mod clients;
mod contract;
mod exposure;
mod fuzz;
mod keys;
mod limits;
mod pairs;
mod security_test;
mod submissions;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{Client, Launch, Server};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-09-frontier");
/// The engine that needs nothing, for what is not about isolation.
const UNSANDBOXED: [&str; 4] = ["--engine", "subprocess", "--unsafe", "--single-process"];

/// A data directory, and the servers and commands on it.
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("crucible.db")
    }

    /// A server on this directory, to be configured further.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(BINARY).args(UNSANDBOXED).arg("--data-dir").arg(self.path())
    }

    pub(crate) fn start(&self) -> Server {
        self.launch().arg("--strict-contract").start()
    }

    /// Runs a command of the stage on this directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--data-dir").arg(self.path()).output().unwrap()
    }

    /// The standard output of a command that succeeds.
    pub(crate) fn output(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A new key with these scopes.
    pub(crate) fn key(&self, name: &str, scopes: &[&str]) -> String {
        let mut arguments = vec!["keys", "create", "--name", name];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        self.output(&arguments)
    }

    /// The id of the key with this name.
    pub(crate) fn id_of(&self, name: &str) -> String {
        let list = self.output(&["keys", "list"]);
        let line = list.lines().find(|line| line.ends_with(&format!("\t{name}"))).unwrap();
        line.split('\t').next().unwrap().to_owned()
    }
}

/// Two tenants and an administrator on one server.
pub(crate) struct Tenants {
    pub(crate) site: Site,
    pub(crate) server: Server,
    pub(crate) alice: Client,
    pub(crate) mallory: Client,
    pub(crate) admin: Client,
}

impl Tenants {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let site = Site::new();
        let both = ["submit", "read"];
        let keys =
            [site.key("alice", &both), site.key("mallory", &both), site.key("admin", &["admin"])];
        let server = site.launch().arg("--strict-contract").args(arguments).start();
        let [alice, mallory, admin] = keys.map(|key| server.client().with_key(&key));
        Self { site, server, alice, mallory, admin }
    }
}
