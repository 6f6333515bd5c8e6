//! The standard error of a process, collected while it runs.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How much of the end of a stream is retained.
const MAX_LOG_BYTES: usize = 256 << 10;

/// The last bytes of a stream. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Reads `stream` to its end, on a thread of its own.
    pub(crate) fn collect(&self, mut stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                log.push(&chunk[..length]);
            }
        })
    }

    fn push(&self, chunk: &[u8]) {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(chunk);
        let surplus = bytes.len().saturating_sub(MAX_LOG_BYTES);
        bytes.drain(..surplus);
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_retains_the_end() {
        let log = Log::default();
        log.push(&vec![b'a'; MAX_LOG_BYTES]);
        log.push(b"the end");
        assert_eq!(log.text().len(), MAX_LOG_BYTES);
        assert!(log.text().ends_with("aathe end"));
    }
}
