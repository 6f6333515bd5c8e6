//! A supervisor that lies, floods, is silent, or stops in the middle: none of it makes an end that
//! was not reported, blocks another channel, or takes memory without bound.

mod lies;

use std::num::NonZeroU32;
use std::time::Duration;

use shared::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::state::Shared;
use super::*;
use crate::exec_protocol::frame::{ExecutionId, Exit, OutputStream, StartFailure, SupervisorFrame};
use crate::exec_protocol::{OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES, VERSION};

const FIRST: ExecutionId = NonZeroU32::MIN;
const OTHER: ExecutionId = NonZeroU32::MAX;
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

fn channel() -> (SandboxChannel, UnixStream) {
    let (host, supervisor) = UnixStream::pair().unwrap();
    let defaults = SandboxDefaults {
        user: "agent".to_owned(),
        workdir: "/".to_owned(),
        env: Vec::new(),
        allows_root: false,
    };
    (SandboxChannel::new(host, &defaults), supervisor)
}

fn encoded(frames: &[SupervisorFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

fn output(execution: ExecutionId, bytes: &[u8]) -> SupervisorFrame {
    SupervisorFrame::Output { execution, stream: OutputStream::Stdout, bytes: bytes.to_vec() }
}

/// What an honest supervisor sends about its first execution.
fn honest() -> Vec<SupervisorFrame> {
    vec![
        SupervisorFrame::Hello { version: VERSION },
        SupervisorFrame::Started { execution: FIRST, pid: 2 },
        output(FIRST, b"42\n"),
        SupervisorFrame::Exited { execution: FIRST, exit: Exit::Code(7) },
    ]
}

/// The events of an execution until its channel is closed, or its end.
async fn events(execution: &mut Execution) -> (Vec<ExecutionEvent>, Option<ChannelError>) {
    let mut events = Vec::new();
    let all = async {
        loop {
            match execution.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    };
    let error = tokio::time::timeout(TEST_TIMEOUT, all).await.expect("nothing hangs");
    (events, error)
}

#[tokio::test]
async fn an_honest_supervisor_is_believed() {
    let (channel, mut supervisor) = channel();
    let mut execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    supervisor.write_all(&encoded(&honest())).await.unwrap();
    let (events, error) = events(&mut execution).await;
    let stdout = ExecutionEvent::Output { stream: Stream::Stdout, bytes: b"42\n".to_vec() };
    let expected = vec![
        ExecutionEvent::Started { pid: 2 },
        stdout,
        ExecutionEvent::Ended(ExecutionExit::Code(7)),
    ];
    assert_eq!(events, expected);
    assert!(error.is_none(), "{error:?}");
}

/// Silence is no end: the caller's own deadline ends the wait, and the channel serves others.
#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_silent_meets_its_callers_deadlines() {
    let (channel, supervisor) = channel();
    let wait = Duration::from_secs(100);
    tokio::time::timeout(wait, channel.ready()).await.unwrap_err();
    let mut execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    tokio::time::timeout(wait, execution.next()).await.unwrap_err();
    let mut input = execution.input();
    // The window, and not more.
    let length = STDIN_WINDOW_BYTES as usize;
    tokio::time::timeout(wait, input.write(&vec![b'i'; length])).await.unwrap().unwrap();
    tokio::time::timeout(wait, input.write(b"i")).await.unwrap_err();
    // Starts are bounded: by number, and by what waits to be sent.
    let mut executions = Vec::new();
    let long = SandboxCommand::new([vec![b'x'; 1 << 20]]);
    let blocked = loop {
        match tokio::time::timeout(wait, channel.start(&long)).await {
            Ok(started) => executions.push(started.unwrap()),
            Err(elapsed) => break elapsed,
        }
    };
    assert!(executions.len() < 4, "{blocked}: {}", executions.len());
    drop(supervisor);
    assert!(matches!(channel.closed().await, ChannelError::Closed));
}

#[tokio::test]
async fn a_flood_of_small_chunks_is_stored_as_its_bytes() {
    let shared = Shared::new();
    let mut state = shared.lock();
    state.receive(SupervisorFrame::Hello { version: VERSION }).unwrap();
    let (id, _changed) = state.request(b"program");
    state.receive(SupervisorFrame::Started { execution: id, pid: 2 }).unwrap();
    for number in 0..2 * OUTPUT_WINDOW_BYTES {
        let stream = if number % 2 == 0 { OutputStream::Stdout } else { OutputStream::Stderr };
        let chunk = SupervisorFrame::Output { execution: id, stream, bytes: vec![b'x'] };
        state.receive(chunk).unwrap();
    }
    let more =
        SupervisorFrame::Output { execution: id, stream: OutputStream::Stdout, bytes: vec![1] };
    state.receive(more).unwrap_err();
    for stream in [OutputStream::Stdout, OutputStream::Stderr] {
        let taken = loop {
            match state.take(id, stream) {
                Some(entry::Taken::Output(_, bytes)) => break bytes,
                Some(entry::Taken::Started(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(taken.len(), OUTPUT_WINDOW_BYTES as usize);
    }
}

/// The next frame of the host.
async fn host_frame(supervisor: &mut UnixStream, bytes: &mut Vec<u8>) -> HostFrame {
    loop {
        if let Some((frame, length)) = HostFrame::decode(bytes).unwrap() {
            bytes.drain(..length);
            return frame;
        }
        assert!(supervisor.read_buf(bytes).await.unwrap() > 0, "the host is gone");
    }
}

#[tokio::test]
async fn a_window_is_opened_when_its_output_is_consumed() {
    let (channel, mut supervisor) = channel();
    let mut execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    let half = vec![b'x'; OUTPUT_WINDOW_BYTES as usize / 4];
    supervisor.write_all(&encoded(&honest()[..2])).await.unwrap();
    let mut bytes = Vec::new();
    for expected in ["configure", "spec", "start"] {
        let frame = host_frame(&mut supervisor, &mut bytes).await;
        assert!(format!("{frame:?}").to_lowercase().starts_with(expected), "{frame:?}");
    }
    assert_eq!(execution.next().await.unwrap(), Some(ExecutionEvent::Started { pid: 2 }));
    supervisor.write_all(&encoded(&[output(FIRST, &half), output(FIRST, &half)])).await.unwrap();
    let mut taken = 0;
    while taken < 2 * half.len() {
        let Some(ExecutionEvent::Output { bytes, .. }) = execution.next().await.unwrap() else {
            panic!("no output");
        };
        taken += bytes.len();
    }
    // What the caller still has is not consumed yet, until it comes back for more.
    assert!(channel.shared.lock().outgoing.unsent().is_empty());
    let next = tokio::spawn(async move {
        execution.next().await.unwrap();
        execution
    });
    let window = host_frame(&mut supervisor, &mut bytes).await;
    let stream = OutputStream::Stdout;
    let expected = OUTPUT_WINDOW_BYTES / 2;
    assert_eq!(window, HostFrame::Window { execution: FIRST, stream, bytes: expected });
    supervisor.write_all(&encoded(&honest()[3..])).await.unwrap();
    drop(next.await.unwrap());
}

#[tokio::test]
async fn a_dropped_execution_is_killed_and_its_output_goes_nowhere() {
    let (channel, mut supervisor) = channel();
    let execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    supervisor.write_all(&encoded(&honest()[..2])).await.unwrap();
    channel.ready().await.unwrap();
    drop(execution);
    let mut bytes = Vec::new();
    loop {
        if host_frame(&mut supervisor, &mut bytes).await == (HostFrame::Kill { execution: FIRST }) {
            break;
        }
    }
    let chunk = encoded(&[output(FIRST, &[b'x'; 1024])]);
    let mut credit = OUTPUT_WINDOW_BYTES;
    for _ in 0..3 * OUTPUT_WINDOW_BYTES / 1024 {
        while credit < 1024 {
            match host_frame(&mut supervisor, &mut bytes).await {
                HostFrame::Window { bytes, .. } => credit += bytes,
                other => panic!("{other:?}"),
            }
        }
        supervisor.write_all(&chunk).await.unwrap();
        credit -= 1024;
    }
    assert_eq!(channel.running(), 1, "it counts until its end is reported");
    supervisor.write_all(&encoded(&honest()[3..])).await.unwrap();
    let ended = async {
        while channel.running() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, ended).await.unwrap();
}

#[tokio::test]
async fn input_behind_its_end_is_refused_by_the_host() {
    let (channel, mut supervisor) = channel();
    let execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    let (mut first, mut second) = (execution.input(), execution.input());
    first.write(b"x").await.unwrap();
    first.close();
    second.close();
    assert!(matches!(second.write(b"y").await, Err(InputError::Closed)));
    let mut third = execution.input();
    assert!(matches!(third.write(b"y").await, Err(InputError::Closed)));
    let mut bytes = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(host_frame(&mut supervisor, &mut bytes).await);
    }
    assert_eq!(seen.last(), Some(&HostFrame::StdinEof { execution: FIRST }));
    drop(execution);
    assert_eq!(host_frame(&mut supervisor, &mut bytes).await, HostFrame::Kill { execution: FIRST });
}

#[tokio::test]
async fn a_supervisor_that_floods_does_not_keep_the_thread() {
    let (channel, mut supervisor) = channel();
    let execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
    supervisor.write_all(&encoded(&honest()[..2])).await.unwrap();
    channel.ready().await.unwrap();
    // What it writes from now on is discarded, and its window is open again at once.
    drop(execution);
    let mut supervisor = supervisor.into_std().unwrap();
    supervisor.set_nonblocking(false).unwrap();
    let block = encoded(&vec![output(FIRST, b"x"); 1000]);
    let flood = std::thread::spawn(move || {
        let mut blocks = 0;
        while std::io::Write::write_all(&mut supervisor, &block).is_ok() {
            blocks += 1;
        }
        blocks
    });
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(channel);
    let blocks = tokio::task::spawn_blocking(|| flood.join().unwrap()).await.unwrap();
    assert!(blocks > 1, "{blocks}");
}

#[test]
fn a_supervisor_that_reads_nothing_is_not_answered_without_end() {
    let shared = Shared::new();
    let mut state = shared.lock();
    state.is_greeted = true;
    let (execution, _) = state.request(b"program");
    state.receive(SupervisorFrame::Started { execution, pid: 2 }).unwrap();
    state.receive(output(execution, b"x")).unwrap();
    state.outgoing.push(&vec![0; 16 << 20]);
    let refused = state.receive(output(execution, b"x")).unwrap_err();
    assert!(refused.to_string().contains("reads none"), "{refused}");
}

#[test]
fn what_was_sent_does_not_stay_in_memory() {
    let mut outgoing = state::Outgoing::default();
    for _ in 0..1000 {
        outgoing.push(&[b'x'; 1000]);
        let unsent = outgoing.unsent().len();
        outgoing.advance(unsent - 1); // never all of it
    }
    assert!(outgoing.kept() < 1 << 20, "{}", outgoing.kept());
}

#[test]
fn an_error_of_a_file_tool_is_typed_or_none() {
    let line = br#"{"kind":"not_found","errno":2,"path":"a\u000ab"}"#;
    let parsed = FileError::parse(&[&line[..], b"\n"].concat()).unwrap();
    assert_eq!(
        (parsed.kind, parsed.errno, parsed.path.as_str()),
        (FileErrorKind::NotFound, 2, "a\nb")
    );
    assert_eq!(parsed.to_string(), "not found: a\nb");
    let more = [
        &br#"{"kind":"root","errno":2,"path":""}"#[..],
        br#"{"kind":"other","errno":-2,"path":""}"#,
        br#"{"kind":"other","errno":2,"path":"","more":1}"#,
        br#"{"kind":"other"}"#,
        b"",
    ];
    for line in more {
        assert_eq!(FileError::parse(&[line, b"\n"].concat()), None);
    }
    assert_eq!(FileError::parse(line), None, "no whole line");
    assert_eq!(
        (errno_name(13).as_deref(), errno_name(0), errno_name(99_999)),
        (Some("EACCES"), None, None)
    );
}
