//! `cargo lambda watch` in the place of Amazon, and the function as a process.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The engine that needs nothing, for what is not about isolation.
pub(crate) const UNSANDBOXED: [&str; 3] = ["--engine", "subprocess", "--unsafe"];
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Emulator {
    child: Child,
    port: u16,
}

impl Emulator {
    /// Starts it without a function: the test starts the one that is built already.
    pub(crate) fn start() -> Self {
        // It cannot choose a free port by itself.
        let port = harness::free_port();
        let child = Command::new("cargo-lambda")
            .args(["lambda", "watch", "--only-lambda-apis", "--disable-cors"])
            .args(["--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo-lambda is there: infrastructure/setup/setup.sh --with-tests");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < TEST_TIMEOUT,
                "cargo lambda watch does not listen on {port}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, port }
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) struct Function(Child);

impl Function {
    pub(crate) fn start(emulator: &Emulator, arguments: &[&str]) -> Self {
        let function = Command::new(env!("CARGO_BIN_EXE_crucible-lambda"))
            .args(arguments)
            .args(["--drain-seconds", "1"])
            .env("AWS_LAMBDA_RUNTIME_API", format!("{}/.rt", emulator.url()))
            .env("AWS_LAMBDA_FUNCTION_NAME", "_")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4096")
            .spawn();
        Self(function.unwrap())
    }

    /// Waits for the end of the process, and returns its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < TEST_TIMEOUT {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the function does not end");
    }

    /// Sends SIGTERM, as Amazon does, and waits for the end.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.exit_code()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
    }
}
