//! A process group: how a program and the children that stayed in it are killed together.

use std::os::fd::OwnedFd;
use std::time::Duration;

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

    /// The processor time of the leader and of the children that it has waited for.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let pid = self.leader.as_raw_nonzero();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        cpu_time(&stat, rustix::param::clock_ticks_per_second())
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// utime, stime, cutime and cstime out of a line of `/proc/PID/stat`.
fn cpu_time(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    // The second field is the program's name in parentheses, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    let ticks = ticks.sum::<Result<u64, _>>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / ticks_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_confuse() {
        let stat = "7 (a) 1 1) Z 1 7 7 0 -1 4194304 9 0 0 0 10 20 30 40 20 0 1 0 5 0 0";
        assert_eq!(cpu_time(stat, 100), Some(Duration::from_secs(1)));
        assert_eq!(cpu_time("7 (a) Z 1", 100), None);
    }
}
