//! Sockets in the network of a jail, and a relay to the stage inside.
//!
//! A socket belongs for life to the network name space it was made in. So a thread goes there, makes
//! the socket and ends, and everybody can use it.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Which network: the harness's own, or that of the process with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The one of this process.
    Own,
    /// The one of that process.
    Of(u32),
}

impl Network {
    /// Runs `job` inside, on a thread of its own.
    ///
    /// # Errors
    ///
    /// When the network is gone, or `job` fails.
    pub async fn within<T: Send + 'static>(
        self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        // Not a thread of the pool: it could never be used for anything else again.
        std::thread::spawn(move || {
            let result = self.enter().and_then(|()| job());
            // Nobody waits any more: then nobody wants it.
            sender.send(result).ok();
        });
        Ok(done.await.map_err(|_| anyhow!("a thread inside the network died"))??)
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
    /// When nobody listens there.
    pub async fn connect(self, address: SocketAddr) -> Result<tokio::net::TcpStream> {
        let stream = self.within(move || {
            let stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        Ok(tokio::net::TcpStream::from_std(stream.await?)?)
    }
}

/// Passes connections to a port of our own on to an address inside.
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
                    // Nobody there: the client sees its connection closed, which is the truth.
                    if let Ok(mut inner) = network.connect(address).await {
                        tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok();
                    }
                });
            }
        });
        Ok(Self { url, accepting })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
