//! What comes out of a container, as events: output goes into the buffer while it is read, and what
//! remains is what the engine has to know.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::{OutputBuffer, Stream};

use crate::report::{Chunk, InitMessage, InitMessageDecoder, Nonce};

/// Something that the engine has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The program starts now.
    Began,
    /// The program has ended, and all it wrote is in the buffer.
    Ended(InitMessage),
    /// It wrote more than is kept.
    Full,
    /// The container's streams have ended without a report.
    Closed,
    /// The connection to the daemon is broken.
    Broken(String),
}

/// Both output streams of one container.
pub(crate) struct Stdio<'a> {
    stream: BoxStream<'static, Result<LogOutput, Error>>,
    buffer: &'a OutputBuffer,
    stdout: InitMessageDecoder,
    stderr: InitMessageDecoder,
    stdout_ended: bool,
    report: Option<InitMessage>,
    events: VecDeque<Event>,
}

impl<'a> Stdio<'a> {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<LogOutput, Error>>,
        buffer: &'a OutputBuffer,
        secret: &Nonce,
    ) -> Self {
        let splitter = || InitMessageDecoder::new(secret.clone());
        Self {
            stream,
            buffer,
            stdout: splitter(),
            stderr: splitter(),
            stdout_ended: false,
            report: None,
            events: VecDeque::new(),
        }
    }

    /// The next event. Cancel safe: a chunk is either not taken or taken altogether.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.stream.next().await {
                Some(Ok(LogOutput::StdOut { message })) => self.take(Stream::Stdout, &message),
                Some(Ok(LogOutput::StdErr { message })) => self.take(Stream::Stderr, &message),
                // A torn frame, which only a torn connection leaves behind.
                Some(Ok(_)) => {}
                Some(Err(error)) => self.events.push_back(Event::Broken(error.to_string())),
                None => self.close(),
            }
        }
    }

    fn take(&mut self, stream: Stream, chunk: &[u8]) {
        let splitter = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let ended = match stream {
            Stream::Stdout => self.stdout_ended,
            Stream::Stderr => self.report.is_some(),
        };
        if ended {
            return; // nothing that writes after init's last line is the program
        }
        let mut reports = Vec::new();
        splitter.push(chunk, |piece| match piece {
            Chunk::Output(bytes) => {
                if self.buffer.push(stream, bytes).is_err() {
                    self.events.push_back(Event::Full);
                }
            }
            Chunk::InitMessage(report) => reports.push(report),
        });
        for report in reports {
            self.note(stream, report);
        }
    }

    fn note(&mut self, stream: Stream, report: InitMessage) {
        match (stream, report) {
            (Stream::Stderr, InitMessage::Began) => self.events.push_back(Event::Began),
            (Stream::Stdout, InitMessage::End) => self.stdout_ended = true,
            (_, report @ (InitMessage::Refused(_) | InitMessage::Malformed(_))) => {
                self.events.push_back(Event::Ended(report));
            }
            (Stream::Stderr, report) => self.report = Some(report),
            (Stream::Stdout, report) => {
                let nonsense = InitMessage::Malformed(format!("{report:?} on standard output"));
                self.events.push_back(Event::Ended(nonsense));
            }
        }
        // The two streams overtake each other; the program has ended when both have.
        if self.stdout_ended
            && let Some(report) = &self.report
        {
            self.events.push_back(Event::Ended(report.clone()));
        }
    }

    fn close(&mut self) {
        for (stream, splitter) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            splitter.finish(|piece| {
                if let Chunk::Output(bytes) = piece {
                    // Whether it is full no longer matters: nothing more will come.
                    let _full = self.buffer.push(stream, bytes);
                }
            });
        }
        self.events.push_back(Event::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(chunks: Vec<(Stream, String)>, secret: &Nonce) -> (Vec<Event>, OutputBuffer) {
        let buffer = OutputBuffer::new(10, Box::new(|_, _, _| {}));
        let frames = chunks.into_iter().map(|(stream, text)| {
            let message = text.into();
            Ok(match stream {
                Stream::Stdout => LogOutput::StdOut { message },
                Stream::Stderr => LogOutput::StdErr { message },
            })
        });
        let frames = futures_util::stream::iter(frames.collect::<Vec<_>>()).boxed();
        let mut stdio = Stdio::new(frames, &buffer, secret);
        let mut seen = Vec::new();
        while seen.last() != Some(&Event::Closed) {
            seen.push(stdio.next().await);
        }
        drop(stdio);
        (seen, buffer)
    }

    #[tokio::test]
    async fn a_program_has_ended_when_both_streams_have() {
        let secret = Nonce::random();
        let line =
            |words: &str| format!("{} {words}\n", String::from_utf8_lossy(secret.as_bytes()));
        let ended = Event::Ended(InitMessage::Exited(3));
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let late = vec![
            (err, line("begin")),
            (err, line("exit 3")),
            (out, "late".to_owned()),
            (out, line("end")),
            (err, "forged".to_owned()),
        ];
        let (seen, buffer) = events(late, &secret).await;
        assert_eq!(seen, [Event::Began, ended, Event::Closed]);
        assert_eq!(buffer.output(out).text, "late");
        assert_eq!(buffer.output(err).text, "");

        let (seen, _) = events(vec![(err, line("begin")), (err, line("exit 3"))], &secret).await;
        assert_eq!(seen, [Event::Began, Event::Closed], "standard output may still come");
    }

    #[tokio::test]
    async fn what_is_too_much_is_told_at_once() {
        let flood = vec![(Stream::Stderr, "x".repeat(11))];
        let (seen, buffer) = events(flood, &Nonce::random()).await;
        assert_eq!(seen, [Event::Full, Event::Closed]);
        assert_eq!(buffer.output(Stream::Stderr).text.len(), 10);
    }
}
