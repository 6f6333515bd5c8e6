//! What is encoded is decoded, and nothing else is.

use std::num::NonZeroU32;

use super::MAX_PAYLOAD_BYTES;
use super::command::{Command, Defaults};
use super::frame::{DecodeError, Exit, HostFrame, OutputStream, StartFailure, SupervisorFrame};

fn host_frames() -> Vec<HostFrame> {
    let execution = NonZeroU32::new(7).unwrap();
    let stream = OutputStream::Stderr;
    vec![
        HostFrame::Configure { bytes: Defaults::default().encode() },
        HostFrame::Spec { execution, bytes: vec![0, 255] },
        HostFrame::Start { execution },
        HostFrame::Stdin { execution, bytes: b"x".to_vec() },
        HostFrame::StdinEof { execution },
        HostFrame::Window { execution, stream: OutputStream::Stdout, bytes: 1 },
        HostFrame::Window { execution, stream, bytes: u32::MAX },
        HostFrame::Signal { execution, signal: 15, tree: true },
        HostFrame::Kill { execution },
        HostFrame::Lifetime { seconds: 0 },
    ]
}

fn supervisor_frames() -> Vec<SupervisorFrame> {
    let execution = NonZeroU32::MAX;
    let stream = OutputStream::Stdout;
    vec![
        SupervisorFrame::Hello { version: 1 },
        SupervisorFrame::Started { execution, pid: 2 },
        SupervisorFrame::StartFailed { execution, failure: StartFailure::Cwd, errno: 2 },
        SupervisorFrame::Output { execution, stream, bytes: vec![0; MAX_PAYLOAD_BYTES] },
        SupervisorFrame::Output { execution, stream: OutputStream::Stderr, bytes: vec![1] },
        SupervisorFrame::StdinWindow { execution, bytes: 1 },
        SupervisorFrame::Exited { execution, exit: Exit::Code(255) },
        SupervisorFrame::Exited { execution, exit: Exit::Signal(64) },
    ]
}

#[test]
fn what_is_encoded_is_decoded() {
    for frame in host_frames() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(HostFrame::decode(&bytes[..cut]), Ok(None));
        }
        let length = bytes.len();
        bytes.push(0);
        assert_eq!(HostFrame::decode(&bytes), Ok(Some((frame, length))));
        assert!(SupervisorFrame::decode(&bytes).is_err(), "of the other direction");
    }
    for frame in supervisor_frames() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let length = bytes.len();
        assert_eq!(SupervisorFrame::decode(&bytes), Ok(Some((frame, length))));
        assert!(HostFrame::decode(&bytes).is_err(), "of the other direction");
    }
}

#[test]
fn a_frame_that_no_encoder_makes_is_refused() {
    let header = |length: u32, kind: u8, execution: u32| {
        [&length.to_be_bytes()[..], &[kind], &execution.to_be_bytes()].concat()
    };
    let too_long = header(u32::MAX, 68, 1);
    assert_eq!(SupervisorFrame::decode(&too_long), Err(DecodeError::TooLong { bytes: u32::MAX }));
    assert_eq!(
        SupervisorFrame::decode(&header(0, 72, 1)),
        Err(DecodeError::UnknownKind { kind: 72 })
    );
    let malformed: [(u8, u32, &[u8]); 9] = [
        (65, 1, &[0, 1]),               // a greeting of an execution
        (66, 0, &[0, 0, 0, 2]),         // a start of none
        (66, 1, &[0, 0, 0, 0]),         // process 0
        (66, 1, &[255, 255, 255, 255]), // no process id
        (67, 1, &[6, 0, 0, 0, 2]),      // no such failure
        (68, 1, &[]),                   // an empty chunk
        (70, 1, &[0, 0, 0, 0]),         // a window of 0
        (71, 1, &[1, 65]),              // no signal
        (71, 1, &[0, 0, 0]),            // a trailing byte
    ];
    for (kind, execution, payload) in malformed {
        let length = u32::try_from(payload.len()).unwrap();
        let bytes = [&header(length, kind, execution)[..], payload].concat();
        let decoded = SupervisorFrame::decode(&bytes);
        assert_eq!(decoded, Err(DecodeError::Malformed { kind }), "{payload:?}");
    }
}

#[test]
fn commands_are_exact_bytes() {
    let command = Command {
        is_file_tool: true,
        argv: vec![b"program".to_vec(), Vec::new(), vec![255, 10, 32]],
        env: vec![(b"NAME".to_vec(), b"a=b".to_vec())],
        cwd: Some(b"relative".to_vec()),
        user: None,
    };
    let bytes = command.encode();
    assert_eq!(Command::decode(&bytes), Some(command.clone()));
    for cut in 0..bytes.len() {
        assert_eq!(Command::decode(&bytes[..cut]), None);
    }
    assert_eq!(Command::decode(&[&bytes[..], &[0]].concat()), None, "a trailing byte");
    let with_nul = Command { argv: vec![b"a\0b".to_vec()], ..command.clone() };
    assert_eq!(Command::decode(&with_nul.encode()), None);
    assert_eq!(Command::decode(&Command { argv: Vec::new(), ..command }.encode()), None);
    let defaults = Defaults {
        user: b"agent".to_vec(),
        cwd: b"/home/agent".to_vec(),
        env: vec![(b"PATH".to_vec(), b"/bin".to_vec())],
        allows_root: true,
    };
    assert_eq!(Defaults::decode(&defaults.encode()), Some(defaults));
}
