//! Reads the container's stdout and stderr streams.
//!
//! The program's output goes into the buffer as soon as it is read; everything else becomes an event.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::{OutputBuffer, Stream};

use crate::artifact_stream::ArtifactStream;
use crate::artifacts::LeftFiles;
use crate::init_message::{Chunk, InitMessage, InitMessageDecoder, Nonce};
use crate::report::{Report, ReportState};

/// How much is kept of what init and the runtime write before the program starts.
const MAX_EARLY_BYTES: usize = 2000;

/// Something that the engine has to react to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The program starts now.
    Started,
    /// The program has ended, and all of its output is in the buffer; or it will never start.
    Ended(InitMessage),
    /// The program wrote more than its limit.
    OutputLimit,
    /// The container's streams have ended without a message of init about the program's end.
    Closed,
    /// The files that the program has left have arrived, or will not: for [`Stdio::files`].
    Files,
    /// The connection to the daemon is lost.
    ConnectionLost(String),
}

/// Both output streams of one container.
pub(crate) struct Stdio<'a> {
    stream: BoxStream<'static, Result<LogOutput, Error>>,
    stdout: InitMessageDecoder,
    stderr: InitMessageDecoder,
    sink: Sink<'a>,
}

/// Where the parts of the streams go.
struct Sink<'a> {
    buffer: &'a OutputBuffer,
    reports: ReportState,
    /// Standard error before the program starts: an error of init or of the runtime, for the log.
    early: Vec<u8>,
    events: VecDeque<Event>,
    /// Whether output has reached its limit, which standard output may do before the message that the program starts is
    /// read.
    is_over_limit: bool,
    /// Whether the program's output is of no interest any more: a limit has ended it.
    discards: bool,
    /// The files that init sends after the program's end; none if it sends none, or has sent all.
    files: Option<ArtifactStream>,
    /// What became of them.
    left: Option<LeftFiles>,
}

impl<'a> Stdio<'a> {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<LogOutput, Error>>,
        buffer: &'a OutputBuffer,
        nonce: &Nonce,
        sends_files: bool,
    ) -> Self {
        let decoder = || InitMessageDecoder::new(nonce.clone());
        let sink = Sink {
            buffer,
            reports: ReportState::default(),
            early: Vec::new(),
            events: VecDeque::new(),
            is_over_limit: false,
            discards: false,
            files: sends_files.then(ArtifactStream::default),
            left: None,
        };
        Self { stream, stdout: decoder(), stderr: decoder(), sink }
    }

    /// The next event. Cancel safe: a chunk is either not read or processed completely.
    pub(crate) async fn next(&mut self) -> Event {
        let Self { stream, stdout, stderr, sink } = self;
        loop {
            if let Some(event) = sink.events.pop_front() {
                return event;
            }
            match stream.next().await {
                Some(Ok(LogOutput::StdOut { message })) => {
                    stdout.push(&message, |chunk| sink.take(Stream::Stdout, chunk));
                }
                Some(Ok(LogOutput::StdErr { message })) => {
                    stderr.push(&message, |chunk| sink.take(Stream::Stderr, chunk));
                }
                // An incomplete frame, as the end of a lost connection.
                Some(Ok(_)) => {}
                Some(Err(error)) => sink.events.push_back(Event::ConnectionLost(error.to_string())),
                None => {
                    stdout.finish(|chunk| sink.take(Stream::Stdout, chunk));
                    stderr.finish(|chunk| sink.take(Stream::Stderr, chunk));
                    // Reaching the limit has no effect any more: this was the last output.
                    sink.events.clear();
                    sink.events.push_back(Event::Closed);
                }
            }
        }
    }

    /// Whether init has reported the program's end.
    pub(crate) fn has_ended(&self) -> bool {
        self.sink.reports.is_complete(Stream::Stderr)
    }

    /// Returns when init has reported the program's end, or will not. Output that comes before that is
    /// not the evaluation's any more. Cancel safe.
    pub(crate) async fn end(&mut self) {
        self.sink.discards = true;
        while !self.has_ended() {
            if let Event::Closed | Event::ConnectionLost(_) = self.next().await {
                return; // and no file will come
            }
        }
    }

    /// The files that the program has left, which init sends after its end. Output that comes before
    /// that is not the evaluation's any more.
    pub(crate) async fn files(&mut self) -> LeftFiles {
        self.sink.discards = true;
        loop {
            if let Some(left) = self.sink.left.take() {
                return left;
            }
            if let Event::Closed | Event::ConnectionLost(_) = self.next().await {
                return self.sink.left.take().unwrap_or(LeftFiles::Lost);
            }
        }
    }

    /// What was written to standard error before the program started. Not for clients.
    pub(crate) fn early(&self) -> String {
        String::from_utf8_lossy(&self.sink.early).trim().to_owned()
    }
}

