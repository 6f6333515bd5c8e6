//! The first process of every sandbox: starts a program for the host, carries its input and output,
//! and reports how it ended.
//!
//! Descriptor 0 is a socket to the host, on which both sides send the frames of `protocol`. 1 and 2
//! are runsc's own; only an error before the first frame is written there.
//!
//! ```text
//! main       reads the host's frames; starts the program; writes input that fits the fresh pipe
//! stdout     reads the program's standard output, sends it within the host's window
//! stderr     the same for standard error
//! wait       waits for the program's first process, sends what is left in its pipes, then Exited
//! kill       only when the host ends the program: ends every process of its user
//! collect    only when the host requests the files that the program left: sends them
//! stdin      only for input longer than a pipe: writes it as the program reads it
//! ```
//!
//! Guarantee: the report cannot be forged. The supervisor is root inside and the program is another
//! user, so that the program can neither signal nor trace it nor open its descriptors, and what the
//! program writes travels in frames that the supervisor makes. When the host is gone the socket
//! ends, and so does the supervisor: it is the sandbox's first process, so that everything in the
//! sandbox ends with it. When the host hangs instead, the lifetime ends it.
//!
//! What it does not protect: output that the supervisor has not read yet is lost when the sandbox
//! is killed as a whole. A program's orphans stay as zombies until the sandbox is removed.
//!
//! It is small and static because it is started for every evaluation: there is no library to find
//! and link, and the threads exist before the program's input arrives.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by panicking")
)]

mod collect;
mod execution;
#[path = "../frame_codec.rs"]
mod frame_codec;
mod input;
mod load;
mod output;
#[cfg_attr(not(test), expect(dead_code, reason = "the host's half of both directions"))]
#[path = "../protocol/mod.rs"]
mod protocol;

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use execution::Shared;
use input::Input;
use protocol::VERSION;
use protocol::frame::{HostFrame, SupervisorFrame};

/// Until the host names the program's user. It cannot read anything of it.
const NOBODY: u32 = 65534;

/// Why the supervisor ends the sandbox.
type Error = Box<dyn std::error::Error>;

fn main() {
    if let Some(command) = load::command() {
        eprintln!("the loader cannot start the program: {}", load::load(&command));
        exit(127)
    }
    match supervise() {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("the supervisor ends the sandbox: {error}");
            exit(1)
        }
    }
}

// ANCHOR: supervise
/// Obeys the host's frames until the host is gone or the lifetime is over. A frame that is not
/// legal now ends the sandbox.
fn supervise() -> Result<(), Error> {
    // A duplicate that is closed on exec: the program does not inherit the socket.
    let host = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let shared = Arc::new(Shared::new(host.try_clone()?));
    shared.send(&SupervisorFrame::Hello { version: VERSION })?;
    let mut frames = Frames { host, bytes: Vec::new(), deadline: None };
    let (mut input, mut user) = (Input::Closed, NOBODY);
    while let Some(frame) = frames.next()? {
        shared.receive(&frame)?;
        match frame {
            HostFrame::Start { execution, command } => {
                user = command.user;
                input = execution::start(&shared, execution, &command)?;
            }
            HostFrame::Lifetime { seconds } => {
                frames.deadline = Some(Instant::now() + Duration::from_secs(seconds.into()));
            }
            HostFrame::Stdin { bytes, .. } => input.write(bytes)?,
            HostFrame::StdinEof { .. } => input = Input::Closed,
            HostFrame::Window { .. } => {} // `receive` has opened it
            HostFrame::Kill { .. } => execution::spawn(move || collect::end(user))?,
            HostFrame::Collect { execution } => {
                let shared = Arc::clone(&shared);
                execution::spawn(move || collect::collect(&shared, execution, user))?;
            }
        }
    }
    Ok(())
}
// ANCHOR_END: supervise

/// The host's frames.
struct Frames {
    host: UnixStream,
    bytes: Vec<u8>,
    /// When the sandbox ends, should the host not end it before.
    deadline: Option<Instant>,
}

impl Frames {
    /// The next frame; none at the end of the host or of the lifetime.
    fn next(&mut self) -> Result<Option<HostFrame>, Error> {
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some((frame, length)) = HostFrame::decode(&self.bytes)? {
                self.bytes.drain(..length);
                return Ok(Some(frame));
            }
            if let Some(deadline) = self.deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                // 0 would mean without limit.
                self.host.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            }
            match self.host.read(&mut chunk) {
                Ok(length @ 1..) => self.bytes.extend_from_slice(&chunk[..length]),
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }
}
