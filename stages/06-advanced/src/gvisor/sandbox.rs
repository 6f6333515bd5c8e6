//! One sandbox: started, waiting for a program, used once.
//!
//! ```text
//! host                                            sandbox
//! socket  ── length, program, input ──▶  0  supervisor (root inside)  ──▶ 0  python3 (nobody)
//!         ◀─────────────── exit 0 ───────
//! pipe    ◀───────────────────────────────────────────────────────────  1
//! pipe    ◀─ ready, begin, then the program's ────────────────────────  2
//! ```
//!
//! The rule it keeps: the end of a program is told on a socket that no process of its user has. What
//! it writes to its own two pipes is output, whatever it looks like, from the line on that says that
//! it begins: that line comes before the program's first instruction.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use shared::Limits;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::instance_dir::{Home, Site};
use super::oci_spec;
use super::options::RunscPlatform;

/// How long a sandbox may take to start, on a machine that is busy.
pub(super) const STARTS: Duration = Duration::from_secs(30);
/// How much of what runsc says about a failure is kept.
const SAID: u64 = 2000;

/// How sandboxes are made.
pub(super) struct Factory {
    pub(super) runsc: PathBuf,
    pub(super) platform: RunscPlatform,
    pub(super) home: Arc<Home>,
}

/// A sandbox. It is ended and taken away when this is dropped.
pub(super) struct Sandbox {
    /// Where the program goes, and where its end is told.
    pub(super) control: UnixStream,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    /// The limits that it was made with.
    pub(super) limits: Limits,
    cleanup: Cleanup,
}

/// What has to be taken away.
struct Cleanup {
    home: Arc<Home>,
    site: Option<Site>,
    child: Option<Child>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        if let Some(site) = self.site.take() {
            drop(self.home.take_away(site, self.child.take(), None));
        }
    }
}

impl Factory {
    // ANCHOR: start
    /// Starts a sandbox and waits until the interpreter in it is up.
    ///
    /// Cancel safe: a dropped future takes away what it has started.
    pub(super) async fn start(&self, limits: &Limits) -> Result<Sandbox, String> {
        let site = self.home.site();
        let bundle = site.bundle.clone();
        let prepared = self.prepare(&site, limits);
        let mut cleanup = Cleanup { home: Arc::clone(&self.home), site: Some(site), child: None };
        prepared.map_err(|error| format!("cannot prepare {}: {error}", bundle.display()))?;
        let (control, theirs) = socket().map_err(|error| format!("no socket: {error}"))?;
        let mut child = self
            .spawn(&cleanup, theirs)
            .map_err(|error| format!("cannot run {}: {error}", self.runsc.display()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        cleanup.child = Some(child);
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err("runsc has no output".to_owned());
        };
        let mut stderr = BufReader::new(stderr);
        let ready = tokio::time::timeout(STARTS, ready(&mut stderr)).await;
        ready.unwrap_or_else(|_| {
            Err(format!("the sandbox did not start within {} s", STARTS.as_secs()))
        })?;
        // It holds nothing back: the interpreter says no more until it has its program.
        let stderr = stderr.into_inner();
        Ok(Sandbox { control, stdout, stderr, limits: *limits, cleanup })
    }
    // ANCHOR_END: start

    fn prepare(&self, site: &Site, limits: &Limits) -> std::io::Result<()> {
        let hostname = &site.id[..12];
        let spec =
            oci_spec::specification(&self.home.root(), &site.groups.path(), hostname, limits);
        let spec = spec.map_err(std::io::Error::other)?;
        std::fs::create_dir(&site.bundle)?;
        std::fs::write(site.bundle.join("config.json"), serde_json::to_vec(&spec)?)?;
        site.groups.make(limits)
    }

    // ANCHOR: spawn
    fn spawn(&self, cleanup: &Cleanup, control: OwnedFd) -> std::io::Result<Child> {
        let site = cleanup.site.as_ref().ok_or_else(|| std::io::Error::other("no site"))?;
        Command::new(&self.runsc)
            .arg(format!("--root={}", self.home.state().display()))
            .arg(format!("--platform={}", self.platform.as_str()))
            // Attack: reach anybody -> there is no network but a loopback of its own.
            .arg("--network=none")
            .arg("run")
            .arg(format!("--bundle={}", site.bundle.display()))
            .arg(&site.id)
            // Attack: read keys out of the environment of gVisor's own process -> it is empty.
            .env_clear()
            .current_dir(&site.bundle)
            // Ctrl-C is for us; what runs gets its time to end.
            .process_group(0)
            .stdin(Stdio::from(control))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
    // ANCHOR_END: spawn
}

impl Sandbox {
    pub(super) fn site(&self) -> Option<&Site> {
        self.cleanup.site.as_ref()
    }

    /// Whether it still waits, and has not died meanwhile.
    pub(super) fn is_up(&mut self) -> bool {
        self.cleanup.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// How runsc has ended, within a time.
    pub(super) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let child = self.cleanup.child.as_mut()?;
        tokio::time::timeout(within, child.wait()).await.ok()?.ok()
    }

    /// Expected it and takes it away before this returns.
    pub(super) async fn end(mut self) {
        if let Some(site) = self.cleanup.site.take() {
            let gone = self.cleanup.home.take_away(site, self.cleanup.child.take(), None);
            let _ended = gone.await;
        }
    }

    /// Lets it go, once not too many others wait to be taken away.
    pub(super) async fn leave(mut self) {
        let place = self.cleanup.home.place().await;
        if let Some(site) = self.cleanup.site.take() {
            drop(self.cleanup.home.take_away(site, self.cleanup.child.take(), place));
        }
    }
}

/// A socket's two ends: ours, and runsc's.
fn socket() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Waits for the interpreter's first words. Anything else is what went wrong, in runsc's words.
async fn ready(stderr: &mut BufReader<ChildStderr>) -> Result<(), String> {
    let mut line = Vec::new();
    let read = stderr.take(SAID).read_until(b'\n', &mut line).await;
    if line == b"ready\n" {
        return Ok(());
    }
    let mut rest = stderr.take(SAID);
    let rest = rest.read_to_end(&mut line);
    let _ended = tokio::time::timeout(Duration::from_millis(500), rest).await;
    let said = String::from_utf8_lossy(&line);
    Err(match (read, said.trim()) {
        (Err(error), _) => format!("lost the sandbox's output: {error}"),
        (_, "") => "the sandbox ended before it was up, without a word".to_owned(),
        (_, said) => format!("the sandbox did not start: {said}"),
    })
}
