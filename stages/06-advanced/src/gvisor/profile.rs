//! What a sandbox is prepared for: a language, with its image and the processes that wait for
//! programs. Nothing else in this engine knows a language.
//!
//! A profile's command is started before there is a program. It has to speak the protocol of stage
//! 4's init: it writes `ready` and a newline to standard error when it is up, reads one payload
//! (`stage_04_docker::write_payload`) from standard input, writes the payload's nonce and ` begin`,
//! and becomes the program, with the rest of its standard input as the program's.

use std::path::PathBuf;

use shared::Profile;
use shared::profile::PYTHON;
use stage_04_docker::INIT_SOURCE;

/// What the waiting interpreter executes behind the functions of stage 4's init: it leaves the
/// supervisor's session, which a signal could reach, reports that it is ready, waits for its
/// program and becomes it. Python's own init of stage 4 is not needed: the supervisor is one, and
/// runs as another user.
///
/// It yields the processor once before the program's first instruction: the supervisor then sends
/// the line that reports the start, which begins the program's wall-clock time.
const PYTHON_START: &str = "

__import__('posix').setsid()
__import__('posix').write(2, b'ready\\n')
path = deliver()[2]
__import__('posix').sched_yield()
program(path)
";
/// Reports its kernel, and then stays to be inspected.
const PYTHON_ISOLATION_PROGRAM: &str = "
print(open('/proc/version').read().strip(), flush=True)
import time
time.sleep(60)";

/// What sandboxes are prepared for: a language's profile, with what this engine adds to it.
#[derive(Debug, Clone)]
pub(super) struct SandboxProfile {
    /// The language.
    pub(super) language: Profile,
    /// The directory with the image's files.
    pub(super) image: PathBuf,
    /// The command that waits for a program, by the path of its executable in the image.
    pub(super) warm_argv: Vec<String>,
    /// How many sandboxes wait.
    pub(super) warm_sandboxes: usize,
    /// A program that prints `/proc/version` and then stays, to be inspected from outside.
    pub(super) isolation_program: &'static str,
}

impl SandboxProfile {
    /// Python, with the files of the image in the directory `image`.
    pub(super) fn python(image: PathBuf, warm_sandboxes: usize) -> Self {
        let source = format!("{INIT_SOURCE}{PYTHON_START}");
        Self {
            language: PYTHON,
            image,
            warm_argv: vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), source],
            warm_sandboxes,
            isolation_program: PYTHON_ISOLATION_PROGRAM,
        }
    }

    /// The executable that waits for a program, by its path in the image.
    pub(super) fn interpreter(&self) -> &str {
        self.warm_argv.first().map_or("", String::as_str)
    }
}
