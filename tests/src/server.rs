//! A stage's real binary, started on a free port and stopped in order.
//!
//! Task tree: one task for each of the child's two streams, which end when the child does.
//!
//! A [`Server`] that is dropped is killed. A kill takes the stage without its own clean-up, so
//! whoever cares about what is left behind calls [`Server::stop`] and looks at what it says.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stages::Stage;

/// How long a stage may take to say where it listens: gVisor is proven before that.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a stage may take to end after SIGTERM: its own drain is 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How much of the child's standard error is kept for messages, in bytes.
const TAIL: usize = 8 << 10;

/// How to start a stage.
#[derive(Debug, Clone)]
pub struct Launch {
    stage: Stage,
    prefix: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// `stage` with its defaults, on a free port of the loopback.
    pub fn new(stage: &Stage) -> Self {
        let (prefix, arguments, environment) = Default::default();
        Self { stage: stage.clone(), prefix, arguments, environment }
    }

    /// Starts it by way of another program, which gets the stage's command line after its own
    /// arguments. [`Server::pid`] is then that program's.
    #[must_use]
    pub fn by_way_of(mut self, prefix: Vec<OsString>) -> Self {
        self.prefix = prefix;
        self
    }

    /// One more command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more variable in the server's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it, and waits until it says where it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started, ends at once, or says nothing in time; the message has
    /// the end of its standard error.
    pub async fn start(self) -> Result<Server> {
        let Self { stage, mut prefix, arguments, environment } = self;
        let (name, number) = (stage.name.clone(), stage.number);
        // Building may take a minute, and must not hold up other tasks.
        let binary =
            tokio::task::spawn_blocking(move || stage.binary().map(ToOwned::to_owned)).await??;
        prefix.push(binary.clone().into());
        let mut child = Command::new(&prefix[0])
            .args(&prefix[1..])
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the child has no standard output")?;
        let stderr = child.stderr.take().context("the child has no standard error")?;
        let tail = Tail::default();
        let copying = tail.clone().collect(stderr);
        let mut server = Server { name, number, url: String::new(), child, tail, copying };
        match timeout(READY_WITHIN, listening_line(stdout)).await {
            Ok(Ok(url)) => server.url = url,
            Ok(Err(error)) => return Err(server.give_up(&error.to_string()).await),
            Err(_) => {
                let error = format!("said nothing within {} s", READY_WITHIN.as_secs());
                return Err(server.give_up(&error).await);
            }
        }
        Ok(server)
    }
}

/// A stage that runs.
#[derive(Debug)]
pub struct Server {
    name: String,
    number: u16,
    url: String,
    child: Child,
    tail: Tail,
    copying: JoinHandle<()>,
}

impl Server {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id. None when it has ended and was waited for.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The end of what it wrote to standard error.
    pub fn stderr_tail(&self) -> String {
        self.tail.text()
    }

    /// Sends SIGTERM and waits for it to end; kills it when it does not.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or ended with another exit code than 0.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            kill_process(pid, Signal::TERM).context("cannot send SIGTERM to the stage")?;
        }
        let Ok(status) = timeout(STOP_WITHIN, self.child.wait()).await else {
            let error = format!("did not end within {} s of SIGTERM", STOP_WITHIN.as_secs());
            return Err(self.give_up(&error).await);
        };
        let status = status.context("cannot wait for the stage")?;
        if !self.is_orderly(status) {
            return Err(self.give_up(&format!("ended with {status} after SIGTERM")).await);
        }
        Ok(())
    }

    /// Stage 1 knows nothing of signals, so it dies of them. Every other stage drains and ends well.
    fn is_orderly(&self, status: ExitStatus) -> bool {
        let died = status.signal() == Some(Signal::TERM.as_raw());
        status.success() || (self.number == 1 && died)
    }

    /// Kills what is left and makes an error of it, with the end of its standard error.
    async fn give_up(mut self, error: &str) -> anyhow::Error {
        // It may have ended by itself; then there is nothing to kill.
        let _gone = self.child.kill().await;
        // A grandchild may hold the stream open; what has come so far is enough.
        let _open = timeout(Duration::from_secs(1), &mut self.copying).await;
        let said = self.tail.text();
        let said = if said.is_empty() { "(nothing)" } else { said.trim_end() };
        anyhow!("{} {error}; its standard error ends with:\n{said}", self.name)
    }
}

/// Reads the first line, and goes on reading so that the child never blocks.
async fn listening_line(stdout: impl AsyncRead + Unpin + Send + 'static) -> Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    let Some(line) = lines.next_line().await? else { bail!("ended before it listened") };
    let Some(url) = line.strip_prefix("listening on ") else {
        bail!("began with {line:?} instead of `listening on http://...`");
    };
    let url = url.trim().to_owned();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(url)
}

/// The last bytes of a stream.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn collect(self, mut stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut chunk).await {
                self.push(&chunk[..length]);
            }
        })
    }

    fn push(&self, chunk: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(chunk);
        let surplus = kept.len().saturating_sub(TAIL);
        kept.drain(..surplus);
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; TAIL]);
        tail.push(b"the end");
        assert_eq!(tail.text().len(), TAIL);
        assert!(tail.text().ends_with("aathe end"));
    }

    #[tokio::test]
    async fn only_the_promised_line_is_taken() {
        let url = listening_line(&b"listening on http://127.0.0.1:8002\nmore\n"[..]).await;
        assert_eq!(url.unwrap(), "http://127.0.0.1:8002");
        for wrong in [&b""[..], b"hello\n", b"thread main panicked\n"] {
            assert!(listening_line(wrong).await.is_err());
        }
    }
}
