//! Secrets around a server that a program must not find: in its environment, in its user's home
//! directory, and in a file that it inherited open.
//!
//! All of them are planted before or at the start of the server. A later one proves nothing:
//! `/proc/PID/environ` shows the environment at the start of a process.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::jail::own_binary;
use crate::attack::probe::program::canary;
use crate::support::server::Launch;

/// The environment variable of the server that has a secret.
pub const SECRET_NAME: &str = "LADDER_SECRET";
/// The paths of credentials in a home directory.
const CREDENTIALS: [&str; 3] = [".aws/credentials", ".ssh/id_ed25519", ".netrc"];

/// The secrets of one server.
#[derive(Debug)]
pub struct Secrets {
    /// The one in its environment.
    pub environment: String,
    /// The one in files in its user's home directory.
    pub home: String,
    /// The one in an open file that was unlinked.
    pub descriptor: String,
    file: tempfile::NamedTempFile,
}

impl Secrets {
    /// New random ones.
    ///
    /// # Errors
    ///
    /// When a file cannot be created.
    pub fn new() -> Result<Self> {
        let mut file = tempfile::Builder::new().prefix("crucible-ladder-").tempfile()?;
        let descriptor = canary();
        writeln!(file, "{descriptor}")?;
        Ok(Self { environment: canary(), home: canary(), descriptor, file })
    }

    /// Configures `launch` to start the server with them, behind the wrapper `prefix`.
    ///
    /// # Errors
    ///
    /// When the ladder's own binary is missing.
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

    /// Writes credentials into a home directory.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
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
