//! A fake supervisor on the other end of the socket: one that lies, one that is silent, and one
//! that keeps to the windows.

use std::time::Duration;

use shared::{Job, OutputBuffer, Stream, Submission};
use stage_04_docker::{InitMessage, PROBE_LIMITS, ResourceSampler, Stop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::gvisor::error::SandboxError;
use crate::gvisor::memory::MemoryWatch;
use crate::gvisor::run;
use crate::gvisor::sandbox::wait_until_ready;
use crate::protocol::{OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES, VERSION};

const OTHER: ExecutionId = NonZeroU32::MAX;
const TEST_TIMEOUT: Duration = Duration::from_secs(5);

fn output(stream: OutputStream, bytes: &[u8]) -> SupervisorFrame {
    SupervisorFrame::Output { execution: EXECUTION, stream, bytes: bytes.to_vec() }
}

/// What an honest supervisor sends, up to the end of the program.
fn honest() -> Vec<SupervisorFrame> {
    let begin = format!("{} begin\n", "0".repeat(32));
    vec![
        SupervisorFrame::Hello { version: VERSION },
        SupervisorFrame::Started { execution: EXECUTION, pid: 2 },
        output(OutputStream::Stderr, b"ready\n"),
        output(OutputStream::Stderr, begin.as_bytes()),
        output(OutputStream::Stdout, b"42\n"),
        SupervisorFrame::Exited { execution: EXECUTION, exit: Exit::Code(7), has_files: false },
    ]
}

fn encoded(frames: &[SupervisorFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// Every lie, by the number of honest frames after which it is one.
fn lies() -> Vec<(&'static str, std::ops::Range<usize>, Vec<u8>)> {
    let frame = |frame: SupervisorFrame| encoded(&[frame]);
    let id = EXECUTION;
    let too_long = [&u32::MAX.to_be_bytes()[..], &[68], &1_u32.to_be_bytes()].concat();
    let mut of_the_host = Vec::new();
    HostFrame::StdinEof { execution: id }.encode(&mut of_the_host);
    vec![
        ("another version", 0..1, frame(SupervisorFrame::Hello { version: VERSION + 1 })),
        ("a second Hello", 1..5, frame(SupervisorFrame::Hello { version: VERSION })),
        ("Started", 0..1, frame(SupervisorFrame::Started { execution: id, pid: 2 })),
        ("Started", 2..5, frame(SupervisorFrame::Started { execution: id, pid: 2 })),
        (
            "of another execution",
            0..5,
            frame(SupervisorFrame::Started { execution: OTHER, pid: 2 }),
        ),
        ("StartFailed", 0..1, frame(SupervisorFrame::StartFailed { execution: id, errno: 2 })),
        ("StartFailed", 2..5, frame(SupervisorFrame::StartFailed { execution: id, errno: 2 })),
        ("output", 0..2, frame(output(OutputStream::Stdout, b"x"))),
        ("output", 0..2, frame(output(OutputStream::Stderr, b"ready\n"))),
        (
            "an end",
            0..2,
            frame(SupervisorFrame::Exited { execution: id, exit: Exit::Code(0), has_files: false }),
        ),
        ("a window", 0..5, frame(SupervisorFrame::StdinWindow { execution: id, bytes: u32::MAX })),
        ("too long a frame", 0..5, too_long),
        ("a frame of the host", 0..5, of_the_host),
        ("no frame", 0..5, b"exit 0\n\n\n\n".to_vec()),
    ]
}

/// A connection whose execution is requested, and the supervisor's end of it.
fn requested() -> (Connection, UnixStream) {
    let (host, supervisor) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(host);
    let argv = vec!["/bin/program".to_owned()];
    connection.start(Command { user: 65534, argv, env: Vec::new() });
    (connection, supervisor)
}

/// A program with much input, which is delivered.
async fn supervise(connection: &mut Connection, stdin: usize) -> (Stop, String) {
    connection.deliver(vec![b'i'; stdin], 30).unwrap();
    let limits = shared::Limits { output_bytes: 2 << 20, ..PROBE_LIMITS };
    let job = Job::first(Submission::new("", limits));
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let mut sampler = ResourceSampler::new(None, &job.submission.limits);
    let never = CancellationToken::new();
    let stop = {
        let mut memory = MemoryWatch::none();
        run::supervise(connection, &mut sampler, &mut memory, &job, &buffer, &never).await
    };
    (stop, buffer.output(Stream::Stdout).text)
}

#[tokio::test]
async fn an_honest_supervisor_is_believed() {
    let (mut connection, mut supervisor) = requested();
    supervisor.write_all(&encoded(&honest()[..3])).await.unwrap();
    wait_until_ready(&mut connection).await.unwrap();
    supervisor.write_all(&encoded(&honest()[3..])).await.unwrap();
    let (stop, stdout) = supervise(&mut connection, 10).await;
    assert_eq!((stop, stdout.as_str()), (Stop::Reported(InitMessage::Exited(7)), "42\n"));
}

#[tokio::test]
async fn a_supervisor_that_lies_ends_its_sandbox() {
    for (lie, states, bytes) in lies() {
        for state in states {
            let (mut connection, mut supervisor) = requested();
            let before = encoded(&honest()[..state]);
            let sent = [&before[..], &bytes].concat();
            supervisor.write_all(&sent).await.unwrap();
            let ready = tokio::time::timeout(TEST_TIMEOUT, wait_until_ready(&mut connection)).await;
            let case = format!("{lie} after {state} frames");
            let illegal = match ready.unwrap_or_else(|_| panic!("{case}: the host hangs")) {
                Err(SandboxError::Protocol(error)) => error.to_string(),
                Err(error) => panic!("{case}: {error:?}"),
                Ok(()) => {
                    let stop =
                        tokio::time::timeout(TEST_TIMEOUT, supervise(&mut connection, 10)).await;
                    match stop.unwrap_or_else(|_| panic!("{case}: the host hangs")) {
                        (Stop::EngineError(reason), _) => reason.to_string(),
                        (stop, _) => panic!("{case}: {stop:?}"),
                    }
                }
            };
            assert!(illegal.starts_with("the supervisor sent"), "{case}: {illegal}");
            drop(supervisor);
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_cut_off_is_a_sandbox_that_died() {
    let frames = encoded(&honest());
    let ready = encoded(&honest()[..3]).len();
    for cut in ready..frames.len() {
        let (mut connection, mut supervisor) = requested();
        supervisor.write_all(&frames[..cut]).await.unwrap();
        drop(supervisor);
        wait_until_ready(&mut connection).await.unwrap();
        let (stop, _) = supervise(&mut connection, 10).await;
        assert_eq!(stop, Stop::SandboxDied, "after {cut} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_silent_meets_the_deadline() {
    let (mut connection, mut supervisor) = requested();
    supervisor.write_all(&encoded(&honest()[..3])).await.unwrap();
    wait_until_ready(&mut connection).await.unwrap();
    let (stop, _) = supervise(&mut connection, 10).await;
    assert!(stop.is_late() && stop != Stop::WallTimeout, "the program has not started: {stop:?}");

    let (mut connection, mut supervisor) = requested();
    supervisor.write_all(&encoded(&honest()[..4])).await.unwrap();
    wait_until_ready(&mut connection).await.unwrap();
    let (stop, _) = supervise(&mut connection, 10).await;
    assert_eq!(stop, Stop::WallTimeout);
    drop(supervisor);
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
async fn input_waits_for_the_supervisors_window_and_output_for_the_hosts() {
    let (mut connection, mut supervisor) = requested();
    supervisor.write_all(&encoded(&honest()[..4])).await.unwrap();
    let window = STDIN_WINDOW_BYTES as usize;
    let total = 3 * window + 1;
    let fake = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let mut received = 0;
        while received < total {
            match host_frame(&mut supervisor, &mut bytes).await {
                HostFrame::Stdin { bytes, .. } => received += bytes.len(),
                HostFrame::Start { .. } | HostFrame::Lifetime { seconds: 30 } => {}
                other => panic!("{other:?}"),
            }
            if received > 0 && received < total && received % window == 0 {
                // Nothing more comes before the window opens.
                let more = supervisor.read_buf(&mut bytes);
                tokio::time::timeout(Duration::from_millis(50), more).await.unwrap_err();
                let bytes = STDIN_WINDOW_BYTES;
                let open = SupervisorFrame::StdinWindow { execution: EXECUTION, bytes };
                supervisor.write_all(&encoded(&[open])).await.unwrap();
            }
        }
        let eof = HostFrame::StdinEof { execution: EXECUTION };
        assert_eq!(host_frame(&mut supervisor, &mut bytes).await, eof);
        // Two windows of output, each opened by the host as it consumes.
        let chunk = encoded(&[output(OutputStream::Stdout, &vec![b'o'; MAX_PAYLOAD_BYTES])]);
        let mut credit = OUTPUT_WINDOW_BYTES as usize;
        for _ in 0..2 * OUTPUT_WINDOW_BYTES as usize / MAX_PAYLOAD_BYTES {
            while credit < MAX_PAYLOAD_BYTES {
                match host_frame(&mut supervisor, &mut bytes).await {
                    HostFrame::Window { bytes, .. } => credit += bytes as usize,
                    other => panic!("{other:?}"),
                }
            }
            supervisor.write_all(&chunk).await.unwrap();
            credit -= MAX_PAYLOAD_BYTES;
        }
        let exit = SupervisorFrame::Exited {
            execution: EXECUTION,
            exit: Exit::Signal(9),
            has_files: false,
        };
        supervisor.write_all(&encoded(&[exit])).await.unwrap();
        supervisor
    });
    wait_until_ready(&mut connection).await.unwrap();
    let supervised = tokio::time::timeout(TEST_TIMEOUT, supervise(&mut connection, total)).await;
    let (stop, stdout) = supervised.unwrap();
    assert_eq!(stop, Stop::Reported(InitMessage::Signaled(9)));
    assert_eq!(stdout.len(), 2 * OUTPUT_WINDOW_BYTES as usize);
    drop(fake.await.unwrap());
}
