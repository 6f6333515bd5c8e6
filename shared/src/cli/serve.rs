//! `serve`: the HTTP API, and an orderly end.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{App, BuildError, Exit, Settings, Stage, fail, say};
use crate::{Event, EventType};

pub(super) async fn serve<S: Stage>(settings: &Settings, args: &S::Args, port: u16) -> ExitCode {
    let address = settings.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into());
    match try_serve::<S>(settings, args, address).await {
        Ok(exit) => exit.into(),
        Err(error) => fail(error.as_ref(), Exit::Failure),
    }
}

async fn try_serve<S: Stage>(
    settings: &Settings,
    args: &S::Args,
    address: SocketAddr,
) -> Result<Exit, BuildError> {
    let (isolation, host_is_open) = S::isolation(args);
    refuse_strangers(settings, address, host_is_open)?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}\n  hint: choose another with --listen")
    })?;
    let address = listener.local_addr()?;
    // Before the parts are built: what a signal finds half built is still taken down in order.
    let signals = Signals::listen()?;
    let (app, front) = S::open(settings, args).await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(front(listener, settings.server_options(), stop.clone()));
    println!("listening on http://{address}");
    say(&format!("{}: {isolation}", S::NAME));
    say(&format!(
        "try: curl -s http://{address}/eval -H 'Content-Type: application/json' \
         -H 'Prefer: wait=10' -d '{{\"code\": \"print(6 * 7)\"}}'"
    ));
    app.events.emit(Event::now(EventType::PlatformReady, None, json!({ "stage": S::NAME })));
    let exit = signals.drain(&app, settings).await;
    stop.cancel();
    let _aborted = serving.await;
    Ok(exit)
}

/// Attack: the server is bound to 0.0.0.0 "just for a moment" → the whole network may run programs.
fn refuse_strangers(
    settings: &Settings,
    address: SocketAddr,
    host_is_open: bool,
) -> Result<(), BuildError> {
    if address.ip().is_loopback() {
        Ok(())
    } else if host_is_open {
        Err(format!(
            "{address} can be reached from other machines, and nothing stands between a program \
             and this one\n  hint: listen on 127.0.0.1, or go on to a later stage"
        )
        .into())
    } else if settings.allow_remote {
        Ok(())
    } else {
        Err(format!(
            "{address} can be reached from other machines, and anybody there could run programs \
             here\n  hint: listen on 127.0.0.1, or say --allow-remote if that is what you want"
        )
        .into())
    }
}

/// SIGINT and SIGTERM, for whatever serves.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on a signal does not end the process but is heard here.
    ///
    /// # Errors
    ///
    /// When the system has no place for another handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for a signal, then takes the app down: nothing new, a deadline for what runs, and then
    /// nothing left. A second signal stops at once.
    pub async fn drain(mut self, app: &App, settings: &Settings) -> Exit {
        self.next().await;
        let drain = settings.drain();
        say(&format!(
            "shutting down: running evaluations have {} s; once more stops at once",
            drain.as_secs_f64()
        ));
        app.events.emit(Event::now(EventType::PlatformShutdown, None, json!({})));
        let now = CancellationToken::new();
        let orderly = async {
            app.evaluations.shutdown(now.clone()).await;
            app.engine.close().await;
        };
        tokio::pin!(orderly);
        tokio::select! {
            () = &mut orderly => return Exit::Success,
            () = tokio::time::sleep(drain) => now.cancel(),
            () = self.next() => return Exit::Interrupted,
        }
        tokio::select! {
            () = orderly => Exit::Success,
            () = self.next() => Exit::Interrupted,
        }
    }
}
