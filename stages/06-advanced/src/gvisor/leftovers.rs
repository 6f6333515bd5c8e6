//! Removes what engines of killed servers have left behind: processes, cgroups, directories.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stage_02_queue::InstanceId;
use stage_04_docker::{Cgroup, CgroupHierarchy, KillOutcome};

use super::instance_dir::{CGROUP_PARENT, DIR_PREFIX, remove_engine_cgroup};
use super::root_mount::unmount_below;

/// How long the removal of one sandbox may take.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Removes the leftovers of every instance that is gone. `parent` has the instances' directories.
/// Blocks.
pub(super) fn remove_leftovers(parent: &Path, hierarchy: &CgroupHierarchy, this: &InstanceId) {
    let is_gone = |name: &str| InstanceId::parse(name).is_some_and(|other| other.is_gone(this));
    let (mut directories, mut sandboxes) = (0, 0);
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().and_then(|name| name.strip_prefix(DIR_PREFIX)).is_some_and(is_gone) {
            continue;
        }
        kill_runsc_processes(&entry.path());
        directories += 1;
        let path = entry.path();
        if let Err(error) = unmount_below(&path).and_then(|()| std::fs::remove_dir_all(&path)) {
            tracing::warn!(dir = %entry.path().display(), %error, "cannot be removed");
        }
    }
    for engine in hierarchy.cgroup(CGROUP_PARENT).children() {
        if !engine.rsplit_once('.').is_some_and(|(instance, _)| is_gone(instance)) {
            continue;
        }
        let name = format!("{CGROUP_PARENT}/{engine}");
        for id in hierarchy.cgroup(&name).children() {
            remove_sandbox(&hierarchy.cgroup(&format!("{name}/{id}")));
            sandboxes += 1;
        }
        remove_engine_cgroup(hierarchy, &name);
    }
    if directories + sandboxes > 0 {
        tracing::info!(directories, sandboxes, "removed what killed servers had left behind");
    }
}

fn remove_sandbox(cgroup: &Cgroup) {
    let started = Instant::now();
    while cgroup.kill() != KillOutcome::Empty || cgroup.remove().is_err() {
        if started.elapsed() > REMOVE_TIMEOUT {
            tracing::warn!(path = cgroup.path(), "a sandbox of a killed server does not end");
            return;
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
}

/// Kills every runsc whose state is below `dir`: the command line names it.
fn kill_runsc_processes(dir: &Path) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let Some(pid) = pid.filter(|_| has_state_below(&entry.path(), dir)) else { continue };
        // A process id may be reused: the descriptor is opened first, and then the process is
        // looked at once more.
        if let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty())
            && has_state_below(&entry.path(), dir)
        {
            // An error means that it has ended by itself.
            pidfd_send_signal(descriptor, Signal::KILL).ok();
        }
    }
}

/// Whether the command line of a process in `/proc` has a `--root` below `dir`.
fn has_state_below(process: &Path, dir: &Path) -> bool {
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let mut roots = line.split(|byte| *byte == 0).filter_map(|word| word.strip_prefix(b"--root="));
    roots.any(|root| {
        let root = std::str::from_utf8(root).map(PathBuf::from);
        root.is_ok_and(|root| root.starts_with(dir))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_processes_with_their_state_in_the_directory_are_killed() {
        let start = |root: &str| {
            // A shell that waits for its input keeps its command line.
            let mut shell = Command::new("sh");
            shell.args(["-c", "read line; true", root]).stdin(Stdio::piped()).spawn().unwrap()
        };
        let dir = std::env::temp_dir().join(format!("leftovers-{}", std::process::id()));
        let below = format!("--root={}/engine/state", dir.display());
        let mut children = [start(&below), start(&format!("--root={}0/state", dir.display()))];
        // Between fork and exec a child has this test's command line.
        std::thread::sleep(Duration::from_millis(200));
        kill_runsc_processes(&dir);
        assert!(!children[0].wait().unwrap().success());
        assert!(children[1].try_wait().unwrap().is_none(), "another directory's was killed");
        children[1].kill().unwrap();
        children[1].wait().unwrap();
    }
}
