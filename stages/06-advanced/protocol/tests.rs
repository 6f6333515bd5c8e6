//! The codec and the state machine: what is refused, and that nothing panics.

mod fuzz;

use std::num::NonZeroU32;

use super::frame::{
    Command, DecodeError, ExecutionId, Exit, HostFrame, OutputStream, SupervisorFrame,
};
use super::session::{HostSession, IllegalFrame, SupervisorSession};
use super::{MAX_PAYLOAD_BYTES, OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES, VERSION};

const ID: ExecutionId = NonZeroU32::MIN;
const OTHER: ExecutionId = NonZeroU32::MAX;

fn command() -> Command {
    let env = vec![("HOME".to_owned(), "/tmp".to_owned())];
    Command { user: 65534, argv: vec!["/bin/program".to_owned(), "-c".to_owned()], env }
}

fn output(execution: ExecutionId, stream: OutputStream, length: usize) -> SupervisorFrame {
    SupervisorFrame::Output { execution, stream, bytes: vec![b'x'; length] }
}

fn supervisor_frames() -> Vec<SupervisorFrame> {
    vec![
        SupervisorFrame::Hello { version: VERSION },
        SupervisorFrame::Started { execution: ID, pid: 2 },
        SupervisorFrame::StartFailed { execution: ID, errno: 2 },
        output(ID, OutputStream::Stdout, 1),
        output(ID, OutputStream::Stderr, 3),
        SupervisorFrame::StdinWindow { execution: ID, bytes: 1 },
        SupervisorFrame::Exited { execution: ID, exit: Exit::Code(7), has_files: true },
        SupervisorFrame::Exited { execution: ID, exit: Exit::Signal(9), has_files: false },
        SupervisorFrame::File { execution: ID, path: b"a/b".to_vec() },
        SupervisorFrame::FileChunk { execution: ID, bytes: b"content".to_vec() },
        SupervisorFrame::Collected { execution: ID, skipped: 0 },
    ]
}

fn host_frames() -> Vec<HostFrame> {
    vec![
        HostFrame::Start { execution: ID, command: command() },
        HostFrame::Lifetime { seconds: 30 },
        HostFrame::Stdin { execution: ID, bytes: b"input".to_vec() },
        HostFrame::StdinEof { execution: ID },
        HostFrame::Window { execution: ID, stream: OutputStream::Stdout, bytes: 1 },
        HostFrame::Window { execution: ID, stream: OutputStream::Stderr, bytes: 1 },
        HostFrame::Collect { execution: ID },
        HostFrame::Kill { execution: ID },
    ]
}

fn host_bytes(frame: &HostFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn supervisor_bytes(frame: &SupervisorFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

#[test]
fn a_frame_is_decoded_once_it_is_whole_and_only_then() {
    for frame in supervisor_frames() {
        let bytes = supervisor_bytes(&frame);
        for length in 0..bytes.len() {
            assert_eq!(SupervisorFrame::decode(&bytes[..length]), Ok(None), "{frame:?}");
        }
        let followed = [bytes.as_slice(), b"next"].concat();
        assert_eq!(SupervisorFrame::decode(&followed), Ok(Some((frame, bytes.len()))));
    }
    for frame in host_frames() {
        let bytes = host_bytes(&frame);
        for length in 0..bytes.len() {
            assert_eq!(HostFrame::decode(&bytes[..length]), Ok(None), "{frame:?}");
        }
        assert_eq!(HostFrame::decode(&bytes), Ok(Some((frame, bytes.len()))));
    }
}

#[test]
fn an_oversized_frame_is_refused_by_its_header() {
    let longest = output(ID, OutputStream::Stdout, MAX_PAYLOAD_BYTES);
    let mut bytes = supervisor_bytes(&longest);
    assert_eq!(SupervisorFrame::decode(&bytes), Ok(Some((longest, bytes.len()))));
    for length in [u32::try_from(MAX_PAYLOAD_BYTES).unwrap() + 1, u32::MAX] {
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        let refused = SupervisorFrame::decode(&bytes[..9]);
        assert_eq!(refused, Err(DecodeError::TooLong { bytes: length }));
    }
}

#[test]
fn a_frame_of_the_other_direction_is_unknown() {
    for frame in host_frames() {
        let refused = SupervisorFrame::decode(&host_bytes(&frame));
        assert!(matches!(refused, Err(DecodeError::UnknownKind { .. })), "{frame:?}");
    }
    for frame in supervisor_frames() {
        let refused = HostFrame::decode(&supervisor_bytes(&frame));
        assert!(matches!(refused, Err(DecodeError::UnknownKind { .. })), "{frame:?}");
    }
}

/// A frame of this kind, with any payload.
fn raw(kind: u8, execution: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind], &execution.to_be_bytes(), payload].concat()
}

