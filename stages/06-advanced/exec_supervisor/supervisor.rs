//! The event loop: one thread waits for the host, for every shim and for every pipe.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::Error;
use crate::execution::{Execution, Part};
use crate::host::Host;
use crate::protocol::frame::{ExecutionId, StartFailure, SupervisorFrame};
use crate::protocol::{MAX_PAYLOAD_BYTES, VERSION};
use crate::report::Report;
use crate::shim_process::{Received, Shim};
use crate::tree::{Kill, Roots};

/// Between two looks for processes that have ended, while some are expected that no descriptor
/// reports.
const REAP_INTERVAL: Duration = Duration::from_millis(20);
/// Until the start of a shim is tried again.
const SPARE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Supervisor {
    pub(crate) host: Host,
    /// Encoded, for the shims.
    pub(crate) defaults: Option<Vec<u8>>,
    /// The command that is arriving.
    pub(crate) spec: Option<(ExecutionId, Vec<u8>)>,
    /// Of the execution that was requested last.
    pub(crate) last: Option<ExecutionId>,
    pub(crate) executions: BTreeMap<ExecutionId, Execution>,
    /// Shims that have no execution.
    pub(crate) spares: Vec<Shim>,
    /// When one is started, should there be none.
    pub(crate) spare_due: Instant,
    /// The shims of executions that have ended, and left processes.
    pub(crate) left: BTreeMap<ExecutionId, Shim>,
    /// Pipes of executions that have ended, which those processes hold: what they write is read, so
    /// that they do not end by it.
    discarded: Vec<File>,
    pub(crate) kills: Vec<Kill>,
    /// Shims that were not waited for yet.
    pub(crate) shims: HashSet<Pid>,
    /// Shims of these that have ended.
    pub(crate) gone: HashSet<Pid>,
    /// A shim was killed, so that processes may be the supervisor's own.
    pub(crate) has_strays: bool,
    /// When the sandbox ends.
    pub(crate) deadline: Option<Instant>,
    buffer: Vec<u8>,
}

/// A descriptor that is ready.
#[derive(Debug, Clone, Copy)]
enum Ready {
    HostInput,
    HostOutput,
    Spare(usize),
    Left(ExecutionId),
    Discarded(usize),
    Execution(ExecutionId, Part),
}

/// Serves the host until it is gone, or the sandbox's lifetime is over.
pub(crate) fn supervise(input: OwnedFd, output: OwnedFd) -> Result<(), Error> {
    let mut supervisor = Supervisor {
        host: Host::new(input, output)?,
        defaults: None,
        spec: None,
        last: None,
        executions: BTreeMap::new(),
        spares: Vec::new(),
        spare_due: Instant::now(),
        left: BTreeMap::new(),
        discarded: Vec::new(),
        kills: Vec::new(),
        shims: HashSet::new(),
        gone: HashSet::new(),
        has_strays: false,
        deadline: None,
        buffer: vec![0; MAX_PAYLOAD_BYTES],
    };
    supervisor.host.send(&SupervisorFrame::Hello { version: VERSION });
    while supervisor.turn()? {}
    Ok(())
}

impl Supervisor {
    // ANCHOR: turn
    /// One turn of the loop. False when the sandbox is to end.
    fn turn(&mut self) -> Result<bool, Error> {
        if !self.host.flush() {
            return Ok(false);
        }
        if self.spares.is_empty() && Instant::now() >= self.spare_due {
            self.spare_due = Instant::now() + SPARE_INTERVAL;
            let spare = self.start_shim().ok(); // the next execution tries again
            self.spares.extend(spare);
        }
        for ready in self.wait()? {
            match ready {
                Ready::HostInput => {
                    if !self.host.read() {
                        return Ok(false);
                    }
                    for frame in self.host.frames()? {
                        self.receive(frame)?;
                    }
                }
                Ready::HostOutput => {} // the next turn writes
                Ready::Spare(index) => self.spare_ended(index),
                Ready::Left(id) => self.left_reports(id),
                Ready::Discarded(index) => self.discard(index),
                Ready::Execution(id, part) => self.advance(id, part),
            }
        }
        self.reap();
        self.end_executions();
        self.sweep();
        Ok(self.deadline.is_none_or(|deadline| Instant::now() < deadline))
    }
    // ANCHOR_END: turn

