//! The socket pairs between the two processes: one for frames, and one over which the engine host sends the sockets of
//! kept sandboxes.
//!
//! The second is a pair of its own, because a descriptor belongs to the bytes that it is sent with, and what reads
//! frames in pieces would lose it. The API process gets its end of the second through the first, before the first
//! frame: so it need not be open in any process that the engine host starts meanwhile.
//!
//! Attack: a compromised API process sends descriptors, to fill the engine host's table -> the engine host never reads
//! from the second pair, and receives no descriptors on the first. Attack: it stops reading -> a send has a time-out,
//! and the sandbox is removed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use uuid::Uuid;

/// How long the API process may take to receive a descriptor.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The length of the id that a descriptor is sent with.
const ID_BYTES: usize = 16;

/// One end of both pairs.
pub struct ApiSocket {
    pub(super) frames: UnixStream,
    /// None without kept sandboxes.
    pub(super) descriptors: Option<UnixStream>,
}

impl From<UnixStream> for ApiSocket {
    fn from(frames: UnixStream) -> Self {
        Self { frames, descriptors: None }
    }
}

impl ApiSocket {
    /// Both ends, for one process.
    ///
    /// # Errors
    ///
    /// When the system has no more descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let ours = Self::offer(ours)?;
        Ok((ours, Self::accept(theirs)?))
    }

    /// The socket of frames, and that of descriptors.
    pub fn into_parts(self) -> (UnixStream, Option<UnixStream>) {
        (self.frames, self.descriptors)
    }

    /// The engine host's end. The other one's part for descriptors is in the socket, and waits there.
    pub(super) fn offer(frames: StdUnixStream) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        send(frames.as_fd(), &[0], theirs.as_fd())?;
        let descriptors = Some(tokio_socket(ours)?);
        Ok(Self { frames: tokio_socket(frames)?, descriptors })
    }

    /// The API process's end.
    pub(super) fn accept(frames: StdUnixStream) -> io::Result<Self> {
        frames.local_addr()?; // an error unless it is a Unix socket
        let mut byte = [0];
        let (1, Some(theirs)) = receive(frames.as_fd(), &mut byte)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let descriptors = Some(tokio_socket(theirs.into())?);
        Ok(Self { frames: tokio_socket(frames)?, descriptors })
    }
}

fn tokio_socket(socket: StdUnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Sends the socket of a sandbox.
pub(super) async fn send_descriptor(
    socket: &UnixStream,
    id: Uuid,
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let sending =
        socket.async_io(Interest::WRITABLE, || send(socket.as_fd(), id.as_bytes(), descriptor));
    tokio::time::timeout(SEND_TIMEOUT, sending).await?
}

/// The next sandbox's id, and its socket unless this process had no free descriptor for it; None at the end of the
/// connection.
pub(super) async fn receive_descriptor(
    socket: &UnixStream,
) -> io::Result<Option<(Uuid, io::Result<UnixStream>)>> {
    let mut id = [0; ID_BYTES];
    let received = socket.async_io(Interest::READABLE, || receive(socket.as_fd(), &mut id)).await?;
    let (ID_BYTES, descriptor) = received else { return Ok(None) };
    let socket = match descriptor {
        Some(descriptor) => tokio_socket(StdUnixStream::from(descriptor)),
        // Linux delivers the bytes of such a message all the same.
        None => Err(Errno::MFILE.into()),
    };
    Ok(Some((Uuid::from_bytes(id), socket)))
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("a descriptor does not fit into its message"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The number of `bytes` of a message, 0 at the end, and its descriptor, if it has one.
fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((received.bytes, descriptor))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_socket_arrives_with_its_id_and_the_frames_with_theirs() {
        let (mut host, mut api) = ApiSocket::pair().unwrap();
        let (sender, receiver) = (host.descriptors.unwrap(), api.descriptors.unwrap());
        host.frames.write_all(b"frame").await.unwrap();
        for number in 1..3 {
            let (mut kept, sent) = UnixStream::pair().unwrap();
            let id = Uuid::from_u128(number);
            send_descriptor(&sender, id, sent.as_fd()).await.unwrap();
            drop(sent);
            let (arrived, socket) = receive_descriptor(&receiver).await.unwrap().unwrap();
            assert_eq!(arrived, id);
            let mut socket = socket.unwrap();
            socket.write_all(b"x").await.unwrap();
            assert_eq!(kept.read_u8().await.unwrap(), b'x');
        }
        // What is left of a message when the receiver has no free descriptor.
        sender.try_write(Uuid::from_u128(3).as_bytes()).unwrap();
        let (arrived, socket) = receive_descriptor(&receiver).await.unwrap().unwrap();
        assert_eq!(arrived, Uuid::from_u128(3));
        socket.unwrap_err();
        let mut frame = [0; 5];
        api.frames.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"frame");
        drop(sender);
        assert!(receive_descriptor(&receiver).await.unwrap().is_none());
    }
}
