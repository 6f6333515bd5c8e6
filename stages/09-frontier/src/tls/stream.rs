//! A connection whose handshake is a part of its first read or write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, TlsAcceptor, server};

/// A connection of a server that speaks TLS.
pub(super) struct TlsStream<S>(State<S>);

enum State<S> {
    /// The handshake is under way. Boxed, as all of it is large beside a connection without TLS.
    Handshake(Box<Accept<S>>),
    /// It is done.
    Open(Box<server::TlsStream<S>>),
    /// It has failed, and hyper closes the connection.
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(acceptor: &TlsAcceptor, stream: S) -> Self {
        Self(State::Handshake(Box::new(acceptor.accept(stream))))
    }

    /// The open stream, as soon as the handshake is done.
    fn poll_open(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut server::TlsStream<S>>>> {
        if let State::Handshake(accept) = &mut self.0 {
            match ready!(Pin::new(&mut **accept).poll(context)) {
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.0 {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(&mut **stream).poll_flush(context),
            // Nothing was written yet: a flush must not wait for a client that is silent.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}
