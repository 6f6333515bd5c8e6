//! Sockets of the host environment: data that arrives there has left the sandbox, and a port that
//! can be reached from there is open.
//!
//! The token is in the submitted code: it is not secret, what counts is where the connection
//! arrives.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ProbeRun;
use super::sampler::while_running;
use crate::attack::probe::Net;
use crate::attack::probe::program::{Values, canary};
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

/// How long a connection may take to send the token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(3);

fn judge(run: &Run, arrived: bool) -> Verdict {
    if arrived { Verdict::Escaped } else { run.contained(By::OwnNetwork) }
}

/// One port on all of `addresses` of the host environment.
pub(super) async fn bind_tcp(
    testbed: &Testbed,
    addresses: &[IpAddr],
) -> Result<(Vec<TcpListener>, u16)> {
    let addresses = addresses.to_owned();
    let bound = testbed.host.network().within(move || {
        let mut port = 0;
        let mut listeners = Vec::new();
        for address in addresses {
            let listener = std::net::TcpListener::bind((address, port))?;
            listener.set_nonblocking(true)?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        Ok((listeners, port))
    });
    let (listeners, port) = bound.await.context("cannot listen in the host environment")?;
    let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<Result<_, _>>();
    Ok((listeners?, port))
}

/// Addresses in the form of a probe's constants.
pub(super) fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(IpAddr::to_string).collect()
}

/// Escaped when the token arrives at a listener of the host environment.
pub(super) async fn reached(program: ProbeRun<'_>, testbed: &Testbed, net: Net) -> Result<Verdict> {
    let token = canary();
    let arrived = Arc::new(AtomicBool::new(false));
    let mut post =
        Post { token: token.clone(), arrived: Arc::clone(&arrived), tasks: JoinSet::new() };
    let values = post.open(testbed, net).await?.with("TOKEN", token);
    let run = testbed.run(program.code, &values, program.seconds).await?;
    // Data that was sent in the last moment may still arrive.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(judge(&run, arrived.load(Ordering::SeqCst)))
}

/// A listener that waits for a token.
struct Post {
    token: String,
    arrived: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Post {
    async fn open(&mut self, testbed: &Testbed, net: Net) -> Result<Values> {
        let addresses = match net {
            Net::Tcp6 => vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
            _ => testbed.host.addresses(),
        };
        let values = Values::default();
        match net {
            Net::Tcp | Net::Tcp6 => {
                let (listeners, port) = bind_tcp(testbed, &addresses).await?;
                for listener in listeners {
                    self.take_tcp(listener);
                }
                Ok(values.with("ADDRESSES", texts(&addresses)).with("PORT", port))
            }
            Net::Udp => {
                let (sockets, port) = bind_udp(testbed, addresses.clone()).await?;
                for socket in sockets {
                    self.take_udp(socket);
                }
                Ok(values.with("ADDRESSES", texts(&addresses)).with("PORT", port))
            }
            Net::Abstract => {
                let name = format!("crucible-ladder-{}", canary());
                let bound = name.clone();
                let listener = testbed.host.network().within(move || {
                    let address = std::os::unix::net::SocketAddr::from_abstract_name(bound)?;
                    UnixListener::bind_addr(&address)
                });
                self.take_unix(listener.await?)?;
                Ok(values.with("SOCKET_NAME", name))
            }
            Net::UnixPath => {
                let path = testbed.host.dir().join(format!("socket-{}", &canary()[..8]));
                let listener = UnixListener::bind(testbed.host.outside(&path))?;
                open_to_all(&testbed.host.outside(&path))?;
                self.take_unix(listener)?;
                Ok(values.with("SOCKET_PATH", path.display().to_string()))
            }
        }
    }

    fn take_tcp(&mut self, listener: TcpListener) {
        let (token, arrived) = (self.token.clone(), Arc::clone(&self.arrived));
        self.tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(look_for(socket, token.clone(), Arc::clone(&arrived)));
            }
        });
    }

    fn take_unix(&mut self, listener: UnixListener) -> Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let (token, arrived) = (self.token.clone(), Arc::clone(&self.arrived));
        self.tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(look_for(socket, token.clone(), Arc::clone(&arrived)));
            }
        });
        Ok(())
    }

    fn take_udp(&mut self, socket: UdpSocket) {
        let (token, arrived) = (self.token.clone(), Arc::clone(&self.arrived));
        self.tasks.spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok(length) = socket.recv(&mut datagram).await {
                if contains(&datagram[..length], &token) {
                    arrived.store(true, Ordering::SeqCst);
                }
            }
        });
    }
}

fn open_to_all(path: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?)
}

async fn bind_udp(testbed: &Testbed, addresses: Vec<IpAddr>) -> Result<(Vec<UdpSocket>, u16)> {
    let bound = testbed.host.network().within(move || {
        let mut port = 0;
        let mut sockets = Vec::new();
        for address in addresses {
            let socket = std::net::UdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            port = socket.local_addr()?.port();
            sockets.push(socket);
        }
        Ok((sockets, port))
    });
    let (sockets, port) = bound.await.context("cannot listen in the host environment")?;
    let sockets = sockets.into_iter().map(UdpSocket::from_std).collect::<Result<_, _>>();
    Ok((sockets?, port))
}

async fn look_for(mut socket: impl AsyncRead + Unpin, token: String, arrived: Arc<AtomicBool>) {
    let mut got = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(Ok(length @ 1..)) = timeout(TOKEN_TIMEOUT, socket.read(&mut chunk)).await {
        got.extend_from_slice(&chunk[..length]);
        if contains(&got, &token) {
            return arrived.store(true, Ordering::SeqCst);
        }
    }
}

fn contains(bytes: &[u8], token: &str) -> bool {
    bytes.windows(token.len()).any(|window| window == token.as_bytes())
}

/// Escaped when the host environment can connect to a port of the probe and receives the token.
pub(super) async fn connect_back(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let token = canary();
    let addresses = testbed.host.addresses();
    // Free a moment ago; the number is random.
    let (listeners, port) = bind_tcp(testbed, &addresses).await?;
    drop(listeners);
    let values = Values::default().with("PORT", port).with("TOKEN", token.clone());
    let arrived = Arc::new(AtomicBool::new(false));
    let look = async || {
        for address in &addresses {
            let to = SocketAddr::new(*address, port);
            if let Ok(socket) = testbed.host.network().connect(to).await {
                look_for(socket, token.clone(), Arc::clone(&arrived)).await;
            }
        }
    };
    let work = testbed.run(program.code, &values, program.seconds);
    let run = while_running(work, Duration::from_millis(100), look).await?;
    Ok(judge(&run, arrived.load(Ordering::SeqCst)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    #[test]
    fn the_arrival_decides_and_not_the_report() {
        let plain = Plain { output: "sent!\n@m finished -\n".to_owned(), error: String::new() };
        let run = Run::new(Answer::Plain(plain), "@m");
        assert_eq!(judge(&run, true), Verdict::Escaped);
        assert_eq!(judge(&run, false), Verdict::Contained(By::OwnNetwork));
    }

    #[tokio::test]
    async fn a_token_is_found_however_it_is_cut() {
        for (sent, found) in [(&b"xx to"[..], false), (b"xx token yy", true)] {
            let arrived = Arc::new(AtomicBool::new(false));
            look_for(sent, "token".to_owned(), Arc::clone(&arrived)).await;
            assert_eq!(arrived.load(Ordering::SeqCst), found);
        }
    }
}
