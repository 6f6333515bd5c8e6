//! Why a channel, an execution or its input cannot go on.

use std::io;
use std::sync::Arc;

use crate::exec_protocol::MAX_COMMAND_BYTES;
use crate::exec_protocol::frame::DecodeError;

/// Why a channel is closed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChannelError {
    /// The sandbox has ended, or the channel was dropped.
    #[error("the sandbox closed its socket")]
    Closed,
    /// The socket failed.
    #[error("the sandbox's socket failed")]
    Io(#[source] Arc<io::Error>),
    /// Something arrived that an exec supervisor does not send.
    #[error("the exec supervisor sent {0}")]
    Protocol(String),
}

impl From<DecodeError> for ChannelError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Why an execution was not requested. Nothing was started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// There is no program to execute.
    #[error("a command needs at least a program")]
    NoProgram,
    /// The system's calls end a text at a NUL.
    #[error("a command cannot contain a NUL")]
    Nul,
    /// A variable without a name, or with `=` in its name.
    #[error("the name of an environment variable is empty or contains `=`")]
    VariableName,
    /// The command is too long.
    #[error("a command of {bytes} bytes; at most {MAX_COMMAND_BYTES} are accepted")]
    TooLong {
        /// As it would be sent.
        bytes: usize,
    },
    /// Too many executions run in this sandbox.
    #[error("{max} executions run in this sandbox, which are as many as may")]
    TooMany {
        /// How many may run.
        max: usize,
    },
    /// The channel is closed.
    #[error(transparent)]
    Channel(ChannelError),
}

/// Why input was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InputError {
    /// The execution has ended, or did not start.
    #[error("the execution has ended")]
    Ended,
    /// Its end was sent before.
    #[error("the input is closed")]
    Closed,
    /// The channel is closed.
    #[error(transparent)]
    Channel(ChannelError),
}
