//! Reads the container's stdout and stderr streams.
//!
//! The program's output goes into the buffer as soon as it is read; everything else becomes an event.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::{OutputBuffer, Stream};

use crate::init_message::{Chunk, InitMessage, InitMessageDecoder, Nonce};

/// Something that the engine has to react to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The program starts now.
    Started,
    /// The program has ended, and all of its output is in the buffer.
    Ended(InitMessage),
    /// The program wrote more than its limit.
    OutputLimit,
    /// The container's streams have ended without a message of init about the program's end.
    Closed,
    /// The connection to the daemon is lost.
    ConnectionLost(String),
}

/// Both output streams of one container.
pub(crate) struct Stdio<'a> {
    stream: BoxStream<'static, Result<LogOutput, Error>>,
    buffer: &'a OutputBuffer,
    stdout: InitMessageDecoder,
    stderr: InitMessageDecoder,
    stdout_ended: bool,
    /// How the program ended, once stderr has ended.
    exit: Option<InitMessage>,
    events: VecDeque<Event>,
}

impl<'a> Stdio<'a> {
    pub(crate) fn new(
        stream: BoxStream<'static, Result<LogOutput, Error>>,
        buffer: &'a OutputBuffer,
        nonce: &Nonce,
    ) -> Self {
        let decoder = || InitMessageDecoder::new(nonce.clone());
        Self {
            stream,
            buffer,
            stdout: decoder(),
            stderr: decoder(),
            stdout_ended: false,
            exit: None,
            events: VecDeque::new(),
        }
    }

    /// The next event. Cancel safe: a chunk is either not read or processed completely.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.stream.next().await {
                Some(Ok(LogOutput::StdOut { message })) => self.take(Stream::Stdout, &message),
                Some(Ok(LogOutput::StdErr { message })) => self.take(Stream::Stderr, &message),
                // An incomplete frame, as the end of a lost connection.
                Some(Ok(_)) => {}
                Some(Err(error)) => self.events.push_back(Event::ConnectionLost(error.to_string())),
                None => self.close(),
            }
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let (decoder, ended) = match stream {
            Stream::Stdout => (&mut self.stdout, self.stdout_ended),
            Stream::Stderr => (&mut self.stderr, self.exit.is_some()),
        };
        if ended {
            return; // init kills the program before its last message: this is not the program's
        }
        let mut messages = Vec::new();
        decoder.push(bytes, |chunk| match chunk {
            Chunk::Output(output) => {
                if self.buffer.push(stream, output).is_err() {
                    self.events.push_back(Event::OutputLimit);
                }
            }
            Chunk::InitMessage(message) => messages.push(message),
        });
        for message in messages {
            self.handle(stream, message);
        }
    }

    fn handle(&mut self, stream: Stream, message: InitMessage) {
        match (stream, message) {
            (Stream::Stderr, InitMessage::Started) => self.events.push_back(Event::Started),
            (Stream::Stdout, InitMessage::End) => self.stdout_ended = true,
            (_, message @ (InitMessage::Refused(_) | InitMessage::Malformed(_))) => {
                self.events.push_back(Event::Ended(message));
            }
            (Stream::Stderr, message) => self.exit = Some(message),
            (Stream::Stdout, message) => {
                let malformed = InitMessage::Malformed(format!("{message} on standard output"));
                self.events.push_back(Event::Ended(malformed));
            }
        }
        // Docker does not keep the order between the streams: the program has ended, and its output
        // is complete, when both have ended.
        if self.stdout_ended
            && let Some(exit) = &self.exit
        {
            self.events.push_back(Event::Ended(exit.clone()));
        }
    }

    fn close(&mut self) {
        for (stream, decoder) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            decoder.finish(|chunk| {
                if let Chunk::Output(output) = chunk {
                    // Reaching the limit has no effect any more: this is the last output.
                    self.buffer.push(stream, output).ok();
                }
            });
        }
        self.events.push_back(Event::Closed);
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
        let mut stdio = Stdio::new(frames, &buffer, nonce);
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

    #[tokio::test]
    async fn reaching_the_limit_is_an_event_at_once() {
        let flood = vec![(Stream::Stderr, "x".repeat(11))];
        let (seen, buffer) = events(flood, &Nonce::random()).await;
        assert_eq!(seen, [Event::OutputLimit, Event::Closed]);
        assert_eq!(buffer.output(Stream::Stderr).text.len(), 10);
    }
}
