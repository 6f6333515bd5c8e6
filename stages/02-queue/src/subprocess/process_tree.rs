//! All processes of one program, found and counted by samples of `/proc`.
//!
//! A process belongs to the program when it is in the leader's group, when its parent belongs to it, or
//! when the program's id is in its environment. So one that has left the group, and whose parents
//! have ended, is counted as well.
//!
//! What it does not protect: a process is found when it lives at a sample, every `SAMPLE_INTERVAL`. One
//! that clears its environment and loses its parents between two samples is overlooked; so is what a
//! process takes and returns between two of them. Files in memory that no process maps are not counted.
//! Control groups, two stages later, count without samples.

mod stat;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stat::Stat;
pub(super) use stat::read_of_memory;

/// How often a running program is looked at. A limit is passed by what happens in this time.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(25);
/// The environment variable with the id of the evaluation.
pub(super) const EVALUATION_ENV: &str = "CRUCIBLE_EVALUATION";
/// Adding up the memory of more processes takes longer than the interval: beyond this number only
/// the largest is compared with the limit.
const MAX_SUMMED: usize = 128;
/// A process may start another while it is being killed.
const MAX_KILL_ROUNDS: usize = 20;

/// The processes of one program.
pub(super) struct ProcessTree {
    leader: i32,
    /// When it started: no process of the program is older.
    started: u64,
    /// `CRUCIBLE_EVALUATION=` and the id of the evaluation.
    label: Vec<u8>,
    members: HashMap<i32, Stat>,
    /// Ids of processes that are not the program's. One that ends is removed at the next sample, so that
    /// another process with its id is looked at again.
    others: HashSet<i32>,
    /// Processor time, in ticks, of processes that ended without a parent in the tree to wait for them.
    lost: u64,
    page_size: u64,
}

/// What all processes of a program use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Processor time since the start, that of ended processes included.
    pub(super) cpu: Duration,
    /// Memory at this moment; an upper bound, which counts shared pages once for each process.
    pub(super) resident_bytes: u64,
}

impl ProcessTree {
    /// The processes of the evaluation `id`, whose first is `leader`.
    pub(super) fn of(leader: Pid, id: &str) -> Self {
        let leader = leader.as_raw_nonzero().get();
        Self {
            leader,
            started: Stat::read(leader).map_or(0, |stat| stat.started),
            label: format!("{EVALUATION_ENV}={id}").into_bytes(),
            members: HashMap::new(),
            others: HashSet::new(),
            lost: 0,
            page_size: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
        }
    }

    /// Looks for new processes, and counts all.
    pub(super) fn sample(&mut self) -> Sample {
        self.find();
        self.count()
    }

    /// Counts when the leader has ended. For a program that ended before the first sample, the time of
    /// its leader and of the children that it waited for is all there is.
    pub(super) fn last_sample(&mut self) -> Sample {
        if self.members.is_empty() {
            self.members.extend(Stat::read(self.leader).map(|stat| (self.leader, stat)));
            self.count()
        } else {
            self.sample()
        }
    }

    fn count(&mut self) -> Sample {
        let before = std::mem::take(&mut self.members);
        let (mut ended, mut waited_for) = (0, 0);
        for (pid, last) in before {
            match Stat::read(pid).filter(|now| now.started == last.started) {
                Some(now) => {
                    waited_for += now.children_ticks - last.children_ticks.min(now.children_ticks);
                    self.members.insert(pid, now);
                }
                None => ended += last.ticks(),
            }
        }
        // A parent that waits for a child adds the child's time to its own. What no parent has added
        // was waited for outside of the tree, or was never waited for.
        self.lost += ended.saturating_sub(waited_for);
        let ticks = self.members.values().map(Stat::ticks).sum::<u64>() + self.lost;
        let pages = self.members.values().map(|stat| stat.resident_pages);
        Sample {
            cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
            resident_bytes: pages.sum::<u64>() * self.page_size,
        }
    }

