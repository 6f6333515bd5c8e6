//! The one execution of a sandbox: its process, and the threads that carry its bytes.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::input::Input;
use crate::protocol::MAX_PAYLOAD_BYTES;
use crate::protocol::frame::{
    Command, ExecutionId, Exit, HostFrame, OutputStream, SupervisorFrame,
};
use crate::protocol::session::{IllegalFrame, SupervisorSession};

/// The most that a program can make a pipe hold.
const MAX_PIPE_BYTES: u64 = 1 << 20;
/// A pipe that another process of the program still has open counts as empty after so long without
/// a byte. The standard library cannot ask a pipe how much is in it. So this is long enough for a
/// thread that a busy machine does not schedule: with 50 ms, three of 1,200 probes lost their last
/// lines at load 16. A pipe that no process has open ends sooner, by its end, unless its thread is not
/// scheduled for that long.
const HELD_PIPE_GRACE: Duration = Duration::from_secs(1);
/// Enough for a thread that only reads and writes.
const STACK_BYTES: usize = 64 << 10;

/// What the threads share. The two locks are never held together by one thread: a thread that
/// blocks while it writes to the host does not keep `main` from reading the host's frames.
pub(crate) struct Shared {
    host: Mutex<Writer>,
    flow: Mutex<Flow>,
    /// Fires when `flow` changes: a window opened, a chunk was relayed, a pipe ended.
    changed: Condvar,
}

/// The sending half of the socket. Frames are written whole, under its lock.
struct Writer {
    socket: UnixStream,
    /// After Exited no frame of the execution is legal, so that none is sent.
    has_exited: bool,
}

struct Flow {
    session: SupervisorSession,
    /// How many threads wait for `changed`: a notification costs a system call, and there is mostly
    /// no thread to notify.
    waiting: u32,
    stdout: Progress,
    stderr: Progress,
}

/// How far the relay of one output stream is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    relayed: u64,
    /// Since when the relay waits for a byte of the program; none while it has one.
    reading_since: Option<Instant>,
    is_closed: bool,
}

impl Shared {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self {
            host: Mutex::new(Writer { socket, has_exited: false }),
            flow: Mutex::new(Flow {
                session: SupervisorSession::new(),
                waiting: 0,
                stdout: Progress::default(),
                stderr: Progress::default(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn send(&self, frame: &SupervisorFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if host.has_exited {
            return Ok(());
        }
        host.has_exited = matches!(frame, SupervisorFrame::Exited { .. });
        host.socket.write_all(&bytes)
    }

    pub(crate) fn receive(&self, frame: &HostFrame) -> Result<(), IllegalFrame> {
        self.change(|flow| flow.session.receive(frame))
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the flow, and notifies the threads that wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Flow) -> T) -> T {
        let mut flow = self.flow();
        let result = change(&mut flow);
        if flow.waiting > 0 {
            self.changed.notify_all();
        }
        result
    }

    /// Waits for a change, or for as long as an orphan may leave a pipe empty.
    fn wait_for_change<'a>(&self, mut flow: MutexGuard<'a, Flow>) -> MutexGuard<'a, Flow> {
        flow.waiting += 1;
        let waited = self.changed.wait_timeout(flow, HELD_PIPE_GRACE);
        let mut flow = waited.unwrap_or_else(PoisonError::into_inner).0;
        flow.waiting -= 1;
        flow
    }

    /// Notes that the program has taken input, and opens the supervisor's window by as much.
    pub(crate) fn consumed_stdin(&self, execution: ExecutionId, bytes: u32) -> io::Result<()> {
        let consumed = self.flow().session.consumed_stdin(bytes);
        consumed.map_err(io::Error::other)?;
        self.send(&SupervisorFrame::StdinWindow { execution, bytes })
    }

    /// Waits until the host's window of a stream is open: how many bytes may be read and sent.
    fn wait_for_credit(&self, stream: OutputStream) -> usize {
        let mut flow = self.flow();
        loop {
            let credit = flow.session.output_credit(stream);
            if credit > 0 {
                flow.progress(stream).reading_since = Some(Instant::now());
                return credit;
            }
            flow = self.wait_for_change(flow);
        }
    }

