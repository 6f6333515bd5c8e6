//! What a shim reports to the supervisor: records of eight bytes, the first with the three pipes of
//! the program.

use std::num::NonZeroU32;

use rustix::process::{Pid, WaitStatus};

use crate::protocol::frame::{Exit, StartFailure};

pub(crate) const REPORT_BYTES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program's process; the supervisor's ends of its pipes come with this.
    Started(Pid),
    /// It could not be started, by the number of an error.
    Failed(StartFailure, u32),
    /// It has ended.
    Exited(Exit),
    /// Nothing of it is left: the shim takes the next request.
    Idle,
}

impl Report {
    pub(crate) fn encode(self) -> [u8; REPORT_BYTES] {
        let (kind, detail, number) = match self {
            Self::Started(pid) => (1, 0, pid.as_raw_nonzero().get().cast_unsigned()),
            Self::Failed(failure, errno) => (2, failure.code(), errno),
            Self::Exited(Exit::Code(code)) => (3, code, 0),
            Self::Exited(Exit::Signal(signal)) => (4, signal, 0),
            Self::Idle => (5, 0, 0),
        };
        let [n0, n1, n2, n3] = number.to_be_bytes();
        [kind, detail, 0, 0, n0, n1, n2, n3]
    }

    pub(crate) fn decode(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        let [kind, detail, _, _, n0, n1, n2, n3] = bytes;
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        Some(match kind {
            1 => Self::Started(Pid::from_raw(NonZeroU32::new(number)?.get().cast_signed())?),
            2 => Self::Failed(StartFailure::from_code(detail)?, number),
            3 => Self::Exited(Exit::Code(detail)),
            4 => Self::Exited(Exit::Signal(detail)),
            5 => Self::Idle,
            _ => return None,
        })
    }
}

/// How a process ended.
pub(crate) fn exit_of(status: WaitStatus) -> Exit {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    status.terminating_signal().map_or_else(
        || Exit::Code(byte(status.exit_status().unwrap_or(0))),
        |signal| Exit::Signal(byte(signal)),
    )
}