    /// The memory of all processes, with each shared page divided among those that have it. For many
    /// processes, that of the largest.
    pub(super) fn memory_bytes(&self) -> u64 {
        if self.members.len() > MAX_SUMMED {
            let pages = self.members.values().map(|stat| stat.resident_pages);
            return pages.max().unwrap_or_default() * self.page_size;
        }
        // When one of several processes ends, the others' parts of what they shared grow, so that in one pass the same
        // page can be in several parts. One that lives at the second pass shared with all others that do during the
        // whole first one: the parts that they had in it do not add up to more than there is.
        let members = self.members.keys();
        let first: Vec<_> = members.map(|pid| (*pid, self.memory_of(*pid))).collect();
        first.into_iter().map(|(pid, bytes)| bytes.min(self.memory_of(pid))).sum()
    }

    /// The part of a process; 0 when it has ended since the sample.
    fn memory_of(&self, pid: i32) -> u64 {
        let is_member =
            |now: &Stat| self.members.get(&pid).is_some_and(|member| member.started == now.started);
        stat::proportional_bytes(pid).unwrap_or_else(|| {
            // The file of another user's process is unreadable, and that of one which is ending: only the first has memory.
            let now = Stat::read(pid).filter(is_member);
            now.map_or(0, |now| now.resident_pages * self.page_size)
        })
    }

    /// Kills every process, also those that have left the group.
    pub(super) fn kill(&mut self) {
        for _ in 0..MAX_KILL_ROUNDS {
            self.sample();
            let mut alive = self.members.iter().filter(|(_, stat)| !stat.is_zombie).peekable();
            if alive.peek().is_none() {
                return;
            }
            for (pid, stat) in alive {
                kill(*pid, stat.started);
            }
        }
    }

    fn find(&mut self) {
        let listed: HashSet<i32> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        self.others.retain(|pid| listed.contains(pid));
        let known = |pid: &i32| self.members.contains_key(pid) || self.others.contains(pid);
        let new: Vec<i32> = listed.into_iter().filter(|pid| !known(pid)).collect();
        let mut new: Vec<(i32, Stat)> =
            new.into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?))).collect();
        // In the order of their start, so that a parent comes before its children.
        new.sort_by_key(|(pid, stat)| (stat.started, *pid));
        for (pid, stat) in new {
            if self.is_member(pid, &stat) {
                // What it has used is counted from the next reading on.
                self.members.insert(pid, stat);
            } else {
                self.others.insert(pid);
            }
        }
    }

    fn is_member(&self, pid: i32, stat: &Stat) -> bool {
        if pid == self.leader {
            return true;
        }
        let is_younger = stat.started >= self.started;
        let is_related = || stat.group == self.leader || self.members.contains_key(&stat.parent);
        is_younger && (is_related() || self.is_labelled(pid))
    }

    fn is_labelled(&self, pid: i32) -> bool {
        let environment = read_of_memory(pid, "environ").unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == self.label)
    }
}

