//! The stage as a process, and its parts in this one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use shared::Evaluations as _;
use shared::cli::Settings;
use shared::http::ServerOptions;
use stage_06_advanced::Platform;
use stage_07_advanced_v2::{ApiArgs, RestfulApi};
use tokio_util::sync::CancellationToken;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-07-advanced-v2");
/// The engine that needs nothing, for what is not about walls.
pub(crate) const OPEN: [&str; 3] = ["--engine", "subprocess", "--unsafe"];
/// All servers that there are.
pub(crate) const SERVERS: [&str; 2] = ["hyper", "axum"];

/// A running stage. Dropping it ends it in order.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--drain-seconds", "1"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("see above for why").to_owned();
        Self { child, url }
    }

    /// One without walls, behind this web server.
    pub(crate) fn open(server: &str) -> Self {
        Self::start(&[&OPEN[..], &["--server", server]].concat())
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Sends SIGTERM and waits for the end: the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.terminate();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the stage did not end on SIGTERM");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    args: ApiArgs,
}

/// The platform and its API with no server at all, as the binary puts them together.
pub(crate) struct InProcess {
    pub(crate) api: Arc<RestfulApi>,
    platform: Arc<Platform>,
}

impl InProcess {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        let Arguments { settings, args } =
            Arguments::parse_from([&["stage-07-advanced-v2"], &OPEN[..]].concat());
        let stage = "stage-07-advanced-v2";
        let platform = Platform::start(stage, &settings, &args.platform).await.unwrap();
        Self { api: RestfulApi::new(&platform, options), platform }
    }

    pub(crate) async fn stop(self) {
        let now = CancellationToken::new();
        now.cancel();
        self.platform.shutdown(now).await;
    }
}
