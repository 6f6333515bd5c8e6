//! A process group: how a program and the children that stayed in it are killed together.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

/// The group of one program. It is killed when dropped, so that a dropped evaluation leaves nothing.
pub(super) struct ProcessGroup {
    leader: Pid,
    /// A pidfd: readable once the leader has ended, although it has not been waited for yet.
    ended: AsyncFd<OwnedFd>,
}

impl ProcessGroup {
    /// The group that `child` leads.
    pub(super) fn of(child: &Child) -> std::io::Result<Self> {
        let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let leader = number.ok_or_else(|| std::io::Error::other("it has ended already"))?;
        // The unsoundness is with types that change their descriptor; an `OwnedFd` never does, and
        // the new constructor is unsafe code, which this workspace forbids.
        #[expect(deprecated, reason = "the only constructor that is not unsafe")]
        let ended = AsyncFd::new(pidfd_open(leader, PidfdFlags::NONBLOCK)?)?;
        Ok(Self { leader, ended })
    }

    /// The process id of the leader.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Returns when the leader has ended, and leaves it a zombie: its number is not reused.
    pub(super) async fn leader_ended(&self) {
        // With an error the descriptor is of no use; the deadline of the program still applies.
        if self.ended.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Kills every process that is still in the group.
    pub(super) fn kill(&self) {
        kill_process_group(self.leader, Signal::KILL).ok(); // an error means that none is left
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
