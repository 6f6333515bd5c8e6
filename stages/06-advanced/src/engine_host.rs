//! Two processes: the engine host drives the sandboxes, the API process speaks HTTP.
//!
//! Whatever drives `runsc` or Docker is root, or as good as root. Whatever parses requests from the
//! network is the part that an attacker reaches first. So that an error in the second is not root:
//!
//! ```text
//! stage-06-advanced             ENGINE HOST: root, the engine, no TCP listener
//! │   ▲                         one task for each run; checks each request as from an attacker
//! │   │ one Unix socket pair    `protocol`: length-prefixed JSON, typed in both directions
//! │   ▼
//! ├─ stage-06-advanced          API PROCESS: a user without rights, the listener, the queue,
//! │                             the monitor, the storage; `RemoteEngine` is its engine
//! └─ runsc ...                  the sandboxes are children of the engine host
//! ```
//!
//! The user starts the engine host. It starts its engine, and then the same binary with the same
//! arguments as the API process, whose standard input is one end of the socket pair. The API process
//! parses its configuration and then gives up its rights, before it has a second thread or a
//! listener. `--single-process` runs all of it in one process, for a debugger; `run`, `test` and
//! `doctor` have no listener and are one process always.
//!
//! 1. `protocol`: the frames;
//! 2. [`EngineHost`]: the engine's end of the socket;
//! 3. `sandboxes`, `remote_sandboxes` and [`ApiSocket`]: both ends of sandboxes that stay, whose sockets are handed on;
//! 4. [`RemoteEngine`]: the end in the API process, an [`shared::Engine`] like any other;
//! 5. `privileges`: how the API process gives up its rights, and verifies that it has;
//! 6. `warm`: how many sandboxes wait, for the metrics;
//! 7. `launch`: how the two are started, signalled and ended: [`before_serve`], [`remote_engine`].
//!
//! Who ends what: a signal to the command reaches the engine host, which forwards it; the API process
//! is in a process group of its own, so that Ctrl-C does not reach it twice. The end of the API
//! process, however it comes, ends all runs and then the engine host. The end of the engine host
//! closes the socket: the API process ends what it has as `worker_lost`, and exits.
//!
//! | Attack by a compromised API process | Setting | Test |
//! |---|---|---|
//! | read the host's files, the image, runsc's state, Docker's socket | another user, no groups, no capabilities | `the_api_process_has_no_rights` |
//! | become root again | `setresuid` of all three ids, `no_new_privs`, verified | `the_api_process_has_no_rights` |
//! | a frame of 4 GiB, half a frame, no JSON | `MAX_REQUEST_BYTES`, checked before memory is used | `an_illegal_frame_ends_the_connection_and_all_runs` |
//! | a request that is none: a path, a command | a closed enum; unknown fields are refused | `an_illegal_frame_ends_the_connection_and_all_runs` |
//! | limits above the operator's, paths with `..` | the submission is parsed again, by the same parser as over HTTP | `a_submission_is_checked_again` |
//! | a thousand runs at once, one id twice | `workers` and [`MAX_EXTRA_RUNS`]; ids in use are refused | `there_are_as_many_runs_as_workers_and_a_few` |
//! | end the runs of others | the socket is the only one, and has the runs of this server alone | `what_is_not_running_cannot_be_cancelled` |
//! | ignore signals, to stay | SIGKILL soon after the second | `an_api_process_that_ignores_signals_is_killed` |
//! | open sandboxes without end, above the limits, and keep them | number, limits and lifetime are the engine's | `a_compromised_api_process_opens_no_more_than_allowed` |
//! | never read the answers | output waits within each run's `output_bytes`; nothing else grows | `output_that_is_not_read_stays_within_its_limit` |
//!
//! What it does not protect: a compromised API process can run programs, within the operator's
//! limits, and forge every answer to its clients. It has their submissions, outputs and keys. A user
//! who is not root starts two processes of the same user, and either may trace the other. And the
//! kernel is one.

mod api_socket;
mod calls;
mod host;
mod launch;
mod privileges;
mod protocol;
mod remote;
mod remote_sandboxes;
mod run;
mod sandboxes;
mod warm;

pub use api_socket::ApiSocket;
pub use host::{EngineHost, HostError, MAX_EXTRA_RUNS};
pub use launch::{EngineHostArgs, LaunchError, before_serve, remote_engine};
pub use privileges::{ApiUser, PrivilegeError};
pub use protocol::FrameError;
pub use remote::{RemoteEngine, RemoteEngineError};
pub use warm::WarmSandboxes;
