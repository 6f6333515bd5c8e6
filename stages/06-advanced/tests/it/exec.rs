//! Executions in a sandbox that stays: the real program as process 1, in a namespace of its own on
//! this kernel and on gVisor's.

mod background;
mod basics;
mod files;
mod many;

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use shared::Stream;
use stage_06_advanced::{
    EXEC_SUPERVISOR, Execution, ExecutionEvent, ExecutionExit, SandboxChannel, SandboxCommand,
    SandboxDefaults, StartFailed,
};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// How long anything here may take, on a machine that is busy.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);
/// A user that no list has, and whose directory the sandbox's working directory is.
const USER: u32 = 4321;

/// What runs the exec supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// This machine's, in a namespace of its own.
    Host,
    /// gVisor's.
    Gvisor,
}

/// Makes a test of each function for each kernel.
macro_rules! on_each_kernel {
    ($($name:ident),* $(,)?) => {
        mod on_this_kernel {
            $(#[tokio::test] async fn $name() { super::$name(super::Kernel::Host).await; })*
        }
        mod on_gvisor {
            $(#[tokio::test] async fn $name() { super::$name(super::Kernel::Gvisor).await; })*
        }
    };
}
use on_each_kernel;

/// A sandbox whose process 1 is the exec supervisor.
struct Inside {
    channel: SandboxChannel,
    /// Its end ends the sandbox.
    process: Child,
    /// The working directory, which the user may write.
    dir: tempfile::TempDir,
}

/// What became of an execution.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Done {
    pid: Option<u32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Option<ExecutionExit>,
    failed: Option<StartFailed>,
}

impl Done {
    fn code(&self) -> u8 {
        match self.exit {
            Some(ExecutionExit::Code(code)) => code,
            _ => panic!("{self:?}"),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

fn defaults(dir: &Path) -> SandboxDefaults {
    SandboxDefaults {
        user: USER.to_string(),
        workdir: dir.to_str().unwrap().to_owned(),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        allows_root: true,
    }
}

/// A working directory with the program beside it, and both ends of a socket.
fn prepare() -> (tempfile::TempDir, UnixStream, OwnedFd) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    std::os::unix::fs::chown(&work, Some(USER), Some(USER)).unwrap();
    let program = dir.path().join("exec_supervisor");
    std::fs::write(&program, EXEC_SUPERVISOR).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    (dir, UnixStream::from_std(host).unwrap(), guest.into())
}

fn unshare(dir: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(dir.join("exec_supervisor"));
    command
}

/// As the engine starts it, as far as the exec supervisor can see it.
fn runsc(dir: &Path, root: &Path) -> Command {
    let is_own = root != Path::new("/");
    let program = if is_own { Path::new("/") } else { dir }.join("exec_supervisor");
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
    ];
    let namespaces = ["pid", "network", "ipc", "uts", "mount"];
    let spec = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": root, "readonly": false },
        "hostname": "sandbox",
        "process": {
            "args": [program],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 4096, "hard": 4096 }],
        },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": namespaces.map(|kind| serde_json::json!({ "type": kind })) },
    });
    let bundle = dir.join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
    let mut command = Command::new("runsc");
    command.arg(format!("--root={}", dir.join("state").display()));
    command.args(["--network=none", "--ignore-cgroups", "--overlay2=root:memory", "run"]);
    command.arg(format!("--bundle={}", bundle.display())).arg("exec-test");
    command
}

impl Inside {
    /// On this machine's file system, which gVisor does not write to.
    async fn on(kernel: Kernel) -> Self {
        let (dir, host, guest) = prepare();
        let command = match kernel {
            Kernel::Host => unshare(dir.path()),
            Kernel::Gvisor => runsc(dir.path(), Path::new("/")),
        };
        Self::spawn(command, dir, host, guest).await
    }

    async fn spawn(
        mut command: Command,
        dir: tempfile::TempDir,
        host: UnixStream,
        guest: OwnedFd,
    ) -> Self {
        let process = command.stdin(Stdio::from(guest)).kill_on_drop(true).spawn().unwrap();
        drop(command); // which has the sandbox's end of the socket
        let channel = SandboxChannel::new(host, &defaults(&dir.path().join("work")));
        tokio::time::timeout(TEST_TIMEOUT, channel.ready()).await.unwrap().unwrap();
        Self { channel, process, dir }
    }

    async fn start(&self, command: &SandboxCommand) -> Execution {
        let started = tokio::time::timeout(TEST_TIMEOUT, self.channel.start(command)).await;
        started.expect("it is started in time").unwrap()
    }

    /// Runs a command whose input is empty.
    async fn run(&self, command: &SandboxCommand) -> Done {
        self.run_with(command, b"").await
    }

    /// Runs a command with an input, which is written while its output is read.
    async fn run_with(&self, command: &SandboxCommand, stdin: &[u8]) -> Done {
        let mut execution = self.start(command).await;
        let mut input = execution.input();
        let write = async {
            // The program need not read it.
            input.write(stdin).await.ok();
            input.close();
        };
        let (done, ()) = tokio::join!(finish(&mut execution), write);
        done
    }

    async fn sh(&self, script: &str) -> Done {
        self.run(&sh(script)).await
    }

    /// Processes that live in the sandbox, beside process 1, its shims, and what lists them.
    async fn processes(&self) -> Vec<String> {
        let script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2>/dev/null";
        let done = self.run(&sh(script).user(Some("0".to_owned()))).await;
        let is_other = |line: &&str| {
            !line.is_empty()
                && !line.contains("exec_supervisor")
                && !line.contains("/cmdline")
                && !line.starts_with("tr ")
        };
        done.text().lines().filter(is_other).map(str::to_owned).collect()
    }
}

fn sh(script: &str) -> SandboxCommand {
    SandboxCommand::new(["sh", "-c", script])
}

/// All events of an execution.
async fn finish(execution: &mut Execution) -> Done {
    let mut done = Done::default();
    let events = async {
        while let Some(event) = execution.next().await.expect("the channel is open") {
            match event {
                ExecutionEvent::Started { pid } => done.pid = Some(pid),
                ExecutionEvent::StartFailed(failed) => done.failed = Some(failed),
                ExecutionEvent::Output { stream: Stream::Stdout, bytes } => {
                    done.stdout.extend(bytes);
                }
                ExecutionEvent::Output { stream: Stream::Stderr, bytes } => {
                    done.stderr.extend(bytes);
                }
                ExecutionEvent::Ended(exit) => done.exit = Some(exit),
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, events).await.expect("it ends in time");
    done
}
