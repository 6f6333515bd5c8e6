//! One bash that executes a transcript.
//!
//! As for a reader, there are bash, the workspace as working directory, a home directory, and
//! `cargo run -p stage-NN-x`. Five things differ, so that transcripts can run in parallel and leave
//! no process or file:
//!
//! * `cargo` is `book/shims/cargo`, which starts the binary that is already built;
//! * the home is an empty directory, shown as `/home/you`, and temporary files go below it;
//! * so is the data directory of a server, which is shown as the one that a server of root has;
//! * a stage's port 80NN is replaced by a free port in the commands, and put back in their output;
//! * at the end, every process that the session started is killed. They are found by a variable in
//!   their environment. A program that a stage runs with an empty environment is not found: the stage
//!   itself has to end it.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{PipeReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::transcript::Step;

/// How long a command may take, the start of a server included.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);
/// A server's banner is complete when it has printed nothing for this long.
const BANNER_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a server may take to stop. Its evaluations may use ten seconds of that.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// The numbers of all stages, those to come included; each gets a port.
const STAGES: std::ops::RangeInclusive<u16> = 1..=10;
/// The search path of the commands. The caller's own might find another Python, with other paths.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The home directory as a transcript shows it.
const HOME: &str = "/home/you";
/// The data directory of stage 09 as a transcript shows it.
const DATA: &str = "/var/lib/crucible/data";
/// The environment variable that marks the processes of a session.
const SESSION_ENV: &str = "CRUCIBLE_BOOK_SESSION";
/// Printed after each command: the ASCII character that separates records.
const END_OF_COMMAND: char = '\u{1e}';

/// A running bash.
pub struct Session {
    bash: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    home: TempDir,
    /// Of its own, because the user of a server cannot enter the home.
    data: TempDir,
    mark: String,
    ports: BTreeMap<u16, u16>,
    stop_timeout: Duration,
}

impl Session {
    /// Starts bash in `root`, with the stages' binaries of the directory `binaries`.
    ///
    /// # Errors
    ///
    /// When bash, a free port or a home directory cannot be had.
    pub fn start(root: &Path, binaries: &Path) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let data = tempfile::tempdir()?;
        std::fs::set_permissions(data.path(), Permissions::from_mode(0o755))?;
        let ports = free_ports()?;
        // The home's name is unique, so it can mark the processes as well.
        let mark = home.path().display().to_string();
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new("bash");
        command
            .args(["--norc", "--noprofile"])
            .current_dir(root)
            .env_clear()
            .env("PATH", format!("{}:{PATH}", root.join("book/shims").display()))
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("LANG", "C.UTF-8")
            .env("CRUCIBLE_DATA_DIR", data.path().join("data"))
            .env("CRUCIBLE_LOG", "warn") // the log of a server would stand between the answers
            .env("CRUCIBLE_BOOK_BINARIES", binaries)
            .env(SESSION_ENV, &mark)
            // The ladder calls the real cargo to list the stages; the PATH has only the shim.
            .env("CARGO", std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        for (stage, port) in &ports {
            command.env(format!("CRUCIBLE_BOOK_PORT_{stage:02}"), port.to_string());
        }
        let mut bash = command.spawn().context("cannot start bash: install it")?;
        let input = bash.stdin.take().context("bash has no standard input")?;
        drop(command); // closes this process's ends of the pipe
        Ok(Self {
            bash,
            input,
            output: listen(reader),
            home,
            data,
            mark,
            ports,
            stop_timeout: STOP_TIMEOUT,
        })
    }

    /// Executes one command and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or bash ends with it.
    pub fn execute(&mut self, step: &Step) -> anyhow::Result<String> {
        let script = self.inward(&step.script());
        let starts_server = script.trim_end().ends_with('&') && script.contains("cargo run");
        // In braces, so that a command cannot read the commands after it as its input.
        writeln!(self.input, "{{ {script}\n}} </dev/null\nprintf '{END_OF_COMMAND}'")?;
        let mut printed =
            self.read_until(END_OF_COMMAND).with_context(|| format!("in `{script}`"))?;
        if starts_server {
            if !printed.contains("listening on ") {
                printed += &self
                    .read_until('\n')
                    .with_context(|| format!("`{script}` did not print what it listens on"))?;
            }
            printed += &self.read_until_quiet();
        }
        Ok(self.outward(&printed).trim_end_matches('\n').to_owned())
    }

