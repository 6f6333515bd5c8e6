//! The standard input of the execution's program.

use std::io::{self, PipeWriter, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::execution::{Shared, spawn};
use crate::protocol::STDIN_WINDOW_BYTES;
use crate::protocol::frame::ExecutionId;

/// What a fresh pipe takes without a reader.
const PIPE_BYTES: usize = 64 << 10;

/// Where the program's input goes.
pub(crate) enum Input {
    /// There is no program, or its input has ended.
    Closed,
    /// So much was written that a fresh pipe has room for: this never blocks.
    Direct { pipe: PipeWriter, shared: Arc<Shared>, execution: ExecutionId, written: usize },
    /// A thread writes, because a program need not read, and `main` has to see the host go. What is
    /// queued is bounded by the window.
    Queued(Sender<Vec<u8>>),
}

impl Input {
    pub(crate) fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Closed => Self::Closed,
            Self::Direct { mut pipe, shared, execution, written } => {
                let after = written + bytes.len();
                if after <= PIPE_BYTES {
                    // A program that has closed its input does not want it.
                    match pipe.write_all(&bytes) {
                        Ok(()) => Self::Direct { pipe, shared, execution, written: after },
                        Err(_) => Self::Closed,
                    }
                } else {
                    let (sender, receiver) = channel();
                    sender.send(bytes).ok();
                    spawn(move || feed(&shared, execution, pipe, written, &receiver))?;
                    Self::Queued(sender)
                }
            }
            Self::Queued(sender) => {
                let is_wanted = sender.send(bytes).is_ok();
                if is_wanted { Self::Queued(sender) } else { Self::Closed }
            }
        };
        Ok(())
    }
}

/// Writes queued input as the program reads it, and opens the window once half of it is used.
/// `written` bytes were written before.
fn feed(
    shared: &Shared,
    execution: ExecutionId,
    mut pipe: PipeWriter,
    written: usize,
    queue: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut consumed = u32::try_from(written).unwrap_or(u32::MAX);
    for bytes in queue {
        pipe.write_all(&bytes)?;
        consumed += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if consumed >= STDIN_WINDOW_BYTES / 2 {
            shared.consumed_stdin(execution, consumed)?;
            consumed = 0;
        }
    }
    Ok(())
}
