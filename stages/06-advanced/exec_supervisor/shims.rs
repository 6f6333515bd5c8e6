//! The shims: spare ones, those of executions, those that are left behind with what an execution has
//! left, and those that were killed.

use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, getpid, wait, waitpid};

use crate::protocol::frame::{ExecutionId, Exit, StartFailure};
use crate::report::{Report, exit_of};
use crate::shim_process::{Received, Shim};
use crate::supervisor::Supervisor;
use crate::tree::{Kill, Roots, is_child};

/// How long there may be no spare shim: an execution that ends by then gives its own back.
const SPARE_DELAY: Duration = Duration::from_millis(20);
/// Shims that wait for an execution.
const MAX_SPARES: usize = 4;

impl Supervisor {
    pub(crate) fn start_shim(&mut self) -> std::io::Result<Shim> {
        let shim = Shim::start()?;
        self.shims.insert(shim.pid);
        Ok(shim)
    }

    /// A shim for an execution.
    pub(crate) fn take_shim(&mut self) -> std::io::Result<Shim> {
        let shim = self.spares.pop().map_or_else(|| self.start_shim(), Ok);
        self.spare_due = Instant::now() + SPARE_DELAY;
        shim
    }

    /// A shim that has nothing below it any more. What was to be ended there has ended.
    pub(crate) fn recycle(&mut self, shim: Shim) {
        self.kills.retain(|kill| kill.roots.shim != Some(shim.pid));
        if self.spares.len() < MAX_SPARES {
            self.spares.push(shim);
        } else {
            self.shim_gone(shim.pid); // by the end of its socket
        }
    }

    pub(crate) fn spare_ended(&mut self, index: usize) {
        let spare = self.spares.swap_remove(index);
        self.shim_gone(spare.pid);
    }

    pub(crate) fn left_reports(&mut self, id: ExecutionId) {
        let Some(shim) = self.left.get(&id) else { return };
        let received = shim.receive();
        if matches!(received, Received::Nothing) {
            return;
        }
        let Some(shim) = self.left.remove(&id) else { return };
        if let Received::Report(Report::Idle, _) = received {
            self.recycle(shim);
        } else {
            self.has_strays = true;
            self.shim_gone(shim.pid);
        }
    }

    pub(crate) fn shim_gone(&mut self, pid: Pid) {
        if self.shims.contains(&pid) {
            self.gone.insert(pid);
        }
    }

    /// The shim of an execution has ended before its program did: a program that is root, or this
    /// process, has killed it.
    pub(crate) fn lost(&mut self, id: ExecutionId) {
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
    pub(crate) fn reap(&mut self) {
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
}
