//! The task of a channel: reads frames and writes frames, and waits for no consumer.

use std::io;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::error::ChannelError;
use super::state::Shared;
use crate::exec_protocol::frame::SupervisorFrame;

/// How much is read from the socket at once.
const READ_BYTES: usize = 64 << 10;

/// Serves the socket until the channel is closed.
pub(super) async fn run(shared: Arc<Shared>, socket: UnixStream) {
    let Err(reason) = serve(&shared, &socket).await;
    shared.close(reason);
}

async fn serve(
    shared: &Shared,
    socket: &UnixStream,
) -> Result<std::convert::Infallible, ChannelError> {
    let mut incoming = Vec::new();
    loop {
        let interest = match shared.lock().outgoing.unsent() {
            [] => Interest::READABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = tokio::select! {
            ready = socket.ready(interest) => {
                ready.map_err(|error| ChannelError::Io(Arc::new(error)))?
            }
            () = shared.until_outgoing() => continue,
        };
        if ready.is_writable() {
            write(shared, socket);
        }
        if ready.is_readable() {
            read(socket, &mut incoming)?;
            receive(shared, &mut incoming)?;
        }
        shared.progressed();
        // Nothing here counts as work for the scheduler, and a socket that is always readable would keep the thread: as
        // many sandboxes as threads, each with a supervisor that writes without end, would stop the process.
        tokio::task::yield_now().await;
    }
}

fn write(shared: &Shared, socket: &UnixStream) {
    let mut state = shared.lock();
    while !state.outgoing.unsent().is_empty() {
        match socket.try_write(state.outgoing.unsent()) {
            Ok(length) => state.outgoing.advance(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // The sandbox is gone. What it sent before is still to be read, and then the end.
            Err(_) => {
                let unsent = state.outgoing.unsent().len();
                state.outgoing.advance(unsent);
            }
        }
    }
}

fn read(socket: &UnixStream, incoming: &mut Vec<u8>) -> Result<(), ChannelError> {
    incoming.reserve(READ_BYTES);
    match socket.try_read_buf(incoming) {
        Ok(0) => Err(ChannelError::Closed),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ChannelError::Closed),
        Err(error) => Err(ChannelError::Io(Arc::new(error))),
    }
}

/// Takes the frames that are complete.
fn receive(shared: &Shared, incoming: &mut Vec<u8>) -> Result<(), ChannelError> {
    let mut taken = 0;
    while let Some((frame, length)) = SupervisorFrame::decode(&incoming[taken..])? {
        taken += length;
        shared.lock().receive(frame)?;
    }
    incoming.drain(..taken);
    Ok(())
}