    /// Waits for something to do.
    fn wait(&self) -> Result<Vec<Ready>, Error> {
        let mut ready = vec![Ready::HostInput];
        let mut polled = vec![PollFd::from_borrowed_fd(self.host.input(), PollFlags::IN)];
        let mut add = |what, descriptor, flags| {
            ready.push(what);
            polled.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        if self.host.has_unsent() {
            add(Ready::HostOutput, self.host.output(), PollFlags::OUT);
        }
        for (index, spare) in self.spares.iter().enumerate() {
            add(Ready::Spare(index), spare.socket.as_fd(), PollFlags::IN);
        }
        for (id, shim) in &self.left {
            add(Ready::Left(*id), shim.socket.as_fd(), PollFlags::IN);
        }
        for (index, pipe) in self.discarded.iter().enumerate() {
            add(Ready::Discarded(index), pipe.as_fd(), PollFlags::IN);
        }
        for (id, execution) in &self.executions {
            for (part, descriptor) in execution.waited(&self.host) {
                let writes = matches!(part, Part::Stdin | Part::Request);
                let flags = if writes { PollFlags::OUT } else { PollFlags::IN };
                add(Ready::Execution(*id, part), descriptor, flags);
            }
        }
        let timeout = self.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // A timer that ends early would make the loop spin.
            Timespec::try_from(left + Duration::from_micros(100))
        });
        let timeout = timeout.transpose().map_err(|_| "a time-out that no timer has")?;
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let is_ready = polled.iter().map(|descriptor| !descriptor.revents().is_empty());
        let found = ready.into_iter().zip(is_ready);
        // Those that are removed by their place come first, the highest of them at the front.
        let (mut discarded, mut found): (Vec<_>, Vec<_>) = found
            .filter_map(|(ready, is_ready)| is_ready.then_some(ready))
            .partition(|ready| matches!(ready, Ready::Discarded(_) | Ready::Spare(_)));
        discarded.reverse();
        discarded.append(&mut found);
        Ok(discarded)
    }

    /// When there is something to do that no descriptor reports.
    fn next_deadline(&self) -> Option<Instant> {
        let ends = self.executions.values().filter_map(Execution::deadline);
        let sweeps = self.kills.iter().map(|kill| kill.next);
        let is_expecting = self.has_strays || !self.gone.is_empty();
        let reap = is_expecting.then(|| Instant::now() + REAP_INTERVAL);
        let spare = self.spares.is_empty().then_some(self.spare_due);
        ends.chain(sweeps).chain(reap).chain(spare).chain(self.deadline).min()
    }

    fn discard(&mut self, index: usize) {
        let read = self.discarded[index].read(&mut self.buffer);
        let goes_on = match read {
            Ok(length) => length > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !goes_on {
            self.discarded.swap_remove(index);
        }
    }

    /// Goes on with an execution of which a descriptor is ready.
    fn advance(&mut self, id: ExecutionId, part: Part) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        match part {
            Part::Request => execution.send_request(),
            Part::Stdin => execution.write_stdin(&mut self.host),
            Part::Output(stream) => {
                execution.relay(stream, &mut self.buffer, &mut self.host);
            }
            Part::Shim => match execution.shim.receive() {
                Received::Nothing => {}
                Received::Gone => self.lost(id),
                Received::Report(Report::Started(pid), pipes) => {
                    if execution.started(pid, pipes, &mut self.host) {
                        for (signal, tree) in std::mem::take(&mut execution.pending) {
                            self.signal(id, signal, tree);
                        }
                    } else {
                        // The descriptors did not fit into this process.
                        self.kills.push(Kill::new(Roots::below(execution.shim.pid)));
                        self.fail(id, StartFailure::Supervisor, number(Errno::MFILE));
                    }
                }
                Received::Report(Report::Failed(failure, errno), _) => {
                    self.fail(id, failure, errno);
                }
                Received::Report(Report::Exited(exit), _) => {
                    execution.exited(exit);
                    execution.drain(&mut self.buffer, &mut self.host);
                }
                Received::Report(Report::Idle, _) => execution.is_shim_idle = true,
            },
        }
    }

    /// An execution does not start.
    pub(crate) fn fail(&mut self, id: ExecutionId, failure: StartFailure, errno: u32) {
        self.host.send(&SupervisorFrame::StartFailed { execution: id, failure, errno });
        let Some(execution) = self.executions.remove(&id) else { return };
        if !execution.is_shim_gone {
            self.left.insert(id, execution.shim);
        }
    }

    /// Reports the executions that have ended.
    fn end_executions(&mut self) {
        let now = Instant::now();
        let complete = |(id, execution): (&ExecutionId, &Execution)| {
            execution.complete(now).map(|exit| (*id, exit))
        };
        let ended: Vec<_> = self.executions.iter().filter_map(complete).collect();
        for (id, exit) in ended {
            self.host.send(&SupervisorFrame::Exited { execution: id, exit });
            if let Some(mut execution) = self.executions.remove(&id) {
                self.discarded.append(&mut execution.held_pipes());
                if execution.is_shim_idle {
                    self.recycle(execution.shim);
                } else if !execution.is_shim_gone {
                    self.left.insert(id, execution.shim);
                }
            }
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        self.kills.retain_mut(|kill| now < kill.next || !kill.sweep(&self.shims));
    }
}

/// The number of an error, as it is reported.
pub(crate) fn number(errno: Errno) -> u32 {
    errno.raw_os_error().cast_unsigned()
}
