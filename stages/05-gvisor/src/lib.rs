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
//! What this stage does not protect: sandboxes start slowly, and this much is not what it seems,
//! each with a line of Python that shows it:
//!
//! | what | how to see it |
//! |---|---|
//! | threads are gVisor's own, bounded by memory alone and not by the limit on processes | 400 times `threading.Thread(target=time.sleep, args=(9,)).start()` |
//! | the number of files in scratch space is bounded by memory alone | `for n in range(50_000): open(f'/tmp/{n}', 'w')` |
//! | gVisor's own kernel counts as the program's memory: 24 MB of it | `usage.memory_peak_bytes` of `pass` |
//! | its init can be killed, and with it everything | `os.kill(1, 9)` |
//! | Docker's seccomp profile is not in force: other calls get an answer, from gVisor's kernel | `ctypes.CDLL(None).unshare(0x10000000)` |
//! | that it is gVisor | `platform.release()`, and a clock of 50 µs |

mod doctor;
mod engine;
mod proof;
mod runtime;
mod suite;

pub use doctor::diagnose;
pub use engine::GVisorEngine;
pub use runtime::{RUNSC, host_pids};
