//! What lies around a server that a program must not find: in its environment, in its user's home, and
//! in a file that it was started with open.
//!
//! All of it is planted before or at the start of the server. A secret that is planted later proves
//! nothing: `/proc/PID/environ` shows what a process was started with.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::jail::own_binary;
use crate::attack::probe::program::canary;
use crate::support::server::Launch;

/// The name of the variable in the server's environment that has a secret in it.
pub const SECRET_NAME: &str = "LADDER_SECRET";
/// Where credentials lie, below a home.
const CREDENTIALS: [&str; 3] = [".aws/credentials", ".ssh/id_ed25519", ".netrc"];

/// The secrets of one server.
#[derive(Debug)]
pub struct Secrets {
    /// In its environment.
    pub environment: String,
    /// In files in its user's home.
    pub home: String,
    /// In a file that is open, and that has no name any more.
    pub descriptor: String,
    file: tempfile::NamedTempFile,
}

impl Secrets {
    /// Fresh ones.
    ///
    /// # Errors
    ///
    /// When there is no room for a file.
    pub fn new() -> Result<Self> {
        let mut file = tempfile::Builder::new().prefix("crucible-ladder-").tempfile()?;
        let descriptor = canary();
        writeln!(file, "{descriptor}")?;
        Ok(Self { environment: canary(), home: canary(), descriptor, file })
    }

    /// Has `launch` start the server with them, by way of `prefix`.
    ///
    /// # Errors
    ///
    /// When the ladder's own binary is not where it should be.
    pub fn configure_launch(
        &self,
        launch: Launch,
        home: &Path,
        prefix: Vec<OsString>,
    ) -> Result<Launch> {
        let mut words: Vec<OsString> =
            vec![own_binary()?.into(), "jail".into(), "holding".into(), self.file.path().into()];
        words.extend(prefix);
        Ok(launch
            .with_wrapper(words)
            .env(SECRET_NAME, &self.environment)
            .env("HOME", home)
            .env("CRUCIBLE_LOG", "debug"))
    }

    /// Puts credentials into a home.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_credentials(&self, home: &Path) -> Result<()> {
        for name in CREDENTIALS {
            let path = home.join(name);
            let dir = path.parent().context("a file in a home has a directory")?;
            fs::create_dir_all(dir)?;
            fs::write(&path, format!("secret = {}\n", self.home))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
