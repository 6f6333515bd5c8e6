//! Runs one execution, in a task that does not depend on the requests that wait for it.

use std::sync::Arc;
use std::time::Duration;

use shared::Stream;
use stage_02_queue::signal_name;
use stage_06_advanced::{
    Execution as Running, ExecutionEvent, ExecutionExit, SandboxChannel, SandboxCommand,
    StartError, StartFailed, StartFailedKind, errno_name,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::execution::{End, Execution, Order, Outcome, Prepared};
use super::lease::Use;
use super::metrics::Counters;
use super::state::now;
use super::wire::ExecRequest;

/// How long the end of an execution whose processes were killed is waited for. The sandbox reports it, and may lie.
const KILL_GRACE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// The longest time limit, in seconds: no sandbox exists for so long.
const MAX_TIMEOUT_SECONDS: f64 = 31_536_000.0;

/// What one execution is made of.
struct Run {
    execution: Arc<Execution>,
    orders: mpsc::Receiver<Order>,
    /// Why it was killed, once it was.
    killed: Option<Outcome>,
    deadline: Instant,
    started: Instant,
}

/// Runs an execution in the sandbox that is used.
pub(super) fn spawn(
    usage: Use,
    channel: Arc<SandboxChannel>,
    prepared: Prepared,
    request: ExecRequest,
    counters: Arc<Counters>,
) {
    counters.started();
    tokio::spawn(async move {
        let Prepared { execution, orders, source } = prepared;
        let started = Instant::now();
        let limit = request.timeout_seconds.unwrap_or(MAX_TIMEOUT_SECONDS);
        let deadline = started + Duration::from_secs_f64(limit.clamp(0.0, MAX_TIMEOUT_SECONDS));
        let max_output_bytes = request.max_output_bytes;
        let mut run =
            Run { execution: Arc::clone(&execution), orders, killed: None, deadline, started };
        let lease = Arc::clone(usage.lease());
        let end = tokio::select! {
            end = async {
                let running = match channel.start(&command(request)).await {
                    Ok(running) => running,
                    Err(error) => return run.not_requested(&error),
                };
                let pump = tokio::spawn(source.pump(running.input()));
                let end = run.until_end(running).await;
                pump.abort();
                end
            } => end,
            () = lease.gone.cancelled() => run.end(Outcome::SandboxGone),
        };
        counters.executed(end.outcome);
        execution.stdin.close();
        lease.executions.ended(&execution, max_output_bytes);
        execution.progress.send_modify(|progress| progress.end = Some(Arc::new(end)));
        drop(usage);
    });
}

fn command(request: ExecRequest) -> SandboxCommand {
    let bytes = String::into_bytes;
    let mut command = SandboxCommand::new(request.argv);
    command.env =
        request.env.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
    command.cwd = request.cwd.map(bytes);
    command.user(request.user)
}

impl Run {
    // ANCHOR: until_end
    /// Follows an execution to its end. Each wait has a deadline of the host: a sandbox that is silent delays nothing
    /// beyond it.
    async fn until_end(&mut self, mut running: Running) -> End {
        let control = running.control();
        loop {
            tokio::select! {
                event = running.next() => match event {
                    Ok(Some(ExecutionEvent::Started { .. })) => {}
                    Ok(Some(ExecutionEvent::Output { stream, bytes })) => self.store(stream, bytes).await,
                    Ok(Some(ExecutionEvent::StartFailed(failed))) => return self.not_started(failed),
                    Ok(Some(ExecutionEvent::Ended(exit))) => return self.exited(exit),
                    Ok(None) | Err(_) => return self.end(Outcome::SandboxGone),
                },
                Some(order) = self.orders.recv() => match order {
                    Order::Signal { number, tree } => {
                        // It waits for room on the way to the sandbox, and output is read meanwhile.
                        let control = control.clone();
                        tokio::spawn(async move { control.signal(number, tree).await.ok() });
                    }
                    Order::Kill => {
                        control.kill();
                        self.kill(Outcome::Killed);
                    }
                },
                () = tokio::time::sleep_until(self.deadline) => {
                    if let Some(outcome) = self.killed {
                        return self.end(outcome); // the sandbox does not report the end
                    }
                    control.kill();
                    self.kill(Outcome::TimedOut);
                }
            }
        }
    }
    // ANCHOR_END: until_end

    /// Its processes are killed. The first reason counts.
    fn kill(&mut self, outcome: Outcome) {
        if self.killed.is_none() {
            self.killed = Some(outcome);
            self.deadline = Instant::now() + KILL_GRACE;
        }
    }

    /// Stores what it wrote, and lets its readers know.
    async fn store(&self, stream: Stream, bytes: Vec<u8>) {
        let length = bytes.len() as u64;
        let execution = Arc::clone(&self.execution);
        let fits = execution.spool(stream).fits_memory(length);
        let append = move || execution.spool(stream).append(&bytes);
        let stored = if fits {
            append()
        } else {
            tokio::task::spawn_blocking(append).await.unwrap_or_else(|error| Err(error.into()))
        };
        if let Err(error) = stored {
            tracing::warn!(%error, "output of an execution was not stored");
            self.execution.spool(stream).give_up(length);
        }
        self.execution.progress.send_modify(|progress| progress.written += length);
    }

    fn end(&self, outcome: Outcome) -> End {
        let millis = self.started.elapsed().as_millis();
        End {
            outcome,
            exit_code: None,
            signal: None,
            errno: None,
            ended_at: now(),
            duration_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        }
    }

    fn exited(&self, exit: ExecutionExit) -> End {
        let end = self.end(self.killed.unwrap_or(match exit {
            ExecutionExit::Code(_) => Outcome::Exited,
            ExecutionExit::Signal(_) => Outcome::Signaled,
        }));
        match (end.outcome, exit) {
            (Outcome::Exited, ExecutionExit::Code(code)) => {
                End { exit_code: Some(code.into()), ..end }
            }
            (Outcome::Signaled, ExecutionExit::Signal(number)) => {
                let signal = Some(signal_name(number.into()));
                End { exit_code: Some(128 + i32::from(number)), signal, ..end }
            }
            _ => end,
        }
    }

    fn not_started(&self, failed: StartFailed) -> End {
        let outcome = match failed.kind {
            StartFailedKind::UserUnknown => Outcome::UserUnknown,
            StartFailedKind::UserUnsupported => Outcome::UserUnsupported,
            StartFailedKind::Killed => self.killed.unwrap_or(Outcome::Killed),
            _ => Outcome::SpawnFailed,
        };
        let errno = errno_name(failed.errno);
        End { errno: errno.filter(|_| outcome == Outcome::SpawnFailed), ..self.end(outcome) }
    }

    fn not_requested(&self, error: &StartError) -> End {
        let errno = match error {
            StartError::Channel(_) => return self.end(Outcome::SandboxGone),
            StartError::TooMany { .. } => "EAGAIN",
            StartError::TooLong { .. } => "E2BIG",
            _ => "EINVAL",
        };
        End { errno: Some(errno.to_owned()), ..self.end(Outcome::SpawnFailed) }
    }
}

#[cfg(test)]
mod tests;
