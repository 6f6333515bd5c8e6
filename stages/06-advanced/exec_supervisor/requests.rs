//! What the host wants: its frames, each of which is legal in one state.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::Error;
use crate::execution::Execution;
use crate::protocol::frame::{ExecutionId, HostFrame, StartFailure};
use crate::protocol::{MAX_COMMAND_BYTES, MAX_EXECUTIONS};
use crate::supervisor::{Supervisor, number};
use crate::tree::{Kill, Roots, is_child, signal_all};

/// Signals that wait for the start of a program; more are dropped.
const MAX_PENDING_SIGNALS: usize = 64;

impl Supervisor {
    /// Does what a frame says. One that is not legal now ends the sandbox: the host has lost track.
    pub(crate) fn receive(&mut self, frame: HostFrame) -> Result<(), Error> {
        let is_legal = match frame {
            HostFrame::Configure { bytes } => self.defaults.replace(bytes).is_none(),
            HostFrame::Lifetime { seconds } => {
                self.deadline = Some(Instant::now() + Duration::from_secs(seconds.into()));
                true
            }
            HostFrame::Spec { execution, bytes } => self.spec(execution, bytes),
            HostFrame::Start { execution } => self.start(execution),
            HostFrame::Stdin { execution, bytes } => {
                self.with(execution, |one, host| one.stdin(&bytes, host))
            }
            HostFrame::StdinEof { execution } => self.with(execution, Execution::stdin_eof),
            HostFrame::Window { execution, stream, bytes } => {
                self.with(execution, |one, _| one.open_window(stream, bytes))
            }
            HostFrame::Signal { execution, signal, tree } => {
                self.signal(execution, signal, tree);
                true
            }
            HostFrame::Kill { execution } => {
                self.kill(execution);
                true
            }
        };
        if is_legal { Ok(()) } else { Err("the host sent a frame that is not legal now".into()) }
    }

    /// Goes on with an execution. One that has ended is legal: the frame was under way.
    fn with(
        &mut self,
        id: ExecutionId,
        change: impl FnOnce(&mut Execution, &mut crate::host::Host) -> bool,
    ) -> bool {
        match self.executions.get_mut(&id) {
            Some(execution) => change(execution, &mut self.host),
            None => self.last.is_some_and(|last| id <= last),
        }
    }

    /// A part of a command. The parts of one come without those of another between them.
    fn spec(&mut self, id: ExecutionId, bytes: Vec<u8>) -> bool {
        if self.last.is_some_and(|last| id <= last) {
            return false;
        }
        match &mut self.spec {
            Some((other, spec)) if *other == id => spec.extend(bytes),
            Some(_) => return false,
            None => self.spec = Some((id, bytes)),
        }
        self.spec.as_ref().is_some_and(|(_, spec)| spec.len() <= MAX_COMMAND_BYTES)
    }

    /// Has a shim start an execution.
    fn start(&mut self, id: ExecutionId) -> bool {
        let spec = self.spec.take().filter(|(of, _)| *of == id);
        let (Some((_, spec)), Some(defaults)) = (spec, &self.defaults) else { return false };
        let mut request = Vec::with_capacity(defaults.len() + spec.len() + 8);
        for part in [defaults, &spec] {
            request.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            request.extend_from_slice(part);
        }
        self.last = Some(id);
        if self.executions.len() >= MAX_EXECUTIONS {
            self.fail(id, StartFailure::Supervisor, number(Errno::AGAIN));
            return true;
        }
        match self.take_shim() {
            Ok(shim) => {
                let mut execution = Execution::new(id, shim, request);
                execution.send_request();
                self.executions.insert(id, execution);
            }
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::AGAIN);
                self.fail(id, StartFailure::Supervisor, number(errno));
            }
        }
        true
    }

    pub(crate) fn signal(&mut self, id: ExecutionId, number: u8, tree: bool) {
        let Some(signal) = Signal::from_named_raw(number.into()) else { return };
        let executions = &mut self.executions;
        let Some(execution) = executions.get_mut(&id).filter(|one| !one.has_ended()) else {
            return;
        };
        let Some(pid) = execution.pid else {
            if execution.pending.len() < MAX_PENDING_SIGNALS {
                execution.pending.push((number, tree));
            }
            return;
        };
        let Some(execution) = self.executions.get(&id) else { return };
        if tree {
            signal_all(&roots(execution), &self.shims, signal);
        } else {
            let parent = if execution.is_shim_gone { getpid() } else { execution.shim.pid };
            if is_child(pid, parent) {
                kill_process(pid, signal).ok(); // it may have ended
            }
        }
    }

    /// Ends the tree of an execution, or what is left of it when it has ended.
    fn kill(&mut self, id: ExecutionId) {
        if let Some(shim) = self.left.get(&id) {
            self.kills.push(Kill::new(Roots::below(shim.pid)));
        }
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.is_killed = true;
        if execution.pid.is_none() && !execution.is_shim_gone {
            // Its program may start right now, as a child of this process once the shim is gone.
            kill_process(execution.shim.pid, Signal::KILL).ok();
            return;
        }
        let Some(execution) = self.executions.get(&id) else { return };
        let roots = roots(execution);
        self.kills.push(Kill::new(roots));
    }
}

/// Where the tree of an execution begins.
fn roots(execution: &Execution) -> Roots {
    if execution.is_shim_gone {
        let program = execution.pid.filter(|pid| is_child(*pid, getpid()));
        return Roots { shim: None, program, has_strays: true };
    }
    Roots::below(execution.shim.pid)
}
