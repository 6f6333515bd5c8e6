//! Orphans: processes and directories that a killed server process leaves behind.
//!
//! Every process has the [`InstanceId`] of its server in its environment, and every directory in its
//! name. At its start an engine removes those of instances that are gone. Two stages that run at the
//! same time do not touch each other's, and neither do two that cannot see each other's processes.
//!
//! What it does not protect: a program can clear its environment and be overlooked.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::process_tree::read_of_memory;
use crate::InstanceId;

/// The environment variable with the instance.
pub(super) const INSTANCE_ENV: &str = "CRUCIBLE_INSTANCE";
const DIRECTORY_PREFIX: &str = "crucible-subprocess-";

/// The directory for the programs of an instance.
pub(super) fn scratch(instance: &InstanceId, parent: &Path) -> PathBuf {
    parent.join(format!("{DIRECTORY_PREFIX}{instance}"))
}

/// Removes the processes and directories of instances that are gone.
pub(super) fn reap(parent: &Path) {
    let us = InstanceId::this_process();
    kill_labelled(|instance| instance.is_gone(&us));
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let suffix = name.to_str().and_then(|name| name.strip_prefix(DIRECTORY_PREFIX));
        if suffix.and_then(InstanceId::parse).is_some_and(|instance| instance.is_gone(&us)) {
            // It fails for a directory of another user, which that user's stage removes.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Kills every process whose environment has an instance that `which` selects.
pub(super) fn kill_labelled(which: impl Fn(&InstanceId) -> bool) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The environment of another user's process is unreadable: it is left alone.
        let environment = read_of_memory(pid, "environ").unwrap_or_default();
        if instance_in(&environment).is_some_and(|instance| which(&instance))
            && let Some(pid) = Pid::from_raw(pid)
        {
            kill_process(pid, Signal::KILL).ok(); // an error means that it has just ended
        }
    }
}

fn instance_in(environment: &[u8]) -> Option<InstanceId> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let variable = std::str::from_utf8(variable).ok()?;
        InstanceId::parse(variable.strip_prefix(INSTANCE_ENV)?.strip_prefix('=')?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_found_in_an_environment() {
        let own = InstanceId::this_process();
        let environment = format!("PATH=/bin\0{INSTANCE_ENV}={own}\0HOME=/");
        assert_eq!(instance_in(environment.as_bytes()), Some(own));
        assert_eq!(instance_in(b"CRUCIBLE_INSTANCE=x\0CRUCIBLE_INSTANCES=1-2"), None);
    }

    #[test]
    fn directories_of_gone_instances_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let own = InstanceId::this_process();
        // The same number with another start time: it was used again.
        let name = own.to_string();
        let reused = format!("{}.1", name.rsplit_once('.').unwrap().0);
        let dead = scratch(&InstanceId::parse(&reused).unwrap(), parent.path());
        let alive = scratch(&own, parent.path());
        let other = parent.path().join("crucible-subprocess-notes");
        for path in [&dead, &alive, &other] {
            std::fs::create_dir(path).unwrap();
        }
        reap(parent.path());
        assert_eq!([&dead, &alive, &other].map(|path| path.exists()), [false, true, true]);
    }
}
