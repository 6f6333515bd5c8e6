//! The protocol between the host and the exec supervisor of a sandbox that stays: frames over one
//! socket, or over the two standard streams of a container.
//!
//! Both sides compile this module: `src/sandbox_channel` on the host, and the static program in
//! `exec_supervisor`. So it uses the standard library alone.
//!
//! ```text
//! host                                   exec supervisor
//!                                  ◀──   Hello{version}             once, as the first frame
//!   Configure{defaults}            ──▶                              once, before every Start
//!   Spec{1, bytes} ..., Start{1}   ──▶                              an execution is requested
//!                                  ◀──   Started{1, pid}            or StartFailed{1, kind, errno}
//!   Stdin{1, bytes} ..., StdinEof{1} ─▶                             within the supervisor's window
//!                                  ◀──   StdinWindow{1, bytes}      more input may come
//!                                  ◀──   Output{1, stream, bytes}   within the host's window
//!   Window{1, stream, bytes}       ──▶                              more output may come
//!   Signal{1, signal, tree}        ──▶
//!   Kill{1}                        ──▶                              ends the whole tree; once
//!                                  ◀──   Exited{1, exit}            after the last byte of output
//!   Lifetime{seconds}              ──▶                              the sandbox ends after it
//! ```
//!
//! The executions of a sandbox share the socket and nothing else: each has windows of its own in
//! both directions, so that one whose bytes are not read stops no other. The host chooses the ids,
//! in ascending order, and uses none twice. Frames for an execution that has ended arrive because
//! they were under way; they change nothing.
//!
//! Attack: a program that is root in the sandbox replaces the supervisor and sends whatever it likes
//! -> each frame is bounded by its header, typed, and checked against the state of its execution;
//! one that is not legal ends the channel of this sandbox -> test
//! `a_supervisor_that_lies_ends_its_own_channel`.

pub(crate) mod command;
pub(crate) mod frame;
#[cfg(test)]
mod tests;

/// The version that the supervisor reports in its first frame. Both sides come from one build; a
/// mismatch means that another program answers.
pub(crate) const VERSION: u16 = 1;
/// The longest payload of a frame.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 32 << 10;
/// How much input may be under way to a program that does not read it.
pub(crate) const STDIN_WINDOW_BYTES: u32 = 128 << 10;
/// How much of one output stream may be under way to a host that does not read it.
pub(crate) const OUTPUT_WINDOW_BYTES: u32 = 128 << 10;
/// The longest encoded command.
pub(crate) const MAX_COMMAND_BYTES: usize = 4 << 20;
/// Executions at one moment.
pub(crate) const MAX_EXECUTIONS: usize = 128;
