//! One file tool at work in a sandbox: its input or output is a body, its error a problem.
//!
//! No process of the host opens a path of a sandbox. A program inside does, as the sandbox's user, and the bytes go
//! over the channel like those of any other execution.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use shared::Stream;
use shared::http::{Body, full};
use stage_06_advanced::{
    Execution, ExecutionEvent, ExecutionExit, FileError, FileErrorKind, FileTool, SandboxChannel,
    SandboxCommand, StartError, StartFailed, StartFailedKind, errno_name,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::lease::Use;
use super::problem::Failure;
use crate::limits::Permit;

/// How long a tool may do nothing, while the client is ready.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a client has for one body.
const BODY_TIMEOUT: Duration = Duration::from_mins(30);
/// Output that is read before there is a response: a short one has a length, and an error a status.
const MAX_AHEAD_BYTES: usize = 128 << 10;
/// Standard error of a tool.
const MAX_ERROR_BYTES: usize = 128 << 10;

/// A tool that runs.
pub(super) struct Transfer {
    running: Execution,
    stderr: Vec<u8>,
    path: String,
    /// As long as this lives.
    _usage: Use,
    _permit: Permit,
}

/// What comes next.
enum Next {
    Output(Bytes),
    End,
}

impl Transfer {
    /// Starts a tool for `path`.
    pub(super) async fn start(
        (usage, channel): (Use, Arc<SandboxChannel>),
        permit: Permit,
        tool: &FileTool,
        (path, user): (String, Option<String>),
    ) -> Result<Self, Failure> {
        let command = SandboxCommand::file_tool(tool).user(user);
        let started = timeout(SILENCE_TIMEOUT, channel.start(&command)).await;
        let running = started.map_err(|_| silent())?.map_err(|error| not_requested(&error))?;
        Ok(Self { running, stderr: Vec::new(), path, _usage: usage, _permit: permit })
    }

    /// The next output. An error of the tool is one here.
    async fn next(&mut self) -> Result<Next, Failure> {
        timeout(SILENCE_TIMEOUT, self.next_without_limit()).await.map_err(|_| silent())?
    }

    /// Waits for the end of a tool that writes nothing.
    async fn end(&mut self) -> Result<(), Failure> {
        while let Next::Output(_) = self.next_without_limit().await? {}
        Ok(())
    }

    async fn next_without_limit(&mut self) -> Result<Next, Failure> {
        loop {
            match self.running.next().await {
                Ok(Some(ExecutionEvent::Started { .. })) => {}
                Ok(Some(ExecutionEvent::Output { stream: Stream::Stdout, bytes })) => {
                    return Ok(Next::Output(bytes.into()));
                }
                Ok(Some(ExecutionEvent::Output { stream: Stream::Stderr, bytes })) => {
                    let room = MAX_ERROR_BYTES.saturating_sub(self.stderr.len());
                    self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Ok(Some(ExecutionEvent::StartFailed(failed))) => return Err(not_started(failed)),
                Ok(Some(ExecutionEvent::Ended(ExecutionExit::Code(0)))) => return Ok(Next::End),
                Ok(Some(ExecutionEvent::Ended(_))) => return Err(self.failed()),
                Ok(None) | Err(_) => return Err(Failure::gone(None)),
            }
        }
    }

    /// The size of a file, which is announced before its content.
    fn size(&self) -> Option<u64> {
        #[derive(serde::Deserialize)]
        struct Announced {
            size: u64,
        }
        let line = self.stderr.split(|byte| *byte == b'\n').next()?;
        serde_json::from_slice(line).ok().map(|Announced { size }| size)
    }

    /// What the tool has reported. The sandbox wrote it.
    fn failed(&self) -> Failure {
        // Its last line: the one before it may be the size.
        let end = self.stderr.strip_suffix(b"\n").unwrap_or_default();
        let last = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if let Some(error) = FileError::parse(&self.stderr[last..]) {
            return of_file(&error, &self.path);
        }
        let detail = "the sandbox did not end the transfer as it should";
        Failure::new(StatusCode::BAD_GATEWAY, "other", detail).at_path(&self.path)
    }

    // ANCHOR: download
    /// The output as a body, and its length if that is known. One that fails in the middle is cut off, so that the client
    /// sees it.
    pub(super) async fn download(mut self) -> Result<(Body, Option<u64>), Failure> {
        let mut ahead = Vec::new();
        while ahead.len() <= MAX_AHEAD_BYTES {
            match self.next().await? {
                Next::Output(bytes) => ahead.extend_from_slice(&bytes),
                Next::End => return Ok((full(ahead), None)),
            }
        }
        let (deadline, size) = (Instant::now() + BODY_TIMEOUT, self.size());
        let state = (Some(Bytes::from(ahead)), self);
        let frames = stream::try_unfold(state, move |(ahead, mut transfer)| async move {
            if let Some(ahead) = ahead {
                return Ok(Some((Frame::data(ahead), (None, transfer))));
            }
            match timeout_at(deadline, transfer.next()).await {
                Ok(Ok(Next::Output(bytes))) => Ok(Some((Frame::data(bytes), (None, transfer)))),
                Ok(Ok(Next::End)) => Ok(None),
                Ok(Err(_)) | Err(_) => Err(shared::BoxError::from("the transfer did not end")),
            }
        });
        Ok((StreamBody::new(frames).boxed_unsync(), size))
    }
    // ANCHOR_END: download

    // ANCHOR: upload
    /// Writes a body to the tool. Returns how many bytes it had. A body that is cut off ends the tool.
    pub(super) async fn upload(mut self, mut body: Body) -> Result<u64, Failure> {
        let mut input = self.running.input();
        let feed = async {
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| {
                    let detail = "the body was cut off, or is too large";
                    Failure::new(StatusCode::BAD_REQUEST, "cut", detail)
                })?;
                let Ok(data) = frame.into_data() else { continue };
                length += data.len() as u64;
                // What a tool that has ended does not take is read, for the client to read the answer.
                input.write(&data).await.ok();
            }
            input.close();
            Ok::<_, Failure>(length)
        };
        // A tool that has failed ends before its input does.
        let (mut feed, mut end) = (pin!(timeout(BODY_TIMEOUT, feed)), pin!(self.end()));
        let mut ended = None;
        let length = loop {
            tokio::select! {
                length = &mut feed => break length.map_err(|_| silent())??,
                end = &mut end, if ended.is_none() => ended = Some(end),
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => timeout(SILENCE_TIMEOUT, end).await.map_err(|_| silent())?,
        };
        ended.map(|()| length)
    }
    // ANCHOR_END: upload
}

/// What is read-only, and what is not.
const READ_ONLY: &str = "the file system is read-only here: with the engines of Docker, /tmp, /var/tmp and the home can be \
                         written to";

/// The problem of an error of a file.
fn of_file(error: &FileError, path: &str) -> Failure {
    let (status, kind, detail) = match error.kind {
        FileErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
        }
        FileErrorKind::Permission => {
            (StatusCode::FORBIDDEN, "permission", "the user may not do this at this path")
        }
        FileErrorKind::IsDirectory => {
            (StatusCode::CONFLICT, "is_directory", "there is a directory at this path")
        }
        FileErrorKind::NotRegular => {
            (StatusCode::CONFLICT, "not_regular", "what is at this path is of another kind")
        }
        FileErrorKind::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the file is larger than max_bytes")
        }
        FileErrorKind::Other => {
            let name = errno_name(error.errno);
            let name = name.unwrap_or_else(|| "an error without a number".to_owned());
            if name == "EROFS" {
                let failure = Failure::new(StatusCode::FORBIDDEN, "read_only", READ_ONLY);
                return failure.at_path(path);
            }
            return Failure::new(StatusCode::CONFLICT, "other", name).at_path(path);
        }
    };
    Failure::new(status, kind, detail).at_path(path)
}