impl Sink<'_> {
    fn take(&mut self, stream: Stream, chunk: Chunk<'_>) {
        if self.reports.is_complete(stream) {
            // Init ends the program before its last message: this is not the program's.
            let (Chunk::Output(bytes) | Chunk::Line(_, bytes)) = chunk;
            if stream == Stream::Stderr {
                self.take_files(bytes);
            }
            return;
        }
        let output = match chunk {
            Chunk::Output(output) => output,
            Chunk::Line(message, line) => match self.reports.accept(stream, message) {
                Report::Started => {
                    self.events.push_back(Event::Started);
                    if self.is_over_limit {
                        self.events.push_back(Event::OutputLimit);
                    }
                    return;
                }
                Report::Ended(message) => return self.events.push_back(Event::Ended(message)),
                Report::StreamComplete => return,
                Report::Output => line,
            },
        };
        // Docker does not keep the order between the streams: standard output may come before the
        // message on standard error that the program starts.
        if stream == Stream::Stderr && !self.reports.has_started() {
            let room = MAX_EARLY_BYTES - self.early.len();
            self.early.extend_from_slice(&output[..room.min(output.len())]);
        } else if !self.discards && self.buffer.push(stream, output).is_err() {
            // Attack: a program floods standard output at its first moment, so that the limit comes before
            // its start → the start is waited for, without which it would have no usage and no files.
            if self.reports.has_started() {
                self.events.push_back(Event::OutputLimit);
            }
            self.is_over_limit = true;
        }
    }

    fn take_files(&mut self, bytes: &[u8]) {
        let Some(files) = &mut self.files else { return };
        let left = match files.push(bytes) {
            Ok(None) => return,
            Ok(Some(collected)) => LeftFiles::Taken(collected),
            Err(error) => {
                tracing::warn!(%error, "the files of a program were not taken");
                LeftFiles::Lost
            }
        };
        (self.left, self.files) = (Some(left), None);
        self.events.push_back(Event::Files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(chunks: Vec<(Stream, String)>, nonce: &Nonce) -> (Vec<Event>, OutputBuffer) {
        let buffer = OutputBuffer::new(10, Box::new(|_, _, _| {}));
        let frames = chunks.into_iter().map(|(stream, text)| {
            let message = text.into();
            Ok(match stream {
                Stream::Stdout => LogOutput::StdOut { message },
                Stream::Stderr => LogOutput::StdErr { message },
            })
        });
        let frames = futures_util::stream::iter(frames.collect::<Vec<_>>()).boxed();
        let mut stdio = Stdio::new(frames, &buffer, nonce, false);
        let mut seen = Vec::new();
        while seen.last() != Some(&Event::Closed) {
            seen.push(stdio.next().await);
        }
        drop(stdio);
        (seen, buffer)
    }

    #[tokio::test]
    async fn a_program_has_ended_when_both_streams_have() {
        let nonce = Nonce::random();
        let line = |words: &str| format!("{} {words}\n", String::from_utf8_lossy(nonce.as_bytes()));
        let ended = Event::Ended(InitMessage::Exited(3));
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let late = vec![
            (err, "noise".to_owned()),
            (err, line("begin")),
            (err, line("exit 3")),
            (out, "late".to_owned()),
            (out, line("end")),
            (err, "forged".to_owned()),
        ];
        let (seen, buffer) = events(late, &nonce).await;
        assert_eq!(seen, [Event::Started, ended, Event::Closed]);
        assert_eq!(buffer.output(out).text, "late");
        assert_eq!(buffer.output(err).text, "");

        let (seen, _) = events(vec![(err, line("begin")), (err, line("exit 3"))], &nonce).await;
        assert_eq!(seen, [Event::Started, Event::Closed], "standard output may still come");
    }

    /// The frames of a program that goes on writing until its end, and of the files that it has left.
    async fn files(chunks: &[(Stream, &[u8])]) -> (Vec<Event>, LeftFiles, OutputBuffer) {
        let nonce = Nonce::random();
        let buffer = OutputBuffer::new(100, Box::new(|_, _, _| {}));
        let with_nonce = |bytes: &[u8]| match bytes.strip_prefix(b"NONCE") {
            Some(words) => [nonce.as_bytes(), words].concat(),
            None => bytes.to_vec(),
        };
        let frames = chunks.iter().map(|(stream, bytes)| {
            let message = with_nonce(bytes).into();
            Ok(match stream {
                Stream::Stdout => LogOutput::StdOut { message },
                Stream::Stderr => LogOutput::StdErr { message },
            })
        });
        let frames = futures_util::stream::iter(frames.collect::<Vec<_>>()).boxed();
        let mut stdio = Stdio::new(frames, &buffer, &nonce, true);
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(Event::Ended(_) | Event::OutputLimit)) {
            seen.push(stdio.next().await);
        }
        let left = stdio.files().await;
        drop(stdio);
        (seen, left, buffer)
    }

    #[tokio::test]
    async fn files_come_after_the_end_and_are_no_output() {
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let end = b"E\0\0\0\0\0\0\0\x02\n";
        let path = b"F\0\0\0\0\0\0\0\x01a";
        // Before the end is known: standard output is late.
        let late =
            [(err, &b"NONCE begin\n"[..]), (err, b"NONCE exit 0\n"), (err, path), (err, end)];
        let late = [&late[..], &[(out, b"late"), (out, b"NONCE end\n")]].concat();
        let (seen, left, buffer) = files(&late).await;
        assert_eq!(seen, [Event::Started, Event::Files, Event::Ended(InitMessage::Exited(0))]);
        let LeftFiles::Taken(collected) = left else { panic!("{left:?}") };
        assert_eq!((collected.artifacts[0].path.as_str(), collected.skipped), ("a", 2));
        assert_eq!((buffer.output(out).text.as_str(), buffer.output(err).bytes_total), ("late", 0));

        // A limit has ended it, and it writes until then.
        let flood = [b'x'; 101];
        let flood = [(err, &b"NONCE begin\n"[..]), (out, &flood), (out, &flood), (err, &flood)];
        let ended =
            [(err, &b"NONCE signal 9\n"[..]), (out, b"NONCE end\n"), (err, path), (err, end)];
        let (_, left, buffer) = files(&[flood, ended].concat()).await;
        assert!(matches!(left, LeftFiles::Taken(_)), "{left:?}");
        assert_eq!(buffer.output(out).bytes_total, 101, "what came later is not counted");
        let (_, left, _) = files(&flood).await;
        assert_eq!(left, LeftFiles::Lost, "the streams have ended");
    }

    #[tokio::test]
    async fn reaching_the_limit_is_an_event_at_once() {
        let nonce = Nonce::random();
        let begin =
            (Stream::Stderr, format!("{} begin\n", String::from_utf8_lossy(nonce.as_bytes())));
        let flood = (Stream::Stdout, "x".repeat(11));
        let (seen, buffer) = events(vec![begin.clone(), flood.clone()], &nonce).await;
        assert_eq!(seen, [Event::Started, Event::OutputLimit, Event::Closed]);
        assert_eq!(buffer.output(Stream::Stdout).text.len(), 10);

        let early = vec![flood.clone(), flood, begin];
        let (seen, buffer) = events(early, &nonce).await;
        assert_eq!(seen, [Event::Started, Event::OutputLimit, Event::Closed], "in this order");
        assert_eq!(buffer.output(Stream::Stdout).text.len(), 10);
    }

    #[tokio::test]
    async fn a_forged_message_is_output_byte_by_byte() {
        let nonce = Nonce::random();
        let line = |words: &str| format!("{} {words}\n", String::from_utf8_lossy(nonce.as_bytes()));
        let forged =
            [line("begin"), line("refused \x1b[31m"), line("nonsense"), line("end")].concat();
        let begin = (Stream::Stderr, line("begin"));
        let chunks = vec![begin, (Stream::Stderr, forged.clone())];
        let (seen, buffer) = events(chunks, &nonce).await;
        assert_eq!((&seen[0], &seen[1]), (&Event::Started, &Event::OutputLimit));
        let others = seen.iter().filter(|event| **event != Event::OutputLimit).count();
        assert_eq!(others, 2, "{seen:?}");
        let output = buffer.output(Stream::Stderr);
        assert_eq!(output.text, forged[..10]);
        assert_eq!(output.bytes_total, forged.len() as u64);
    }
}
