//! The protocol between the host and the supervisor of a sandbox: frames over one Unix socket.
//!
//! Both sides compile this module: the engine in `src/gvisor`, and the static supervisor in
//! `supervisor`. So it uses the standard library alone.
//!
//! ```text
//! host                                   supervisor
//!   Start{1, argv, env, user}      ──▶                     an execution is requested
//!                                  ◀──   Hello{version}    once, as the first frame
//!                                  ◀──   Started{1, pid}   or StartFailed{1, errno}
//!   Lifetime{seconds}              ──▶                     the sandbox ends after it
//!   Stdin{1, bytes} ..., StdinEof{1} ─▶                    within the supervisor's window
//!                                  ◀──   Stdout{1, bytes}, Stderr{1, bytes}, within the host's
//!   Window{1, stream, bytes}       ──▶                     more output may come
//!                                  ◀──   StdinWindow{1, bytes}   more input may come
//!                                  ◀──   Exited{1, exit}   after the last byte of output
//!   Kill{1}                        ──▶                     at a limit, if the files are wanted
//!   Collect{1}                     ──▶                     the files that it left, if they are wanted
//!                                  ◀──   File{1, path}, FileChunk{1, bytes} ...
//!                                  ◀──   Collected{1, skipped}
//! ```
//!
//! Every frame names its execution, so that a sandbox can run several; today's engine runs one.
//! Each frame is legal in one state of its execution (`session`). A receiver that gets another one
//! ends the sandbox: the host treats the supervisor as an attacker's, because a program that broke
//! out of its user inside the sandbox could have replaced it.
//!
//! Flow control: a sender never has more bytes under way than its receiver's window, which the
//! receiver opens again as it consumes. So neither side has to buffer more than one window for each
//! stream, however fast the other one writes.
//!
//! Attack: claim a frame of 4 GiB, so that the host reserves memory for it -> a length above
//! [`MAX_PAYLOAD_BYTES`] is refused before a byte of the payload is read -> test
//! `an_oversized_frame_is_refused_by_its_header`.

pub(crate) mod frame;
pub(crate) mod session;
#[cfg(test)]
mod tests;

/// The version that the supervisor reports in its first frame. Both sides come from one build; a
/// mismatch means that another program answers.
pub(crate) const VERSION: u16 = 4;
/// The longest payload of a frame.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 10;
/// How much input may be under way to a program that does not read it.
pub(crate) const STDIN_WINDOW_BYTES: u32 = 256 << 10;
/// How much of one output stream may be under way to a host that does not read it.
pub(crate) const OUTPUT_WINDOW_BYTES: u32 = 256 << 10;
/// Where a program leaves files, and how many and how large they may be. These are the constants of
/// stage 4, which the supervisor does not link; a test compares them.
pub(crate) const OUTPUT_DIR: &str = "/output";
/// Files in all.
pub(crate) const MAX_ARTIFACTS: usize = 64;
/// Bytes in all.
pub(crate) const MAX_ARTIFACT_BYTES: usize = 16 << 20;
/// Bytes of a path.
pub(crate) const MAX_ARTIFACT_PATH_BYTES: usize = 1024;