#[test]
fn a_payload_that_its_kind_does_not_have_is_refused() {
    let number = 1_u32.to_be_bytes();
    for (kind, execution, payload) in [
        (65, 0, &[0, 1, 2][..]), // a version of three bytes
        (65, 1, &[0, 1]),        // a greeting of an execution
        (66, 0, &number),        // a start without an execution
        (66, 1, &[0; 4]),        // of the process 0
        (66, 1, &[0, 1]),        // of half a number
        (68, 1, &[]),            // an empty chunk
        (68, 0, b"x"),           // output without an execution
        (70, 1, &[0; 4]),        // a window that does not open
        (71, 1, &[0, 0]),        // an exit without a code, or without whether it left files
        (71, 1, &[2, 0, 0]),     // an end that is neither code nor signal
        (71, 1, &[1, 0, 0]),     // by signal 0
        (71, 1, &[1, 65, 0]),    // by a signal that does not exist
        (71, 1, &[0, 0, 2]),     // with files or without
        (71, 1, &[0, 0, 0, 0]),  // with a trailing byte
        (72, 1, &[]),            // a file without a path
        (73, 0, b"x"),           // a file of no execution
        (74, 1, &[0]),           // half a number
    ] {
        let refused = SupervisorFrame::decode(&raw(kind, execution, payload));
        assert_eq!(refused, Err(DecodeError::Malformed { kind }), "{kind} {payload:?}");
    }
    let start = |payload: &[u8]| HostFrame::decode(&raw(1, 1, payload)).unwrap_err();
    let no_argument = [0; 8];
    let long_argument = [&[0; 4][..], &number, &u32::MAX.to_be_bytes(), b"x"].concat();
    let many_arguments = [&[0; 4][..], &u32::MAX.to_be_bytes()].concat();
    let nul = [&[0; 4][..], &number, &number, b"\0"].concat();
    for payload in [&[][..], &no_argument, &long_argument, &many_arguments, &nul] {
        assert_eq!(start(payload), DecodeError::Malformed { kind: 1 }, "{payload:?}");
    }
}

/// A host's session in each of its states, and the frames that are legal in it, by their place in
/// `supervisor_frames`.
fn host_states() -> Vec<(&'static str, HostSession, Vec<usize>)> {
    let session = |frames: &[SupervisorFrame]| {
        let mut session = HostSession::default();
        session.request(ID);
        for frame in frames {
            session.receive(frame).unwrap();
        }
        session.sent_stdin(ID, 1).unwrap();
        session
    };
    let all = supervisor_frames();
    let [hello, started, failed, _, _, _, exited, ..] = all.as_slice() else { panic!() };
    let collecting = |mut session: HostSession| {
        session.collect(ID);
        session
    };
    let path =
        |frames: &[&SupervisorFrame]| session(&frames.iter().copied().cloned().collect::<Vec<_>>());
    vec![
        ("before Hello", path(&[]), vec![0]),
        ("requested", path(&[hello]), vec![1, 2]),
        ("running", path(&[hello, started]), vec![3, 4, 5, 6, 7]),
        ("failed", path(&[hello, failed]), vec![]),
        ("ended", path(&[hello, started, exited]), vec![]),
        ("collecting", collecting(path(&[hello, started, exited])), vec![8, 9, 10]),
    ]
}

