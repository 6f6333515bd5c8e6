//! Stage 4: a container for each program, with no network, no privileges, and every limit set.
//!
//! Read in this order:
//!
//! 1. `spec`: the container's specification, attack by attack, with `seccomp` for the system calls;
//! 2. `profile` and `init.py`: what runs in the container; `payload`: how the program gets there;
//! 3. `launcher` and `run`: one evaluation, from the container's creation to the program's end, with
//!    `stdio`, `init_message` and `report` for its output, and `resource_sampler` for what it uses;
//!    `collect.py`, `artifact_stream` and `artifacts`: the files that it leaves, for a stage that stores
//!    them;
//! 4. `cgroup` and `outcome`: what the kernel counted, and what follows from it;
//! 5. `reaper`: how every container is removed, whatever happens; `users`: the user that each has;
//! 6. `kept`: a container that stays, for a later stage;
//! 7. `isolation_check` and `spec_check`: how the isolation is verified from outside, and [`DockerEngine`], which
//!    wires all of it.
//!
//! What this stage does not protect: the kernel is the host's, and shared. A program that exploits an
//! error in it, through one of the system calls that are allowed, is out. And this much is still
//! visible or shared, each with a line of Python that shows it:
//!
//! | what | how to see it |
//! |---|---|
//! | the host's kernel, its version and its builder | `open('/proc/version').read()` |
//! | Docker's paths on the host, the container's id | `open('/proc/self/mountinfo').read()` |
//! | a program's user is one of the host, without a name and without rights | `open('/proc/self/uid_map').read()` |
//! | memory of all sockets of the host: a channel to another program | `open('/proc/net/sockstat').read()` |
//! | processors: their model, their caches, a clock of 60 ns | `open('/proc/cpuinfo').read()` |
//! | machine code needs no executable file | `ctypes` with `mmap(-1, 4096, prot=7)` |
//!
//! And this differs from Python outside of a container: output is written at once
//! (`sys.stdout.write_through`), the user has no name (`pwd.getpwuid(os.getuid())`), limits of another
//! process cannot be read (`resource.prlimit`), and since `sysinfo` is refused,
//! `os.sysconf('SC_PHYS_PAGES')` is meaningless.

mod args;
mod artifact_stream;
mod artifacts;
mod cgroup;
mod daemon;
mod doctor;
mod engine;
mod error_chain;
mod init_message;
mod isolation_check;
mod kept;
mod launcher;
mod outcome;
mod payload;
mod pin;
mod profile;
mod reaper;
mod report;
mod resource_sampler;
mod run;
mod runtime;
mod seccomp;
mod self_test;
mod spec;
mod spec_check;
mod stdio;
mod users;

pub use args::DockerArgs;
pub use artifacts::{
    ArtifactError, COLLECT_TIMEOUT, Collected, LeftFiles, MAX_ARTIFACT_BYTES,
    MAX_ARTIFACT_PATH_BYTES, MAX_ARTIFACTS, OUTPUT_DIR, ReceivedArtifacts,
};
pub use cgroup::{
    Cgroup, CgroupCounters, CgroupError, CgroupHierarchy, CgroupLayout, CgroupLimits, CgroupMount,
    CgroupStats, Controller, KillOutcome,
};
pub use daemon::{Daemon, DaemonError};
pub use doctor::diagnose;
pub use engine::{DockerEngine, EngineError, PROBE_LIMITS};
pub use error_chain::{BoxError, error_chain};
pub use init_message::{InitMessage, Nonce};
pub use isolation_check::{ContainerSnapshot, IsolationCheck, IsolationError};
pub use kept::{KEPT_COUNTED_PROCESSES, KEPT_HOME, KeptContainer, KeptEnd, KeptError, KeptOrder};
pub use outcome::{ContainerExit, EngineFailure, RunObservation, Stop, decide};
pub use payload::write_payload;
pub use pin::{DEFAULT_IMAGE, IMAGE_PIN, PinError, read_pin};
pub use profile::{DELIVER_SOURCE, PythonEnvironment, SandboxProfile};
pub use resource_sampler::ResourceSampler;
pub use runtime::{RUNC, Runtime};
pub use self_test::{ATTACKS_ON_INIT, Expected, check_outcome, common_suite, run_once};
pub use spec::NOBODY;
pub use users::{DEFAULT_FIRST_USER, UserLease, Users};