    fn read_until(&self, end: char) -> anyhow::Result<String> {
        let started = Instant::now();
        let mut bytes = Vec::new();
        while !bytes.contains(&(end as u8)) {
            let left = COMMAND_TIMEOUT.saturating_sub(started.elapsed());
            match self.output.recv_timeout(left) {
                Ok(chunk) => bytes.extend(chunk),
                Err(error) => {
                    let printed = self.outward(&String::from_utf8_lossy(&bytes));
                    let why = match error {
                        RecvTimeoutError::Timeout => "it did not end in time",
                        RecvTimeoutError::Disconnected => "bash ended",
                    };
                    bail!("{why}; it had printed: {printed}");
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(if end == END_OF_COMMAND { text.replace(END_OF_COMMAND, "") } else { text })
    }

    fn read_until_quiet(&self) -> String {
        let mut bytes = Vec::new();
        while let Ok(chunk) = self.output.recv_timeout(BANNER_TIMEOUT) {
            bytes.extend(chunk);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A command of the book, with the session's ports and data directory. The home directory has to be
    /// named as a reader's shell names it, `~` or `$HOME`: a path below `/home/you` exists on no machine.
    fn inward(&self, text: &str) -> String {
        let rename = |text: String, (stage, port): (&u16, &u16)| {
            text.replace(&format!("127.0.0.1:80{stage:02}"), &format!("127.0.0.1:{port}"))
        };
        let text = text.replace(DATA, &self.data_path());
        self.ports.iter().fold(text, rename)
    }

    /// The session's output, with the ports and the home directory of the book.
    fn outward(&self, text: &str) -> String {
        let rename = |text: String, (stage, port): (&u16, &u16)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:80{stage:02}"))
        };
        let text = text.replace(&self.home_path(), HOME).replace(&self.data_path(), DATA);
        self.ports.iter().fold(text, rename)
    }

    fn home_path(&self) -> String {
        self.home.path().display().to_string()
    }

    fn data_path(&self) -> String {
        self.data.path().join("data").display().to_string()
    }

    /// The processes that have this session's variable in their environment.
    fn processes(&self) -> Vec<rustix::process::Pid> {
        let mark = format!("{SESSION_ENV}={}\0", self.mark);
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let own = std::process::id();
        let marked = ids.filter(|id: &i32| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let matches = |part: &[u8]| part == mark.as_bytes();
            environment.windows(mark.len()).any(matches) && u32::try_from(*id) != Ok(own)
        });
        marked.filter_map(rustix::process::Pid::from_raw).collect()
    }
}

/// Attack: a transcript shows a program that outlives its evaluation → it would outlive the test, and
/// disturb the next one. Test: `nothing_outlives_a_session`.
impl Drop for Session {
    fn drop(&mut self) {
        // SIGTERM first, so that servers can remove what they started.
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
            for process in self.processes() {
                rustix::process::kill_process(process, signal).ok(); // it may have just ended
            }
            let started = Instant::now();
            while !self.processes().is_empty() && started.elapsed() < self.stop_timeout {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.bash.wait().ok(); // reaps it; the exit code does not matter
    }
}

fn listen(mut reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A port for each stage. All stay bound until all are chosen, so that they differ.
fn free_ports() -> anyhow::Result<BTreeMap<u16, u16>> {
    let mut bound = Vec::new();
    for stage in STAGES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        bound.push((stage, listener.local_addr()?.port(), listener));
    }
    Ok(bound.into_iter().map(|(stage, port, _)| (stage, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::start(&crate::workspace_root(), Path::new("/nowhere")).unwrap()
    }

    fn step(command: &str) -> Step {
        Step { command: command.lines().map(str::to_owned).collect(), output: String::new() }
    }

    #[test]
    fn commands_share_one_shell() {
        let mut session = session();
        assert_eq!(session.execute(&step("x=1; cd /tmp")).unwrap(), "");
        assert_eq!(
            session.execute(&step("echo \"$x $PWD\" |\n  cat; echo err >&2")).unwrap(),
            "1 /tmp\nerr"
        );
        assert_eq!(session.execute(&step("printf 'no newline'")).unwrap(), "no newline");
        assert_eq!(session.execute(&step("cat")).unwrap(), "", "nothing to read from");
    }

    #[test]
    fn ports_and_home_look_the_same_in_every_run() {
        let mut session = session();
        assert_eq!(
            session.execute(&step("echo ~ http://127.0.0.1:8003/")).unwrap(),
            "/home/you http://127.0.0.1:8003/"
        );
        let real = session.execute(&step("echo $CRUCIBLE_BOOK_PORT_03")).unwrap();
        assert_ne!(real, "8003");
        let file = session.execute(&step("echo hi > ~/f; cat $HOME/f")).unwrap();
        assert_eq!(file, "hi");
    }

    #[test]
    fn nothing_outlives_a_session() {
        let mut session = session();
        session.stop_timeout = Duration::from_millis(200);
        session
            .execute(&step("setsid sh -c 'trap \"\" TERM; sleep 100' >/dev/null 2>&1 &"))
            .unwrap();
        let of_session = |mark: &str| {
            let found = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let environments =
                found.filter_map(|process| std::fs::read(process.path().join("environ")).ok());
            let matches = |text: &Vec<u8>| String::from_utf8_lossy(text).contains(mark);
            environments.filter(matches).count()
        };
        let mark = format!("{SESSION_ENV}={}", session.mark);
        // A process has no environment while it is replaced by its program.
        let started = Instant::now();
        while of_session(&mark) < 2 {
            assert!(started.elapsed() < COMMAND_TIMEOUT, "bash and what it left running");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(session);
        assert_eq!(of_session(&mark), 0);
    }

    #[test]
    fn a_server_that_does_not_start_is_an_error() {
        let mut session = session();
        let error = session.execute(&step("exit 3")).unwrap_err();
        assert!(format!("{error:#}").contains("bash ended"), "{error:#}");
    }
}
