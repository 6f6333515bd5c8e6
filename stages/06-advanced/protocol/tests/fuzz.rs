//! Any frames and any bytes: what is encoded is decoded, and nothing panics.

use proptest::prelude::*;

use super::*;

fn any_id() -> impl Strategy<Value = ExecutionId> {
    (1..=u32::MAX).prop_map(|id| NonZeroU32::new(id).unwrap())
}

fn any_stream() -> impl Strategy<Value = OutputStream> {
    prop_oneof![Just(OutputStream::Stdout), Just(OutputStream::Stderr)]
}

fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..200)
}

fn any_host_frame() -> impl Strategy<Value = HostFrame> {
    let text = "[^\0]{0,20}";
    let argv = prop::collection::vec(text, 1..5);
    let command = (any::<u32>(), argv, prop::collection::vec((text, text), 0..5))
        .prop_map(|(user, argv, env)| Command { user, argv, env });
    prop_oneof![
        (any_id(), command)
            .prop_map(|(execution, command)| HostFrame::Start { execution, command }),
        any::<u32>().prop_map(|seconds| HostFrame::Lifetime { seconds }),
        (any_id(), any_chunk())
            .prop_map(|(execution, bytes)| HostFrame::Stdin { execution, bytes }),
        any_id().prop_map(|execution| HostFrame::StdinEof { execution }),
        any_id().prop_map(|execution| HostFrame::Collect { execution }),
        any_id().prop_map(|execution| HostFrame::Kill { execution }),
        (any_id(), any_stream(), 1..=u32::MAX)
            .prop_map(|(execution, stream, bytes)| HostFrame::Window { execution, stream, bytes }),
    ]
}

fn any_supervisor_frame() -> impl Strategy<Value = SupervisorFrame> {
    let exit = prop_oneof![any::<u8>().prop_map(Exit::Code), (1_u8..=64).prop_map(Exit::Signal)];
    prop_oneof![
        any::<u16>().prop_map(|version| SupervisorFrame::Hello { version }),
        (any_id(), 1..=u32::MAX)
            .prop_map(|(execution, pid)| SupervisorFrame::Started { execution, pid }),
        (any_id(), any::<u32>())
            .prop_map(|(execution, errno)| SupervisorFrame::StartFailed { execution, errno }),
        (any_id(), any_stream(), any_chunk()).prop_map(|(execution, stream, bytes)| {
            SupervisorFrame::Output { execution, stream, bytes }
        }),
        (any_id(), 1..=u32::MAX)
            .prop_map(|(execution, bytes)| SupervisorFrame::StdinWindow { execution, bytes }),
        (any_id(), exit, any::<bool>()).prop_map(|(execution, exit, has_files)| {
            SupervisorFrame::Exited { execution, exit, has_files }
        }),
        (any_id(), any_chunk())
            .prop_map(|(execution, path)| SupervisorFrame::File { execution, path }),
        (any_id(), any_chunk())
            .prop_map(|(execution, bytes)| SupervisorFrame::FileChunk { execution, bytes }),
        (any_id(), any::<u32>())
            .prop_map(|(execution, skipped)| SupervisorFrame::Collected { execution, skipped }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(host in any_host_frame(), supervisor in any_supervisor_frame()) {
        let bytes = host_bytes(&host);
        prop_assert_eq!(HostFrame::decode(&bytes), Ok(Some((host, bytes.len()))));
        let bytes = supervisor_bytes(&supervisor);
        prop_assert_eq!(SupervisorFrame::decode(&bytes), Ok(Some((supervisor, bytes.len()))));
    }

    /// Headers with plausible lengths, so that the payloads' own parsers are reached.
    #[test]
    fn decoding_any_bytes_does_not_panic(
        kind in any::<u8>(),
        execution in 0_u32..3,
        payload in prop::collection::vec(any::<u8>(), 0..64),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for bytes in [raw(kind, execution, &payload), noise] {
            if let Ok(Some((frame, length))) = HostFrame::decode(&bytes) {
                prop_assert_eq!(host_bytes(&frame), &bytes[..length]);
            }
            if let Ok(Some((frame, length))) = SupervisorFrame::decode(&bytes) {
                prop_assert_eq!(supervisor_bytes(&frame), &bytes[..length]);
            }
        }
    }

    /// Any order of frames, legal or not: the session answers, and windows stay within their size.
    #[test]
    fn a_session_survives_any_frames(
        supervisor in prop::collection::vec(any_supervisor_frame(), 0..20),
        host in prop::collection::vec(any_host_frame(), 0..20),
    ) {
        let mut session = HostSession::default();
        session.request(ID);
        for frame in &supervisor {
            session.receive(frame).ok();
            prop_assert!(session.stdin_credit(ID) <= STDIN_WINDOW_BYTES as usize);
        }
        let mut session = SupervisorSession::new();
        for frame in &host {
            session.receive(frame).ok();
            let credit = session.output_credit(OutputStream::Stdout);
            prop_assert!(credit <= OUTPUT_WINDOW_BYTES as usize);
        }
    }
}
