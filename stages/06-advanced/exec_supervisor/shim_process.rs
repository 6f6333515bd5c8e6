//! The supervisor's end of a shim.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Pid;

use crate::OWN_PROGRAM;
use crate::report::{REPORT_BYTES, Report};

/// A shim that runs.
pub(crate) struct Shim {
    pub(crate) pid: Pid,
    /// Does not block.
    pub(crate) socket: UnixStream,
}

/// What a shim's socket has.
pub(crate) enum Received {
    Report(Report, Vec<File>),
    /// Nothing now.
    Nothing,
    /// The shim has ended, or is none any more.
    Gone,
}

impl Shim {
    pub(crate) fn start() -> io::Result<Self> {
        let (socket, other) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let child = Command::new(OWN_PROGRAM)
            .arg0("exec_supervisor")
            .arg("shim")
            .env_clear()
            .stdin(OwnedFd::from(other))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It is waited for with all other children.
        Ok(Self { pid: pid.ok_or(io::ErrorKind::InvalidData)?, socket })
    }

    pub(crate) fn receive(&self) -> Received {
        let mut bytes = [0; REPORT_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC);
        match received.map(|message| message.bytes) {
            // A report is written at once, and so it arrives.
            Ok(REPORT_BYTES) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Received::Nothing,
            Ok(_) | Err(_) => return Received::Gone,
        }
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received.map(File::from));
            }
        }
        Report::decode(bytes).map_or(Received::Gone, |report| Received::Report(report, files))
    }
}
