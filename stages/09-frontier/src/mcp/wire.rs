//! The arguments of the tools. Their comments are what a model reads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// A program to run once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunProgram {
    /// The source of the program; Python, unless the environment is another one.
    pub(super) code: String,
    /// What the program reads from its standard input.
    pub(super) stdin: Option<String>,
    /// Seconds after which the program is ended.
    pub(super) timeout_seconds: Option<f64>,
    /// Name of the environment to run it in.
    pub(super) environment: Option<String>,
}

/// A sandbox to open.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpenSandbox {
    /// Name of the environment; `agent` if it is not given.
    pub(super) environment: Option<String>,
    /// Memory of the sandbox, in bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Seconds after which the sandbox is removed.
    pub(super) lifetime_seconds: Option<u64>,
}

/// A command to execute in a sandbox.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Execute {
    /// Id of the sandbox, as `open_sandbox` has it.
    pub(super) sandbox: String,
    /// A command line for `/bin/sh`.
    pub(super) command: String,
    /// What the command reads from its standard input.
    pub(super) stdin: Option<String>,
    /// The directory to execute it in; the home of the sandbox's user if it is not given.
    pub(super) cwd: Option<String>,
    /// Environment variables.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// The user to execute it as, such as `root`; the sandbox's own if it is not given.
    pub(super) user: Option<String>,
    /// Seconds after which the command and everything that it has started is ended; 120 if it is not given.
    pub(super) timeout_seconds: Option<f64>,
}

/// A file to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadFile {
    /// Id of the sandbox, as `open_sandbox` has it.
    pub(super) sandbox: String,
    /// Path of the file; a relative one is below the home of the sandbox's user.
    pub(super) path: String,
}

/// A file to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteFile {
    /// Id of the sandbox, as `open_sandbox` has it.
    pub(super) sandbox: String,
    /// Path of the file; a relative one is below the home of the sandbox's user.
    pub(super) path: String,
    /// The text to write. What the file had before is replaced.
    pub(super) content: String,
}

/// A sandbox to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseSandbox {
    /// Id of the sandbox, as `open_sandbox` has it.
    pub(super) sandbox: String,
}
