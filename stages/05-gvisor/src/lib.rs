//! Stage 5: each program on a kernel of its own.
//!
//! gVisor's `runsc` is another runtime under the same Docker: a program's system calls go to a
//! kernel written in Go that runs as a process without rights, and only a few of that process's own
//! calls reach the kernel of the host. So this stage is the engine of stage 4 with one word changed,
//! and a proof that the word is in force.
//!
//! 1. [`RUNSC`]: what is different about the runtime;
//! 2. `proof`: what is seen of a sandbox from outside;
//! 3. [`GVisorEngine`]: which does not start without that proof, and has no other runtime to fall
//!    back to;
//! 4. `doctor`: what is missing on this machine.
//!
//! What this stage does not protect: sandboxes start slowly. Threads inside are gVisor's own
//! business, bounded by memory alone. The number of files in scratch space is bounded by memory too.

mod doctor;
mod engine;
mod proof;
mod runtime;
mod suite;

pub use doctor::diagnose;
pub use engine::GVisorEngine;
pub use runtime::{RUNSC, host_pids};
