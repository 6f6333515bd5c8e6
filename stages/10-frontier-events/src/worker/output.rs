//! Output on its way to the API: in its order, one request at a time, and never more than the limits of the run.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::Stream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::client::until_answered;
use crate::fleet::wire::{MAX_CHUNK_BYTES, MAX_PIECES, OutputRequest, Piece};

/// Output of one run that the API has not confirmed. What is in it is bounded by the run's `output_bytes`.
#[derive(Default)]
pub(super) struct PendingOutput {
    state: Mutex<State>,
    /// Notified after each change. The sender looks before it waits, and a permit stays until then.
    changed: Notify,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// The program has ended: there will be no more.
    is_ended: bool,
}

impl PendingOutput {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was read. Small pieces of one stream become one.
    pub(super) fn push(&self, stream: Stream, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        let mut at = offset;
        for part in bytes.chunks(MAX_CHUNK_BYTES) {
            match state.pieces.back_mut() {
                // The first may be on its way.
                Some(last)
                    if last.stream == stream
                        && last.base64.len() + part.len() <= MAX_CHUNK_BYTES =>
                {
                    last.base64.extend_from_slice(part);
                }
                _ => state.pieces.push_back(Piece { stream, offset: at, base64: part.to_vec() }),
            }
            at += part.len() as u64;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.state().is_ended = true;
        self.changed.notify_one();
    }

    /// What fits into one request. It stays until it is confirmed.
    pub(super) fn batch(&self) -> Vec<Piece> {
        let state = self.state();
        let mut room = MAX_CHUNK_BYTES;
        let fits = |piece: &&Piece| {
            let is_first = room == MAX_CHUNK_BYTES;
            room = room.saturating_sub(piece.base64.len());
            is_first || room > 0
        };
        state.pieces.iter().take(MAX_PIECES).take_while(fits).cloned().collect()
    }

    /// Removes what the API has confirmed. The last piece may have grown meanwhile.
    fn confirm(&self, batch: &[Piece]) {
        let mut state = self.state();
        for sent in batch {
            let Some(first) = state.pieces.front_mut() else { return };
            if first.base64.len() > sent.base64.len() {
                first.base64.drain(..sent.base64.len());
                first.offset += sent.base64.len() as u64;
            } else {
                state.pieces.pop_front();
            }
        }
    }

    /// Whether the program has ended, and one request has room for what is left.
    fn is_almost_done(&self) -> bool {
        let state = self.state();
        let bytes: usize = state.pieces.iter().map(|piece| piece.base64.len()).sum();
        state.is_ended && bytes <= MAX_CHUNK_BYTES && state.pieces.len() <= MAX_PIECES
    }

    /// Sends output as it comes, until the program has ended and the rest fits into the last request. False when the
    /// session is lost.
    pub(super) async fn send(&self, api: &dyn Api, token: &str, lost: &CancellationToken) -> bool {
        loop {
            if self.is_almost_done() {
                return true;
            }
            let pieces = self.batch();
            if pieces.is_empty() {
                if lost.run_until_cancelled(self.changed.notified()).await.is_none() {
                    return false;
                }
                continue;
            }
            let request = OutputRequest { token: token.to_owned(), pieces };
            match until_answered(lost, || api.output(&request)).await {
                Some(Ok(())) => self.confirm(&request.pieces),
                Some(Err(error)) => {
                    tracing::warn!(%error, "output was refused");
                    return false;
                }
                None => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| String::from_utf8_lossy(&piece.base64).into_owned()).collect()
    }

    #[test]
    fn what_was_confirmed_is_not_sent_again_and_what_came_meanwhile_is() {
        let pending = PendingOutput::default();
        pending.push(Stream::Stdout, 0, b"ab");
        pending.push(Stream::Stdout, 2, b"cd");
        let first = pending.batch();
        assert_eq!((first.len(), text(&first).as_str()), (1, "abcd"));
        pending.push(Stream::Stdout, 4, b"ef");
        pending.push(Stream::Stderr, 0, b"x");
        pending.push(Stream::Stdout, 6, b"g");
        pending.confirm(&first);
        let rest = pending.batch();
        assert_eq!(text(&rest), "efxg");
        assert_eq!(rest.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [4, 0, 6]);
        pending.confirm(&rest);
        assert!(pending.batch().is_empty() && !pending.is_almost_done());
        pending.end();
        assert!(pending.is_almost_done());
    }

    #[test]
    fn a_request_is_bounded_and_loses_nothing() {
        let pending = PendingOutput::default();
        let all: Vec<u8> =
            (0..MAX_CHUNK_BYTES * 3 + 17).map(|n| u8::try_from(n % 251).unwrap()).collect();
        pending.push(Stream::Stdout, 0, &all);
        pending.end();
        let (mut received, mut requests) = (Vec::new(), 0);
        while !pending.batch().is_empty() {
            let batch = pending.batch();
            let bytes: usize = batch.iter().map(|piece| piece.base64.len()).sum();
            assert!(bytes <= MAX_CHUNK_BYTES, "{bytes}");
            for piece in &batch {
                assert_eq!(piece.offset, received.len() as u64);
                received.extend_from_slice(&piece.base64);
            }
            pending.confirm(&batch);
            requests += 1;
        }
        assert_eq!((received, requests), (all, 4));
    }
}
