//! The parent of one execution: starts its program, and adopts what the program leaves.
//!
//! It is a process of its own, because the kernel gives the orphans of a tree to the nearest
//! subreaper above them: so a process that called `setsid`, or whose parents have ended, is still
//! below the shim. It waits for a request, so that one is ready before it is needed, and takes the
//! next one when nothing of an execution is left: starting a process is what costs most.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, wait};

use crate::Error;
use crate::protocol::MAX_COMMAND_BYTES;
use crate::protocol::command::{Command, Defaults};
use crate::report::{Report, exit_of};
use crate::start::{Started, start};

/// Serves one request after the other, which arrive on standard input.
pub(crate) fn run() -> Result<(), Error> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // No program of the sandbox is to find the socket.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    set_child_subreaper(Some(getpid()))?;
    loop {
        let request =
            receive(&mut socket).and_then(|defaults| Ok((defaults, receive(&mut socket)?)));
        match request {
            Ok((defaults, command)) => serve(&mut socket, &defaults, &command)?,
            // The supervisor is gone, or needs this shim no more.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts a program, reports its end, and waits for the last process of it.
fn serve(socket: &mut UnixStream, defaults: &[u8], command: &[u8]) -> Result<(), Error> {
    let defaults = Defaults::decode(defaults).ok_or("the supervisor sent no defaults")?;
    let command = Command::decode(command).ok_or("the supervisor sent no command")?;
    match start(&defaults, command) {
        Ok(started) => {
            let pid = started.pid;
            send_started(socket, &started)?;
            drop(started); // the program's pipes end with the program
            wait_for_all(socket, pid)?;
        }
        Err(failure) => {
            socket.write_all(&Report::Failed(failure.kind, failure.errno).encode())?;
        }
    }
    Ok(socket.write_all(&Report::Idle.encode())?)
}

/// A part of the request, behind its length.
fn receive(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_COMMAND_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn send_started(socket: &UnixStream, started: &Started) -> io::Result<()> {
    let pipes = [started.stdin.as_fd(), started.stdout.as_fd(), started.stderr.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&pipes));
    let report = Report::Started(started.pid).encode();
    sendmsg(socket, &[IoSlice::new(&report)], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Reports the end of the program, and waits for all that it has left.
fn wait_for_all(socket: &mut UnixStream, program: Pid) -> Result<(), Error> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                socket.write_all(&Report::Exited(exit_of(status)).encode())?;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Ok(()), // no child is left
        }
    }
}
