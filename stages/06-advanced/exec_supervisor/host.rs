//! The host's end of things: frames that arrive, and frames that wait to be sent. Nothing blocks.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::ioctl_fionbio;

use crate::Error;
use crate::protocol::frame::{HostFrame, SupervisorFrame};

/// While more than this waits, no output is read from a program.
const MAX_UNSENT_BYTES: usize = 256 << 10;
const READ_BYTES: usize = 64 << 10;

pub(crate) struct Host {
    input: File,
    output: File,
    /// Read and not decoded yet.
    incoming: Vec<u8>,
    /// Encoded and not written yet, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
}

impl Host {
    pub(crate) fn new(input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&input, true)?;
        ioctl_fionbio(&output, true)?;
        let (input, output) = (input.into(), output.into());
        Ok(Self { input, output, incoming: Vec::new(), outgoing: Vec::new(), sent: 0 })
    }

    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    pub(crate) fn send(&mut self, frame: &SupervisorFrame) {
        if self.sent >= MAX_UNSENT_BYTES {
            // There may always be something more to send.
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        frame.encode(&mut self.outgoing);
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Whether a program's output may be read.
    pub(crate) fn has_space(&self) -> bool {
        self.outgoing.len() - self.sent < MAX_UNSENT_BYTES
    }

    /// Writes what the host takes now. False when the host is gone.
    pub(crate) fn flush(&mut self) -> bool {
        while self.has_unsent() {
            match self.output.write(&self.outgoing[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(MAX_UNSENT_BYTES);
        self.sent = 0;
        true
    }

    /// Reads what has arrived. False when the host is gone.
    pub(crate) fn read(&mut self) -> bool {
        let before = self.incoming.len();
        self.incoming.resize(before + READ_BYTES, 0);
        let read = self.input.read(&mut self.incoming[before..]);
        self.incoming.truncate(before + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(length) => length > 0,
            Err(error) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            }
        }
    }

    /// The frames that have arrived whole.
    pub(crate) fn frames(&mut self) -> Result<Vec<HostFrame>, Error> {
        let (mut frames, mut taken) = (Vec::new(), 0);
        while let Some((frame, length)) = HostFrame::decode(&self.incoming[taken..])? {
            taken += length;
            frames.push(frame);
        }
        self.incoming.drain(..taken);
        Ok(frames)
    }
}
