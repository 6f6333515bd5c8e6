//! What a caller wants executed.

use super::error::StartError;
use super::file_tool::FileTool;
use crate::exec_protocol::MAX_COMMAND_BYTES;
use crate::exec_protocol::command::{Command, Defaults};

/// What counts for a sandbox's executions where their commands do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxDefaults {
    /// A name, a uid or uid:gid, as in [`SandboxCommand::user`].
    pub user: String,
    /// The working directory. The user's home takes its place where the user cannot enter it.
    pub workdir: String,
    /// Variables of every execution. `HOME` and `USER` are set from the sandbox's list of users
    /// when they are not here.
    pub env: Vec<(String, String)>,
    /// Whether anything is executed as root.
    pub allows_root: bool,
}

/// What is executed. All text is bytes, as it is for the system's calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxCommand {
    /// The program and its arguments. A program without `/` in its name is looked for in the
    /// directories of the execution's `PATH`, inside the sandbox.
    pub argv: Vec<Vec<u8>>,
    /// Variables beside those of the sandbox, before which they count.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The working directory; a relative one is relative to that of the sandbox.
    pub cwd: Option<Vec<u8>>,
    /// `name`, `uid`, `name:group` or `uid:gid`, by the sandbox's own lists. A number need not be in
    /// the list; its group is then the same number.
    pub user: Option<String>,
    /// The supervisor's own program takes the place of `argv[0]`.
    is_file_tool: bool,
}

impl SandboxDefaults {
    pub(super) fn encode(&self) -> Vec<u8> {
        let bytes = |text: &String| text.replace('\0', "").into_bytes();
        let env = self.env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        let (user, cwd) = (bytes(&self.user), bytes(&self.workdir));
        Defaults { user, cwd, env, allows_root: self.allows_root }.encode()
    }
}

impl SandboxCommand {
    /// A command of these words, with the sandbox's defaults.
    pub fn new<W: Into<Vec<u8>>>(argv: impl IntoIterator<Item = W>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// A file tool, which is in every sandbox. A path is relative to the working directory.
    pub fn file_tool(tool: &FileTool) -> Self {
        Self { is_file_tool: true, ..Self::new(tool.arguments()) }
    }

    /// With these variables beside those of the sandbox.
    #[must_use]
    pub fn env(self, env: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { env, ..self }
    }

    /// In this working directory instead of the sandbox's.
    #[must_use]
    pub fn cwd(self, cwd: Option<Vec<u8>>) -> Self {
        Self { cwd, ..self }
    }

    /// As this user instead of the sandbox's.
    #[must_use]
    pub fn user(self, user: Option<String>) -> Self {
        Self { user, ..self }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StartError> {
        let user = self.user.clone().map(String::into_bytes);
        let pairs = self.env.iter().flat_map(|(name, value)| [name, value]);
        let mut texts = self.argv.iter().chain(pairs).chain(&self.cwd).chain(&user);
        let has_nul = texts.any(|text| text.contains(&0));
        drop(texts);
        if has_nul {
            return Err(StartError::Nul);
        }
        if self.argv.is_empty() {
            return Err(StartError::NoProgram);
        }
        if self.env.iter().any(|(name, _)| name.is_empty() || name.contains(&b'=')) {
            return Err(StartError::VariableName);
        }
        let (is_file_tool, argv) = (self.is_file_tool, self.argv.clone());
        let (env, cwd) = (self.env.clone(), self.cwd.clone());
        let bytes = Command { is_file_tool, argv, env, cwd, user }.encode();
        if bytes.len() > MAX_COMMAND_BYTES {
            return Err(StartError::TooLong { bytes: bytes.len() });
        }
        Ok(bytes)
    }
}
