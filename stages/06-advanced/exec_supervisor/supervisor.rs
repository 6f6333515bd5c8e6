//! The event loop: one thread waits for the host, for every shim and for every pipe.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, wait, waitpid};

use crate::Error;
use crate::execution::{Execution, Part};
use crate::host::Host;
use crate::protocol::frame::{ExecutionId, Exit, StartFailure, SupervisorFrame};
use crate::protocol::{MAX_PAYLOAD_BYTES, VERSION};
use crate::report::{Report, exit_of};
use crate::shim_process::{Received, Shim};
use crate::tree::{Kill, Roots, is_child};

/// Between two looks for processes that have ended, while some are expected that no descriptor
/// reports.
const REAP_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Supervisor {
    pub(crate) host: Host,
    /// Encoded, for the shims.
    pub(crate) defaults: Option<Vec<u8>>,
    /// The command that is arriving.
    pub(crate) spec: Option<(ExecutionId, Vec<u8>)>,
    /// Of the execution that was requested last.
    pub(crate) last: Option<ExecutionId>,
    pub(crate) executions: BTreeMap<ExecutionId, Execution>,
    /// A shim that has no execution yet.
    pub(crate) spare: Option<Shim>,
    /// The shims of executions that have ended, and left processes.
    pub(crate) left: BTreeMap<ExecutionId, Shim>,
    /// Pipes of executions that have ended, which those processes hold: what they write is read, so
    /// that they do not end by it.
    discarded: Vec<File>,
    pub(crate) kills: Vec<Kill>,
    /// Shims that were not waited for yet.
    pub(crate) shims: HashSet<Pid>,
    /// Shims of these that have ended.
    gone: HashSet<Pid>,
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
    Spare,
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
        spare: None,
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
        if self.spare.is_none() && self.executions.values().all(|one| one.pid.is_some()) {
            self.spare = self.start_shim().ok(); // the next execution tries again
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
                Ready::Spare => self.spare_ended(),
                Ready::Left(id) => self.left_ended(id),
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
        if let Some(spare) = &self.spare {
            add(Ready::Spare, spare.socket.as_fd(), PollFlags::IN);
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
        // Those that are removed by their place come last, the highest first.
        let (mut discarded, mut found): (Vec<_>, Vec<_>) = found
            .filter_map(|(ready, is_ready)| is_ready.then_some(ready))
            .partition(|ready| matches!(ready, Ready::Discarded(_)));
        discarded.reverse();
        found.append(&mut discarded);
        Ok(found)
    }

    /// When there is something to do that no descriptor reports.
    fn next_deadline(&self) -> Option<Instant> {
        let ends = self.executions.values().filter_map(Execution::deadline);
        let sweeps = self.kills.iter().map(|kill| kill.next);
        let is_expecting = self.has_strays || !self.gone.is_empty();
        let reap = is_expecting.then(|| Instant::now() + REAP_INTERVAL);
        ends.chain(sweeps).chain(reap).chain(self.deadline).min()
    }

    pub(crate) fn start_shim(&mut self) -> std::io::Result<Shim> {
        let shim = Shim::start()?;
        self.shims.insert(shim.pid);
        Ok(shim)
    }

    fn spare_ended(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.shim_gone(spare.pid);
        }
    }

    fn left_ended(&mut self, id: ExecutionId) {
        if let Some(shim) = self.left.remove(&id) {
            self.shim_gone(shim.pid);
        }
    }

    fn shim_gone(&mut self, pid: Pid) {
        if self.shims.contains(&pid) {
            self.gone.insert(pid);
        }
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
            Part::Output(stream) => execution.relay(stream, &mut self.buffer, &mut self.host),
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
                Received::Report(Report::Exited(exit), _) => execution.exited(exit),
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

    /// The shim of an execution has ended before its program did: a program that is root, or this
    /// process, has killed it.
    fn lost(&mut self, id: ExecutionId) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.is_shim_gone = true;
        let (pid, is_killed, has_ended) =
            (execution.shim.pid, execution.is_killed, execution.has_ended());
        self.shim_gone(pid);
        if has_ended {
            return;
        }
        self.has_strays = true;
        let program = self.executions.get(&id).and_then(|execution| execution.pid);
        if program.is_none() {
            let failure = if is_killed { StartFailure::Killed } else { StartFailure::Supervisor };
            self.fail(id, failure, 0);
        }
        // What is reported as not started does not run either.
        if is_killed || program.is_none() {
            let program = program.filter(|pid| is_child(*pid, getpid()));
            self.kills.push(Kill::new(Roots { shim: None, program, has_strays: true }));
        }
    }

    /// Waits for the processes that have ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.shims.remove(&pid);
            self.gone.remove(&pid);
            let own = self.executions.values_mut().find(|execution| execution.pid == Some(pid));
            if let Some(execution) = own {
                execution.exited(exit_of(status));
            }
        }
        // When a shim was killed and waited for, its program is a child of this process, or was
        // waited for by the shim, which then did not report it.
        for execution in self.executions.values_mut() {
            let Some(pid) = execution.pid else { continue };
            let is_adopted = execution.is_shim_gone
                && !execution.has_ended()
                && !self.shims.contains(&execution.shim.pid);
            if is_adopted {
                match waitpid(Some(pid), WaitOptions::NOHANG) {
                    Ok(Some((_, status))) => execution.exited(exit_of(status)),
                    Ok(None) => {}
                    Err(_) => execution.exited(Exit::Signal(9)),
                }
            }
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
                if !execution.is_shim_gone {
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
