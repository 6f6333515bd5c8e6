//! The first process of every warm sandbox: it starts the interpreter, brings it its program, and
//! says how the program ended.
//!
//! `supervisor PROGRAM [ARGUMENT]...`, with three descriptors:
//!
//! * 0 is a socket to the host, and nobody else's. In come eight bytes with the seconds that a
//!   program may live, eight with a length and then so many bytes, which become the program's
//!   standard input. Out goes one line, `exit N` or `signal N`.
//! * 1 and 2 are the program's. The supervisor never reads or writes them.
//!
//! The rule it keeps: what it says cannot be forged. It is root inside and the program is `nobody`,
//! so that the program can neither signal nor trace it nor open its descriptors, and the program's
//! own output goes another way. When the host is gone the socket ends, and so does the supervisor: it
//! is the sandbox's first process, so that everything in the sandbox ends with it. When the host hangs
//! instead, time ends it.
//!
//! What it does not protect: a program's orphans stay as zombies until the sandbox is taken away,
//! because the standard library, which is all there is here, waits for no process it did not start.
//!
//! It is small and static because it is started for every evaluation: no library to be found and
//! linked, two threads, and no third before there is much to deliver.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ChildStdin, Command, ExitStatus, Stdio, exit};
use std::thread::Builder;
use std::time::Duration;

/// Neither root nor anybody else who owns a file: `nobody`.
const NOBODY: u32 = 65534;
/// What a fresh pipe takes without a reader.
const PIPE: usize = 64 << 10;
/// Enough for a thread that only reads and writes.
const STACK: usize = 64 << 10;

fn main() {
    if let Err(error) = supervise() {
        // Before there is a program, standard error is ours.
        eprintln!("the supervisor cannot go on: {error}");
        exit(1);
    }
}

// ANCHOR: supervise
fn supervise() -> std::io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or_else(|| std::io::Error::other("no program was named"))?;
    let host = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut child = Command::new(program)
        .args(arguments)
        .gid(NOBODY) // the standard library takes the other groups away as well
        .uid(NOBODY)
        .stdin(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take();
    let requests = host.try_clone()?;
    Builder::new().stack_size(STACK).spawn(move || {
        // The host takes this sandbox away, or is gone itself: either way this is the end.
        let _gone = serve(requests, input);
        exit(0);
    })?;
    let ended = child.wait()?;
    (&host).write_all(report(ended).as_bytes())?;
    loop {
        // The host reads its counters before it takes us away.
        std::thread::park();
    }
}
// ANCHOR_END: supervise

/// Delivers one program, and then waits for the host to go.
fn serve(mut host: UnixStream, input: Option<ChildStdin>) -> std::io::Result<()> {
    let alive = number(&mut host)?;
    // Nobody may be there any more to end us; then time does.
    host.set_read_timeout(Some(Duration::from_secs(alive.max(1))))?;
    let length = number(&mut host)?;
    let mut bytes = Vec::new();
    (&mut host).take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Ok(()); // gone in the middle of it
    }
    if let Some(mut input) = input {
        // A program need not read what it is given; that must not keep us from seeing the host go.
        let is_short = bytes.len() <= PIPE;
        let mut deliver = move || drop(input.write_all(&bytes));
        if is_short {
            deliver();
        } else {
            Builder::new().stack_size(STACK).spawn(deliver)?;
        }
    }
    // Nothing more is ever said to us: this returns at the end of the host, or of the time.
    host.read(&mut [0]).map(drop)
}

fn number(host: &mut UnixStream) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    host.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn report(ended: ExitStatus) -> String {
    match ended.signal() {
        Some(number) => format!("signal {number}\n"),
        None => format!("exit {}\n", ended.code().unwrap_or(0)),
    }
}