fn not_started(failed: StartFailed) -> Failure {
    let (kind, detail) = match failed.kind {
        StartFailedKind::UserUnknown => ("user_unknown", "the sandbox has no such user"),
        StartFailedKind::UserUnsupported => (
            "user_unsupported",
            "the sandbox executes nothing as this user: where its engine shares the \
              kernel of the host there is no root, and one user alone",
        ),
        _ => {
            let detail = "the sandbox has no processes, descriptors or memory left for it";
            let problem = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
            return problem.retry_after(1);
        }
    };
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail)
}

fn not_requested(error: &StartError) -> Failure {
    match error {
        StartError::Channel(_) => Failure::gone(None),
        StartError::TooMany { .. } => {
            let detail = error.to_string();
            let problem = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_execs", detail);
            problem.retry_after(1)
        }
        _ => Failure::plain(StatusCode::BAD_REQUEST, "path and user cannot be used as they are"),
    }
}

fn silent() -> Failure {
    let detail = "the sandbox did not go on in time";
    Failure::new(StatusCode::GATEWAY_TIMEOUT, "silent", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_file_system_is_said_to_be_one() {
        let error = |errno| FileError { kind: FileErrorKind::Other, errno, path: String::new() };
        let problem = |failure| match failure {
            Failure::Detailed(problem) => serde_json::to_value(problem).unwrap(),
            Failure::Plain(problem) => panic!("{problem:?}"),
        };
        let read_only = problem(of_file(&error(30), "/etc/x"));
        assert_eq!((&read_only["kind"], &read_only["status"]), (&"read_only".into(), &403.into()));
        let detail = read_only["detail"].as_str().unwrap();
        assert!(detail.contains("/var/tmp") && detail.ends_with(": /etc/x"), "{detail}");
        let full = problem(of_file(&error(28), "x"));
        assert_eq!((&full["kind"], &full["detail"]), (&"other".into(), &"ENOSPC: x".into()));
    }
}
