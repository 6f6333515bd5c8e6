//! Sockets in the network of a jail, and a relay to the stage inside.
//!
//! A socket belongs to the network namespace in which it was created. So a thread enters the
//! namespace, creates the socket and exits, and any thread can use it afterwards.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A network namespace: this process's, or that of the process with a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// That of this process.
    Own,
    /// That of another process.
    Of(u32),
}

impl Network {
    /// Runs `job` inside, on its own thread.
    ///
    /// # Errors
    ///
    /// When the namespace is gone, or `job` fails.
    pub async fn within<T: Send + 'static>(
        self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        // Not a thread of the runtime's pool: it stays in the namespace.
        std::thread::spawn(move || {
            let result = self.enter().and_then(|()| job());
            // The receiver may have been dropped.
            sender.send(result).ok();
        });
        Ok(done.await.map_err(|_| anyhow!("the thread inside the network panicked"))??)
    }

    fn enter(self) -> io::Result<()> {
        let Self::Of(pid) = self else { return Ok(()) };
        let link = File::open(format!("/proc/{pid}/ns/net"))?;
        Ok(move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// A connection from inside.
    ///
    /// # Errors
    ///
    /// When the connection is refused.
    pub async fn connect(self, address: SocketAddr) -> Result<tokio::net::TcpStream> {
        let stream = self.within(move || {
            let stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        Ok(tokio::net::TcpStream::from_std(stream.await?)?)
    }
}

/// Forwards connections from a local port to an address inside.
#[derive(Debug)]
pub struct Relay {
    url: String,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// A relay to `address` inside `network`.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(network: Network, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(async move {
            while let Ok((mut outer, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // When the connection inside fails, the client's is closed.
                    if let Ok(mut inner) = network.connect(address).await {
                        tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok();
                    }
                });
            }
        });
        Ok(Self { url, accepting })
    }

    /// Its local address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
