//! Stage 4: a container for each program, with no network, no rights, and every limit set.
//!
//! Read in this order:
//!
//! 1. `spec`: the container's specification, wall by wall, with `seccomp` for the system calls;
//! 2. `loader.py`: what runs inside, and how the program gets there (`delivery`);
//! 3. `run`: one evaluation, from creation to its end, with `report` and `stdio` for what comes out;
//! 4. `counters` and `outcome`: what the kernel counted, and what follows from it;
//! 5. `reaper` and `kill`: how everything is taken away again, whatever happens;
//! 6. `proof`: how the walls are seen from outside, and [`DockerEngine`], which puts it together.
//!
//! What this stage does not protect: the kernel is the host's, and shared. Whoever finds a fault in
//! it that can be reached through the calls which are left is out. And this much still shows or is
//! still shared, each with a line of Python that shows it:
//!
//! | what | how to see it |
//! |---|---|
//! | the host's kernel, its version and its builder | `open('/proc/version').read()` |
//! | paths of Docker's on the host, the container's id | `open('/proc/self/mountinfo').read()` |
//! | users have the host's numbers | `open('/proc/self/uid_map').read()` |
//! | memory of all sockets of the host: a way to talk to another program | `open('/proc/net/sockstat').read()` |
//! | processors: their model, their caches, a clock of 60 ns | `open('/proc/cpuinfo').read()` |
//! | pages of pipes and pending signals are counted per user, and all programs are one | `fcntl.fcntl(fd, 1031, 1 << 20)` on many pipes |
//! | machine code needs no file that can be run | `ctypes` with `mmap(-1, 4096, prot=7)` |
//! | init, which runs as the same user: who breaks in gains an exit code | `open('/proc/1/mem', 'r+b')` |
//!
//! And this is different from a Python outside: below a program's own frame there are two of the
//! loader's (`sys._getframe(1)`), output is written line by line, and since `sysinfo` is refused,
//! `os.sysconf('SC_PHYS_PAGES')` is nonsense.

mod args;
mod cgroup;
mod counters;
mod daemon;
mod delivery;
mod doctor;
mod engine;
mod kill;
mod outcome;
mod proof;
mod reaper;
mod report;
mod run;
mod seccomp;
mod spec;
mod stdio;
mod suite;
mod watch;

pub use args::{DEFAULT_IMAGE, DockerArgs, PIN};
pub use cgroup::{
    Cgroup, CgroupError, CgroupHierarchy, CgroupLimits, CgroupMount, Controller, KillOutcome,
};
pub use counters::{CgroupLayout, CgroupPaths, CgroupStats};
pub use daemon::{Daemon, DaemonError};
pub use delivery::write_payload;
pub use doctor::diagnose;
pub use engine::{DockerEngine, EngineError, PROBE_LIMITS, RUNC, Runtime};
pub use outcome::{ContainerExit, RunObservation, Stop, decide};
pub use proof::{ContainerSnapshot, IsolationCheck};
pub use report::{InitMessage, Nonce};
pub use spec::{INIT_SOURCE, USER};
pub use suite::{Expected, check_outcome, common_suite, run_once};
pub use watch::{ResourceSampler, SAMPLE_INTERVAL};
