//! One bash that executes a transcript.
//!
//! What a reader has and this session has: bash, the workspace as working directory, a home, and
//! `cargo run -p stage-NN-x`. What differs, so that transcripts can run side by side and leave
//! nothing behind:
//!
//! * `cargo` is `book/shims/cargo`, which starts the binary that is already built;
//! * the home is an empty folder, shown as `/home/you`, and temporary files go below it;
//! * a stage that says port 80NN really listens on a free port, in commands and output alike;
//! * at the end every process that the session started is killed. They are known by a variable in
//!   their environment: a program that a stage runs with an empty environment is that stage's to
//!   take away.

use std::collections::BTreeMap;
use std::io::{PipeReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::transcript::Step;

/// A command may take so long, a server that starts included.
const PATIENCE: Duration = Duration::from_mins(2);
/// A server has printed its banner when it is quiet for so long.
const QUIET: Duration = Duration::from_millis(300);
/// A server may take so long to end: its evaluations have ten seconds to do so.
const FAREWELL: Duration = Duration::from_secs(15);
/// The stages there will be; each gets a port.
const STAGES: std::ops::RangeInclusive<u16> = 1..=10;
/// Where programs are found. Not the caller's: another Python there would show other paths.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The home directory as a transcript shows it.
const HOME: &str = "/home/you";
/// The variable that marks the processes of a session.
const MARK: &str = "CRUCIBLE_BOOK_SESSION";
/// Printed after each command, with its exit code: the character that separates records.
const END: char = '\u{1e}';

/// A running bash.
pub struct Session {
    bash: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    home: TempDir,
    mark: String,
    ports: BTreeMap<u16, u16>,
    farewell: Duration,
}

impl Session {
    /// Starts bash in `root`, with the stages' binaries of the folder `binaries`.
    ///
    /// # Errors
    ///
    /// When there is no bash, no free port or no room for a home.
    pub fn start(root: &Path, binaries: &Path) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let ports = free_ports()?;
        // The home's name is new each time, so it can mark the processes too.
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
            .env("CRUCIBLE_BOOK_BINARIES", binaries)
            .env(MARK, &mark)
            // The ladder asks it which stages there are; on the PATH is only what stands in for it.
            .env("CARGO", std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        for (stage, port) in &ports {
            command.env(format!("CRUCIBLE_BOOK_PORT_{stage:02}"), port.to_string());
        }
        let mut bash = command.spawn().context("cannot start bash: install it")?;
        let input = bash.stdin.take().context("bash has no standard input")?;
        drop(command); // and with it our ends of the pipe
        Ok(Self { bash, input, output: listen(reader), home, mark, ports, farewell: FAREWELL })
    }

    /// Executes one command and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or bash ends with it.
    pub fn execute(&mut self, step: &Step) -> anyhow::Result<String> {
        let script = self.inward(&step.script());
        let starts_server = script.trim_end().ends_with('&') && script.contains("cargo run");
        // In braces, so that a command cannot read the rest of our commands as its input.
        writeln!(self.input, "{{ {script}\n}} </dev/null\nprintf '{END}'")?;
        let mut printed = self.read_until(END).with_context(|| format!("in `{script}`"))?;
        if starts_server {
            if !printed.contains("listening on ") {
                printed += &self
                    .read_until('\n')
                    .with_context(|| format!("`{script}` never said what it listens on"))?;
            }
            printed += &self.read_until_quiet();
        }
        Ok(self.outward(&printed).trim_end_matches('\n').to_owned())
    }

    fn read_until(&self, end: char) -> anyhow::Result<String> {
        let started = Instant::now();
        let mut bytes = Vec::new();
        while !bytes.contains(&(end as u8)) {
            let left = PATIENCE.saturating_sub(started.elapsed());
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
        Ok(if end == END { text.replace(END, "") } else { text })
    }

    fn read_until_quiet(&self) -> String {
        let mut bytes = Vec::new();
        while let Ok(chunk) = self.output.recv_timeout(QUIET) {
            bytes.extend(chunk);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a reader types, as it is typed here.
    fn inward(&self, text: &str) -> String {
        let rename = |text: String, (stage, port): (&u16, &u16)| {
            text.replace(&format!("127.0.0.1:80{stage:02}"), &format!("127.0.0.1:{port}"))
        };
        self.ports.iter().fold(text.replace(HOME, &self.home_path()), rename)
    }

    /// What is printed here, as a reader sees it.
    fn outward(&self, text: &str) -> String {
        let rename = |text: String, (stage, port): (&u16, &u16)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:80{stage:02}"))
        };
        self.ports.iter().fold(text.replace(&self.home_path(), HOME), rename)
    }

    fn home_path(&self) -> String {
        self.home.path().display().to_string()
    }

    /// The processes that bear this session's mark.
    fn processes(&self) -> Vec<rustix::process::Pid> {
        let mark = format!("{MARK}={}\0", self.mark);
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let own = std::process::id();
        let marked = ids.filter(|id: &i32| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let bears = |part: &[u8]| part == mark.as_bytes();
            environment.windows(mark.len()).any(bears) && u32::try_from(*id) != Ok(own)
        });
        marked.filter_map(rustix::process::Pid::from_raw).collect()
    }
}

/// Attack: a transcript shows a program that outlives its evaluation → it outlives the test, and
/// the next run finds it. Test: `nothing_outlives_a_session`.
impl Drop for Session {
    fn drop(&mut self) {
        // Servers first get the chance to take away what they started.
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
            for process in self.processes() {
                // It may have ended by itself in this moment.
                let _gone = rustix::process::kill_process(process, signal);
            }
            let started = Instant::now();
            while !self.processes().is_empty() && started.elapsed() < self.farewell {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _reaped = self.bash.wait();
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

/// A port for each stage. All are held until all are known, so that they differ.
fn free_ports() -> anyhow::Result<BTreeMap<u16, u16>> {
    let mut held = Vec::new();
    for stage in STAGES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        held.push((stage, listener.local_addr()?.port(), listener));
    }
    Ok(held.into_iter().map(|(stage, port, _)| (stage, port)).collect())
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
        let file = session.execute(&step("echo hi > /home/you/f; cat ~/f")).unwrap();
        assert_eq!(file, "hi");
    }

    #[test]
    fn nothing_outlives_a_session() {
        let mut session = session();
        session.farewell = Duration::from_millis(200);
        session
            .execute(&step("setsid sh -c 'trap \"\" TERM; sleep 100' >/dev/null 2>&1 &"))
            .unwrap();
        let of_session = |mark: &str| {
            let found = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let environments = found.filter_map(|it| std::fs::read(it.path().join("environ")).ok());
            let bears = |text: &Vec<u8>| String::from_utf8_lossy(text).contains(mark);
            environments.filter(bears).count()
        };
        let mark = format!("{MARK}={}", session.mark);
        assert!(of_session(&mark) >= 2, "bash and what it left running");
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