    /// Waits until everything is sent that the program wrote before it ended: to the end of each pipe,
    /// or, since an orphan may have its other end, until it had no byte for [`HELD_PIPE_GRACE`], or
    /// until more came out of it than can have been in it.
    fn wait_until_flushed(&self) {
        let ended = Instant::now();
        let mut flow = self.flow();
        let before = [flow.stdout.relayed, flow.stderr.relayed];
        loop {
            let is_flushed = |progress: &Progress, before: u64| {
                let is_empty = |since: Instant| since.max(ended).elapsed() >= HELD_PIPE_GRACE;
                progress.is_closed
                    || progress.relayed - before >= MAX_PIPE_BYTES
                    || progress.reading_since.is_some_and(is_empty)
            };
            if is_flushed(&flow.stdout, before[0]) && is_flushed(&flow.stderr, before[1]) {
                return;
            }
            flow = self.wait_for_change(flow);
        }
    }
}

impl Flow {
    fn progress(&mut self, stream: OutputStream) -> &mut Progress {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
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
    let spawned = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .gid(command.user) // the standard library drops the supplementary groups as well
        .uid(command.user)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let errno = error.raw_os_error().and_then(|errno| u32::try_from(errno).ok());
            let errno = errno.unwrap_or(0);
            shared.send(&SupervisorFrame::StartFailed { execution, errno })?;
            return Ok(Input::Closed);
        }
    };
    shared.send(&SupervisorFrame::Started { execution, pid: child.id() })?;
    let stdin = child.stdin.take();
    if let Some(stdout) = child.stdout.take() {
        let shared = Arc::clone(shared);
        spawn(move || relay(&shared, execution, OutputStream::Stdout, stdout))?;
    }
    if let Some(stderr) = child.stderr.take() {
        let shared = Arc::clone(shared);
        spawn(move || relay(&shared, execution, OutputStream::Stderr, stderr))?;
    }
    let waiting = Arc::clone(shared);
    spawn(move || report_end(&waiting, execution, child))?;
    Ok(stdin.map_or(Input::Closed, |pipe| Input::Direct {
        pipe,
        shared: Arc::clone(shared),
        execution,
        written: 0,
    }))
}

/// A thread that ends when it has nothing more to do, or when the host is gone.
pub(crate) fn spawn(thread: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    // `main` sees the end of the host as well, and ends the sandbox.
    Builder::new().stack_size(STACK_BYTES).spawn(|| thread().ok()).map(drop)
}

/// Sends what the program writes to one stream. Reads no more than the host's window allows, so
/// that a host that does not read makes the program wait.
fn relay(
    shared: &Shared,
    execution: ExecutionId,
    stream: OutputStream,
    mut pipe: impl Read,
) -> io::Result<()> {
    let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
    loop {
        let credit = shared.wait_for_credit(stream).min(buffer.len());
        let length = match pipe.read(&mut buffer[..credit]) {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
        };
        {
            let mut flow = shared.flow();
            flow.progress(stream).reading_since = None;
            flow.session.send_output(stream, length).map_err(io::Error::other)?;
        }
        let bytes = buffer[..length].to_vec();
        shared.send(&SupervisorFrame::Output { execution, stream, bytes })?;
        shared.change(|flow| flow.progress(stream).relayed += length as u64);
    }
    shared.change(|flow| flow.progress(stream).is_closed = true);
    Ok(())
}

/// Reports the program's end, behind all of its output. The supervisor stays: the host ends the
/// sandbox.
fn report_end(shared: &Shared, execution: ExecutionId, mut child: Child) -> io::Result<()> {
    let exit = exit(child.wait()?);
    shared.wait_until_flushed();
    shared.send(&SupervisorFrame::Exited { execution, exit })
}

fn exit(status: ExitStatus) -> Exit {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    status.signal().map_or_else(
        || Exit::Code(byte(status.code().unwrap_or(0))),
        |signal| Exit::Signal(byte(signal)),
    )
}
