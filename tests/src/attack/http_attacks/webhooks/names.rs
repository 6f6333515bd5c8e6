//! A name server whose answers change, and processes that ask it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Where it listens: an address of the loopback interface that nothing else uses.
const ADDRESS: &str = "127.53.10.1";
/// How long another run of the ladder may have the address.
const BIND_TIMEOUT: Duration = Duration::from_mins(1);
/// Length of the head of a message (RFC 1035, section 4.1.1).
const HEAD_BYTES: usize = 12;
/// The type of a question for an IPv4 address.
const TYPE_A: [u8; 2] = [0, 1];

/// What comes before the command line of a server that asks this name server: a mount namespace with another
/// `/etc/resolv.conf`, which is written to `file`.
///
/// # Errors
///
/// When the file cannot be written.
pub fn wrapper(file: &Path) -> Result<Vec<OsString>> {
    std::fs::write(file, format!("nameserver {ADDRESS}\n"))?;
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let words = ["unshare", "--mount", "--", "sh", "-c", script].map(OsString::from);
    Ok(words.into_iter().chain([file.into()]).collect())
}

/// The name server.
pub(super) struct Names {
    looks: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Names {
    /// Every name has the first of these addresses, then the second, then the first again.
    pub(super) async fn start(addresses: [[u8; 4]; 2]) -> Result<Self> {
        let started = Instant::now();
        let socket = loop {
            match UdpSocket::bind((ADDRESS, 53)).await {
                Ok(socket) => break socket,
                Err(_) if started.elapsed() < BIND_TIMEOUT => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error).context("cannot be a name server"),
            }
        };
        let looks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looks);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let mut next = || addresses[count.fetch_add(1, Ordering::Relaxed) % 2];
                if let Some(answer) = answer(&buffer[..length], &mut next) {
                    socket.send_to(&answer, client).await.ok(); // it asks again
                }
            }
        });
        Ok(Self { looks, task })
    }

    /// How often an address was asked for.
    pub(super) fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }
}

/// The answer to a message with one question: an address for type A, nothing for other types.
fn answer(query: &[u8], next: &mut dyn FnMut() -> [u8; 4]) -> Option<Vec<u8>> {
    let labels = query.get(HEAD_BYTES..)?;
    let name = labels.iter().position(|byte| *byte == 0)? + 1;
    let question = labels.get(..name + 4)?;
    let is_address = question[name..name + 2] == TYPE_A;
    let mut message = query[..2].to_vec();
    // A response without an error, with recursion; one question, and one answer or none.
    message.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    message.extend(question);
    if is_address {
        // The name of the question; A, IN, valid for 0 seconds, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        message.extend(next());
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_and_other_types_are_not() {
        let query = |kind: u8| {
            let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend(b"\x01a\x04test\x00");
            query.extend([0, kind, 0, 1]);
            query
        };
        let mut next = || [127, 0, 0, 2];
        let one = answer(&query(1), &mut next).unwrap();
        assert_eq!(
            (&one[..2], one[7], &one[one.len() - 4..]),
            (&[7, 9][..], 1, &[127, 0, 0, 2][..])
        );
        let none = answer(&query(28), &mut next).unwrap();
        assert_eq!((none[7], none.len()), (0, query(28).len()));
        for length in 0..query(1).len() {
            assert!(answer(&query(1)[..length], &mut next).is_none(), "{length}");
        }
    }
}
