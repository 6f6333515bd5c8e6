//! Identifies the server process that created a process, a directory or a container, so that a later
//! server finds what a killed one left behind.
//!
//! A process id alone is reused; with the start time and the boot it is not. Absence of evidence is no
//! evidence: an instance is gone only when that is proven. A process in another pid namespace, or one
//! whose `/proc` entry is hidden from this user, cannot be seen from here, so that its resources are
//! left alone.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// One server process of this machine, distinct from every later one. Its text form can stand in an
/// environment variable, in the name of a directory and in a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId {
    boot: String,
    namespace: String,
    pid: u32,
    /// In clock ticks since the boot.
    started: u64,
}

impl InstanceId {
    /// The current process.
    pub fn this_process() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pid = std::process::id();
        let started = start_time(pid).unwrap_or(0);
        Self { boot: boot.trim().to_owned(), namespace: namespace(), pid, started }
    }

    /// The instance with this text form, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let instance = Self {
            boot: parts.next()?.to_owned(),
            namespace: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(instance)
    }

    /// Whether the process is proven to have ended, as seen from `us`.
    pub fn is_gone(&self, us: &Self) -> bool {
        if self.boot.is_empty() || us.boot.is_empty() {
            return false; // one of the two could not read its boot
        }
        if self.boot != us.boot {
            return true; // nothing survives a boot
        }
        let is_visible = !us.namespace.is_empty() && self.namespace == us.namespace;
        is_visible
            && match start_time(self.pid) {
                Some(started) => ![started, 0].contains(&self.started), // the id is another process now
                None => is_unused(self.pid),
            }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.boot, self.namespace, self.pid, self.started)
    }
}

/// The number of the pid namespace of this process.
fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// Whether the kernel has no process with this id, which it tells every user.
fn is_unused(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// When a process started, in clock ticks since the boot; None when that cannot be read.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_gone_when_its_process_or_its_boot_is() {
        let us = InstanceId::this_process();
        assert_eq!(InstanceId::parse(&us.to_string()), Some(us.clone()));
        assert!(!us.is_gone(&us));
        let reused = InstanceId { started: us.started + 1, ..us.clone() };
        assert!(reused.is_gone(&us));
        assert!(InstanceId { boot: "other".into(), ..us.clone() }.is_gone(&us));
        let unreadable = InstanceId { boot: String::new(), ..us.clone() };
        assert!(!us.is_gone(&unreadable) && !unreadable.is_gone(&us), "the boot is unknown");
        let unseen = InstanceId { namespace: "1".into(), ..reused };
        assert!(!unseen.is_gone(&us), "it cannot be seen from here");
        assert_eq!(InstanceId::parse("a.b.c"), None);
    }
}
