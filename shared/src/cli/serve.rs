//! `serve`: the HTTP API, and an orderly end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{App, BuildError, Exit, Isolation, Settings, Stage, StageArgs, eprint_line};
use crate::http::{Endpoint, MAX_CONNECTIONS};
use crate::{Event, EventType};

pub(super) async fn serve<S: Stage>(
    settings: &Settings,
    args: &S::Args,
) -> Result<Exit, BuildError> {
    let address = (Ipv4Addr::LOCALHOST, 8000 + S::NUMBER).into();
    let address = settings.listen.unwrap_or(address);
    let isolation = args.isolation().unwrap_or(S::ISOLATION);
    check_listen_address(settings, address, isolation)?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let error = BuildError::from(error).context(format!("cannot listen on {address}"));
        error.with_hint("choose another address with --listen")
    })?;
    let address = listener.local_addr()?;
    // Before the components are built, so that a signal during the build shuts down in order.
    let signals = Signals::listen()?;
    let app = S::build(settings, args).await?;
    let shutdown = CancellationToken::new();
    let options = settings.server_options();
    if options.max_connections < MAX_CONNECTIONS {
        let text = "too few file descriptors for all connections: raise the hard limit (ulimit -Hn, \
                    LimitNOFILE= of a unit)";
        tracing::warn!(connections = options.max_connections, of = MAX_CONNECTIONS, "{text}");
    }
    let endpoint = Endpoint::new(Arc::clone(&app.service), options, shutdown.clone());
    let serving = tokio::spawn((args.http_server())(Arc::new(endpoint), listener));
    let url = format!("{}://{address}", args.scheme());
    println!("listening on {url}");
    eprint_line(&format!("{}: {}", S::NAME, isolation.summary));
    eprint_line(&format!(
        "try: curl -s {url}/eval -H 'Content-Type: application/json' \
         -H 'Prefer: wait=10' -d '{{\"code\": \"print(6 * 7)\"}}'"
    ));
    app.events.emit(Event::now(EventType::PlatformReady, None, json!({ "stage": S::NAME })));
    let exit = signals.drain(&app, settings).await;
    shutdown.cancel();
    if let Err(error) = serving.await {
        tracing::error!(%error, "the web server panicked");
    }
    Ok(exit)
}

/// Attack: the server is bound to 0.0.0.0 "just for a moment" → the whole network may run programs.
fn check_listen_address(
    settings: &Settings,
    address: SocketAddr,
    isolation: Isolation,
) -> Result<(), BuildError> {
    let (danger, remedy) = match (isolation.is_unsandboxed, settings.allow_remote) {
        _ if address.ip().is_loopback() => return Ok(()),
        (false, true) => return Ok(()),
        (true, _) => ("nothing isolates a program from this one", "go on to a later stage"),
        (false, false) => (
            "every client there could run programs here",
            "add --allow-remote if that is what you want",
        ),
    };
    let error = format!("{address} can be reached from other machines, and {danger}");
    Err(BuildError::new(error).with_hint(format!("listen on 127.0.0.1, or {remedy}")))
}

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Receives both signals from now on; they do not end the process any more.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for a signal, then shuts the app down: no new work, a deadline for running evaluations,
    /// and nothing is left. A second signal stops at once.
    pub async fn drain(mut self, app: &App, settings: &Settings) -> Exit {
        self.next().await;
        let drain = Duration::from_secs_f64(settings.drain_seconds);
        eprint_line(&format!(
            "shutting down: running evaluations have {} s; once more stops at once",
            drain.as_secs_f64()
        ));
        app.events.emit(Event::now(EventType::PlatformShutdown, None, json!({})));
        let now = CancellationToken::new();
        let orderly = app.close(now.clone());
        tokio::pin!(orderly);
        tokio::select! {
            () = &mut orderly => return Exit::SUCCESS,
            () = tokio::time::sleep(drain) => now.cancel(),
            () = self.next() => return Exit::INTERRUPTED,
        }
        tokio::select! {
            () = orderly => Exit::SUCCESS,
            () = self.next() => Exit::INTERRUPTED,
        }
    }
}
