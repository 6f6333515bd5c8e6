//! The first process of every sandbox that stays: runs the host's executions, many at one moment.
//!
//! ```text
//! exec_supervisor [--stdio]      process 1: one event loop between the host and all pipes
//!   ├── exec_supervisor shim     one for each execution, and a spare one: becomes the parent of
//!   │     ├── the program        whatever the program leaves, so that the whole tree can be ended
//!   │     └── its orphans
//!   └── exec_supervisor shim
//! exec_supervisor file-tool ...  the program of an execution that reads or writes files
//! exec_supervisor baseline ROOT  lists a file system, on the host, for `file-tool diff`
//! ```
//!
//! Guarantee: a program that is not root can neither end a shim nor the supervisor, nor write a
//! frame, and no process leaves the tree of its execution: a shim is the "child subreaper" of what
//! it has started. Executions share no pipe and no window. When the host is gone, the socket ends
//! and so does process 1, and everything in the sandbox with it.
//!
//! What it does not protect: a program that is root in the sandbox can end the shims, trace this
//! process, or replace this file. The host therefore believes no frame, and removes the sandbox as a
//! whole. When only a shim is killed, what it has left becomes the supervisor's own, and is ended
//! with the execution.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking"))]

mod execution;
mod files;
mod host;
mod report;
mod requests;
mod shim;
mod shim_process;
mod shims;
mod start;
mod supervisor;
mod tree;
mod user;

#[path = "../frame_codec.rs"]
mod frame_codec;
#[cfg_attr(not(test), expect(dead_code, reason = "the host's half of both directions"))]
#[path = "../exec_protocol/mod.rs"]
mod protocol;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::exit;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Why the supervisor ends the sandbox.
type Error = Box<dyn std::error::Error>;

/// This program, whatever its path is and whichever user may read that.
const OWN_PROGRAM: &str = "/proc/self/exe";

fn main() {
    let mut words = std::env::args_os().skip(1).map(std::os::unix::ffi::OsStringExt::into_vec);
    let ended = match words.next().as_deref() {
        Some(b"shim") => guard().and_then(|()| shim::run()),
        Some(b"file-tool") => exit(files::run(&words.collect::<Vec<_>>())),
        Some(b"baseline") => exit(files::baseline(words.next())),
        Some(b"--stdio") => guard()
            .and_then(|()| streams(false))
            .and_then(|(input, output)| supervisor::supervise(input, output)),
        _ => guard()
            .and_then(|()| streams(true))
            .and_then(|(input, output)| supervisor::supervise(input, output)),
    };
    if let Err(error) = ended {
        eprintln!("the exec supervisor ends the sandbox: {error}");
        exit(1)
    }
}

/// Attack: where the supervisor is not root, a program of the same user opens the descriptors of
/// process 1 by their paths, or traces it → the kernel lets root alone do that.
fn guard() -> Result<(), Error> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The host's frames, and where they are answered: duplicates, which no program inherits.
fn streams(is_socket: bool) -> Result<(OwnedFd, OwnedFd), Error> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output =
        if is_socket { input.try_clone()? } else { io::stdout().as_fd().try_clone_to_owned()? };
    Ok((input, output))
}
