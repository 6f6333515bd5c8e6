//! Stage 4: a container for each program, with no network, no rights, and every limit set.
//!
//! Read in this order:
//!
//! 1. `spec`: the container's specification, wall by wall, with `seccomp` for the system calls;
//! 2. `loader.py`: what runs inside, and how the program gets there (`delivery`);
//! 3. `run`: one evaluation, from creation to its end, with `report` and `stdio` for what comes out;
//! 4. `counters` and `outcome`: what the kernel counted, and what follows from it;
//! 5. `reaper`: how everything is taken away again, whatever happens;
//! 6. `proof`: how the walls are seen from outside, and [`DockerEngine`], which puts it together.
//!
//! What this stage does not protect: the kernel is the host's, and shared. Whoever finds a fault in
//! it that can be reached through the calls which are left is out.

mod args;
mod counters;
mod daemon;
mod delivery;
mod doctor;
mod engine;
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
pub use counters::{Counters, Layout, Reading};
pub use daemon::{Daemon, DaemonError};
pub use delivery::send;
pub use doctor::diagnose;
pub use engine::{DockerEngine, EngineError, PROBE, RUNC, Runtime};
pub use outcome::{Facts, Remains, Stop, decide};
pub use proof::{Proof, Witness};
pub use report::{Report, Secret};
pub use spec::{LOADER_FUNCTIONS, USER};
pub use suite::{Ends, common_suite, promise, try_out};
pub use watch::{SAMPLING, Watch};