/// Kills the process `pid`, unless another one has its id by now.
fn kill(pid: i32, started: u64) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    // The descriptor is of one process. It is the right one if the id still was when it was open.
    if let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty())
        && Stat::read(pid.as_raw_nonzero().get()).is_some_and(|stat| stat.started == started)
    {
        pidfd_send_signal(descriptor, Signal::KILL).ok(); // an error means that it has just ended
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};
    use std::time::Instant;

    use super::*;

    fn python(code: &str) -> (Child, ProcessTree) {
        let id = uuid::Uuid::now_v7().to_string();
        let mut command = Command::new("python3");
        command.args(["-I", "-c", code]).process_group(0).env(EVALUATION_ENV, &id);
        let child = command.spawn().unwrap();
        let tree = ProcessTree::of(Pid::from_child(&child), &id);
        (child, tree)
    }

    /// Samples until `condition` holds.
    fn until(tree: &mut ProcessTree, condition: impl Fn(&Sample, &ProcessTree) -> bool) -> Sample {
        let started = Instant::now();
        loop {
            let sample = tree.sample();
            if condition(&sample, tree) {
                return sample;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{sample:?}");
            std::thread::sleep(SAMPLE_INTERVAL);
        }
    }

    const BURN: &str = "import os, time\n\
        def burn(seconds):\n    \
            end = time.process_time() + seconds\n    \
            while time.process_time() < end: pass\n";

    #[test]
    fn ended_children_are_counted_once() {
        let code = format!(
            "{BURN}for _ in range(4):\n    if os.fork() == 0: burn(.2); os._exit(0)\n    os.wait()\n"
        );
        let (mut child, mut tree) = python(&format!("{code}time.sleep(60)"));
        until(&mut tree, |sample, _| sample.cpu >= Duration::from_millis(750));
        // Nothing more is used, and nothing is counted twice.
        let sample = until(&mut tree, |_, tree| tree.members.len() == 1);
        assert!(sample.cpu < Duration::from_millis(1300), "{sample:?}");
        tree.kill();
        child.wait().unwrap();
    }

    #[test]
    fn children_that_are_not_waited_for_are_counted() {
        let code = format!(
            "{BURN}import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
             for _ in range(3):\n    if os.fork() == 0: burn(.3); os._exit(0)\ntime.sleep(60)"
        );
        let (mut child, mut tree) = python(&code);
        until(&mut tree, |sample, tree| {
            sample.cpu >= Duration::from_millis(700) && tree.members.len() == 1
        });
        tree.kill();
        child.wait().unwrap();
    }

    #[test]
    fn a_daemon_is_found_and_killed() {
        let code = "import os, time\n\
                    if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    \
                    time.sleep(60)\nos.wait(); time.sleep(60)";
        let (mut child, mut tree) = python(code);
        let leader = tree.leader;
        let left = |tree: &ProcessTree| {
            tree.members.iter().find(|(_, stat)| stat.group != leader).map(|(pid, _)| *pid)
        };
        until(&mut tree, |_, tree| left(tree).is_some() && tree.members.len() == 2);
        let daemon = left(&tree).unwrap();
        tree.kill();
        child.wait().unwrap();
        let started = Instant::now();
        while Stat::read(daemon).is_some_and(|stat| !stat.is_zombie) {
            assert!(started.elapsed() < Duration::from_mins(1), "the daemon lives on");
            std::thread::sleep(SAMPLE_INTERVAL);
        }
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_is_counted_and_killed() {
        let code = "import ctypes, threading, time\n\
                    def work():\n    x = bytearray(b'x') * (64 << 20); time.sleep(60)\n\
                    threading.Thread(target=work).start()\n\
                    ctypes.CDLL(None).pthread_exit(None)";
        let (mut child, mut tree) = python(code);
        let state = format!("/proc/{}/stat", tree.leader);
        until(&mut tree, |sample, _| {
            let has_ended = std::fs::read_to_string(&state).unwrap().contains(") Z ");
            has_ended && sample.resident_bytes > 64 << 20
        });
        assert!(tree.memory_bytes() > 64 << 20, "{}", tree.memory_bytes());
        assert!(tree.is_labelled(tree.leader));
        tree.kill();
        child.wait().unwrap();
    }

    #[test]
    fn shared_memory_is_counted_once() {
        let code = "import os, time\nx = bytearray(b'x') * (64 << 20)\n\
                    for _ in range(3):\n    if os.fork() == 0: break\nsum(x[::4096]); time.sleep(60)";
        let (mut child, mut tree) = python(code);
        until(&mut tree, |sample, tree| {
            tree.members.len() == 4 && sample.resident_bytes > 250 << 20
        });
        let memory = tree.memory_bytes();
        assert!((64 << 20..150 << 20).contains(&memory), "{memory}");
        // Processes that end after the sample have no memory, whatever the sample had.
        let children: Vec<_> = tree.members.keys().filter(|pid| **pid != tree.leader).collect();
        let signal =
            |pid: &i32| rustix::process::kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
        for pid in &children {
            signal(pid).unwrap();
        }
        while children.iter().any(|pid| Stat::read(**pid).is_some_and(|stat| !stat.is_zombie)) {
            std::thread::sleep(SAMPLE_INTERVAL);
        }
        assert!(tree.memory_bytes() < 100 << 20, "{}", tree.memory_bytes());
        tree.kill();
        child.wait().unwrap();
    }
}
