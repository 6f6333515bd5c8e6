//! Stage 5: each program on a kernel of its own.
//!
//! gVisor's `runsc` is another runtime under the same Docker: a program's system calls go to a
//! kernel written in Go, which runs as a process without privileges, and only a few system calls of
//! that process reach the host's kernel. So this stage is the engine of stage 4 with one word
//! changed, and a check that the word has its effect.
//!
//! 1. [`RUNSC`]: what differs under this runtime;
//! 2. `isolation_check`: what is verified about a sandbox from outside, with `runsc_command`;
//! 3. [`GVisorEngine`]: does not start without that check, and has no other runtime to fall back to;
//! 4. `doctor`: what is missing on this machine.
//!
//! What this stage does not protect: sandboxes start slowly, and this much differs from what a limit
//! or a setting suggests, each with a line of Python that shows it:
//!
//! | what | how to see it |
//! |---|---|
//! | threads exist inside of gVisor alone: memory bounds them, the limit on processes does not | 400 times `threading.Thread(target=time.sleep, args=(9,)).start()` |
//! | memory alone bounds the number of files in scratch space | `for n in range(50_000): open(f'/tmp/{n}', 'w')` |
//! | 24 MB of gVisor's own kernel, and 8 MB for each process, are in the peak of memory | `usage.memory_peak_bytes` of `pass` |
//! | writing costs more: each `print` is two system calls of 20 µs | 100,000 times `print` |
//! | Docker's seccomp profile has no effect: other system calls work, in gVisor's kernel | `ctypes.CDLL(None).unshare(0x10000000)` |
//! | a program can recognise gVisor | `platform.release()`, and a clock of 50 µs |

mod args;
mod doctor;
mod engine;
mod isolation_check;
mod runsc_command;
mod runtime;
mod self_test;

pub use args::GVisorArgs;
pub use doctor::{diagnose, diagnose_release};
pub use engine::GVisorEngine;
pub use runsc_command::{RunscCommandError, run_runsc, runsc_version, sandbox_arguments};
pub use runtime::{RUNSC, host_pids_limit};
