//! The one execution of a sandbox: its process, and the threads that carry its bytes.

use std::io::{self, PipeReader, PipeWriter, Write as _, pipe};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::collect;
use crate::input::Input;
use crate::output::Output;
use crate::protocol::OUTPUT_DIR;
use crate::protocol::frame::{
    Command, ExecutionId, Exit, HostFrame, OutputStream, SupervisorFrame,
};
use crate::protocol::session::{IllegalFrame, SupervisorSession};

/// Enough for a thread that only reads and writes.
const STACK_BYTES: usize = 64 << 10;

/// What the threads share. The two locks are never held together by one thread: a thread that
/// blocks while it writes to the host does not keep `main` from reading the host's frames.
pub(crate) struct Shared {
    host: Mutex<Writer>,
    session: Mutex<SupervisorSession>,
    /// Fires when a frame of the host has changed `session`, which may have opened a window.
    changed: Condvar,
}

/// The sending half of the socket. Frames are written whole, under its lock.
struct Writer {
    socket: UnixStream,
    /// After Exited only the files of the execution are legal, so that nothing else is sent.
    has_exited: bool,
}

impl Shared {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self {
            host: Mutex::new(Writer { socket, has_exited: false }),
            session: Mutex::new(SupervisorSession::new()),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn send(&self, frame: &SupervisorFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_files = matches!(
            frame,
            SupervisorFrame::File { .. }
                | SupervisorFrame::FileChunk { .. }
                | SupervisorFrame::Collected { .. }
        );
        if host.has_exited && !is_of_files {
            return Ok(());
        }
        host.has_exited |= matches!(frame, SupervisorFrame::Exited { .. });
        host.socket.write_all(&bytes)
    }

    pub(crate) fn receive(&self, frame: &HostFrame) -> Result<(), IllegalFrame> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let received = session.receive(frame);
        self.changed.notify_all();
        received
    }

    /// Notes that the program has taken input, and opens the supervisor's window by as much.
    pub(crate) fn consumed_stdin(&self, execution: ExecutionId, bytes: u32) -> io::Result<()> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let consumed = session.consumed_stdin(bytes);
        drop(session);
        consumed.map_err(io::Error::other)?;
        self.send(&SupervisorFrame::StdinWindow { execution, bytes })
    }

    /// Waits until the host's window of a stream is open: how many bytes may be read and sent.
    pub(crate) fn wait_for_credit(&self, stream: OutputStream) -> usize {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let credit = session.output_credit(stream);
            if credit > 0 {
                return credit;
            }
            session = self.changed.wait(session).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that output is about to be sent.
    pub(crate) fn send_output(&self, stream: OutputStream, bytes: usize) -> io::Result<()> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.send_output(stream, bytes).map_err(io::Error::other)
    }
}

/// The three pipes of a program; first the program's end of each.
struct Pipes {
    stdin: (PipeReader, PipeWriter),
    stdout: (PipeWriter, PipeReader),
    stderr: (PipeWriter, PipeReader),
}

impl Pipes {
    /// Pipes that belong to `user`, as they would if the user's shell had created them: then the
    /// program can open them again by their paths, `/dev/stdin` for one. A pipe belongs to the user
    /// that its creator runs as, and gVisor gives none away later. So a thread changes its user, for
    /// itself alone, and ends.
    fn of(user: u32) -> io::Result<Self> {
        let create = move || {
            set_thread_res_gid(None, Gid::from_raw(user), None)?;
            set_thread_res_uid(None, Uid::from_raw(user), None)?;
            let swap = |(reader, writer)| (writer, reader);
            Ok(Self { stdin: pipe()?, stdout: swap(pipe()?), stderr: swap(pipe()?) })
        };
        let thread = Builder::new().stack_size(STACK_BYTES).spawn(create)?;
        thread.join().map_err(|_| io::Error::other("the thread that creates the pipes panicked"))?
    }
}

/// Starts the program and its threads. A program that cannot be started is reported, and is no
/// error of the supervisor.
pub(crate) fn start(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    command: &Command,
) -> io::Result<Input> {
    let (program, arguments) = command.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let pipes = Pipes::of(command.user)?;
    let spawned = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .gid(command.user) // the standard library drops the supplementary groups as well
        .uid(command.user)
        .stdin(pipes.stdin.0)
        .stdout(pipes.stdout.0)
        .stderr(pipes.stderr.0)
        .spawn(); // the command is dropped here, and the program's ends with it
    let child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let errno = error.raw_os_error().and_then(|errno| u32::try_from(errno).ok());
            let errno = errno.unwrap_or(0);
            shared.send(&SupervisorFrame::StartFailed { execution, errno })?;
            return Ok(Input::Closed);
        }
    };
    shared.send(&SupervisorFrame::Started { execution, pid: child.id() })?;
    let stdout = Output::new(execution, OutputStream::Stdout, pipes.stdout.1.into())?;
    let stderr = Output::new(execution, OutputStream::Stderr, pipes.stderr.1.into())?;
    let outputs = [Arc::new(stdout), Arc::new(stderr)];
    for output in &outputs {
        let (shared, output) = (Arc::clone(shared), Arc::clone(output));
        spawn(move || output.relay(&shared))?;
    }
    let waiting = Arc::clone(shared);
    spawn(move || report_end(&waiting, execution, child, &outputs))?;
    Ok(Input::Direct { pipe: pipes.stdin.1, shared: Arc::clone(shared), execution, written: 0 })
}

/// A thread that ends when it has nothing more to do, or when the host is gone.
pub(crate) fn spawn(thread: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    // `main` sees the end of the host as well, and ends the sandbox.
    Builder::new().stack_size(STACK_BYTES).spawn(|| thread().ok()).map(drop)
}

/// Reports the program's end, behind all of its output. The supervisor stays: the host ends the
/// sandbox.
fn report_end(
    shared: &Shared,
    execution: ExecutionId,
    mut child: Child,
    outputs: &[Arc<Output>],
) -> io::Result<()> {
    let exit = exit(child.wait()?);
    for output in outputs {
        output.drain(shared)?;
    }
    let has_files = collect::has_files(OUTPUT_DIR);
    shared.send(&SupervisorFrame::Exited { execution, exit, has_files })
}

fn exit(status: ExitStatus) -> Exit {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    status.signal().map_or_else(
        || Exit::Code(byte(status.code().unwrap_or(0))),
        |signal| Exit::Signal(byte(signal)),
    )
}