#[test]
fn each_frame_of_the_supervisor_is_legal_in_one_state() {
    for at in 0..supervisor_frames().len() {
        for (state, mut session, legal) in host_states() {
            let frame = &supervisor_frames()[at];
            let received = session.receive(frame);
            assert_eq!(received.is_ok(), legal.contains(&at), "{state}: {frame:?}: {received:?}");
        }
    }
    let mut other = HostSession::default();
    let greeting = SupervisorFrame::Hello { version: VERSION + 1 };
    assert_eq!(other.receive(&greeting), Err(IllegalFrame("another version")));
}

#[test]
fn a_frame_of_an_unknown_execution_is_illegal() {
    let mut session = HostSession::default();
    session.request(ID);
    session.receive(&SupervisorFrame::Hello { version: VERSION }).unwrap();
    for frame in [
        SupervisorFrame::Started { execution: OTHER, pid: 2 },
        output(OTHER, OutputStream::Stdout, 1),
        SupervisorFrame::Exited { execution: OTHER, exit: Exit::Code(0), has_files: false },
    ] {
        assert!(session.receive(&frame).unwrap_err().0.contains("not requested"), "{frame:?}");
    }
    let mut session = SupervisorSession::new();
    let early = HostFrame::StdinEof { execution: ID };
    assert!(session.receive(&early).unwrap_err().0.contains("not requested"));
}

#[test]
fn more_than_the_window_is_illegal_in_both_directions() {
    let (_, mut session, _) = host_states().swap_remove(2);
    let chunk = output(ID, OutputStream::Stdout, MAX_PAYLOAD_BYTES);
    for _ in 0..OUTPUT_WINDOW_BYTES as usize / MAX_PAYLOAD_BYTES {
        session.receive(&chunk).unwrap();
    }
    session.receive(&output(ID, OutputStream::Stdout, 1)).unwrap_err();
    session.receive(&output(ID, OutputStream::Stderr, 1)).unwrap();
    let window = session.reopen(ID, OutputStream::Stdout);
    let bytes = OUTPUT_WINDOW_BYTES;
    let expected = HostFrame::Window { execution: ID, stream: OutputStream::Stdout, bytes };
    assert_eq!(window, Some(expected));
    session.receive(&chunk).unwrap();
    assert_eq!(session.reopen(ID, OutputStream::Stdout), None, "not before half of it is used");
    // Input that was not sent cannot have been consumed.
    let consumed = |bytes| SupervisorFrame::StdinWindow { execution: ID, bytes };
    session.receive(&consumed(2)).unwrap_err();
    assert_eq!(session.stdin_credit(ID), STDIN_WINDOW_BYTES as usize - 1);
    session.sent_stdin(ID, STDIN_WINDOW_BYTES as usize).unwrap_err();
}

#[test]
fn each_frame_of_the_host_is_checked_as_well() {
    let mut session = SupervisorSession::new();
    let [start, lifetime, stdin, eof, window, _, collect, kill] = host_frames().try_into().unwrap();
    session.receive(&start).unwrap();
    assert_eq!(session.receive(&start), Err(IllegalFrame("a second execution")));
    let mut session = SupervisorSession::new();
    session.receive(&start).unwrap();
    session.receive(&lifetime).unwrap();
    session.receive(&lifetime).unwrap_err();
    session.receive(&stdin).unwrap();
    let bytes = vec![0; STDIN_WINDOW_BYTES as usize];
    session.receive(&HostFrame::Stdin { execution: ID, bytes }).unwrap_err();
    session.receive(&eof).unwrap();
    session.receive(&stdin).unwrap_err();
    session.receive(&eof).unwrap_err();
    for once in [kill, collect] {
        session.receive(&once).unwrap();
        session.receive(&once).unwrap_err();
    }
    // Nothing was sent, so that no window can open.
    session.receive(&window).unwrap_err();
    session.send_output(OutputStream::Stdout, 1).unwrap();
    session.receive(&window).unwrap();
    assert_eq!(session.output_credit(OutputStream::Stdout), OUTPUT_WINDOW_BYTES as usize);
    session.consumed_stdin(u32::try_from(b"input".len()).unwrap()).unwrap();
    session.consumed_stdin(1).unwrap_err();
}
