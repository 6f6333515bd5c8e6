//! Whose a process, a folder or a container is: the server that made it, so that the next server
//! knows what is left over.
//!
//! A process number alone is used again; with the start time and the boot it is not. Processes of
//! another process namespace cannot be seen from here, so that what is theirs is left alone.

use std::fmt;

/// A process of this machine, never to be confused with a later one. It is written as one word that
/// can stand in an environment, in a folder's name and on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId {
    boot: String,
    namespace: String,
    pid: u32,
    /// In clock ticks since the boot.
    started: u64,
}

impl InstanceId {
    /// The process that we are.
    pub fn this_process() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pid = std::process::id();
        let started = start_time(pid).unwrap_or(0);
        Self { boot: boot.trim().to_owned(), namespace: namespace(), pid, started }
    }

    /// The owner that is written as `text`, if one is.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let owner = Self {
            boot: parts.next()?.to_owned(),
            namespace: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(owner)
    }

    /// Whether the owner is known to be gone, seen from `us`.
    pub fn is_gone(&self, us: &Self) -> bool {
        if self.boot != us.boot {
            return true; // nothing survives a boot
        }
        self.namespace == us.namespace && start_time(self.pid) != Some(self.started)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.boot, self.namespace, self.pid, self.started)
    }
}

/// The number of the process namespace we are in.
fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// When a process started; None when there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_gone_when_its_process_or_its_boot_is() {
        let us = InstanceId::this_process();
        assert_eq!(InstanceId::parse(&us.to_string()), Some(us.clone()));
        assert!(!us.is_gone(&us));
        let reused = InstanceId { started: us.started + 1, ..us.clone() };
        assert!(reused.is_gone(&us));
        assert!(InstanceId { boot: "other".into(), ..us.clone() }.is_gone(&us));
        let unseen = InstanceId { namespace: "1".into(), ..reused };
        assert!(!unseen.is_gone(&us), "not ours to judge");
        assert_eq!(InstanceId::parse("a.b.c"), None);
    }
}
