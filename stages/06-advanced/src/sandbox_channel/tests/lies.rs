//! Every lie, in every state in which it is one.

use super::*;

/// Every lie, by the numbers of honest frames after which it is one.
fn lies() -> Vec<(&'static str, std::ops::RangeInclusive<usize>, Vec<u8>)> {
    let frame = |frame: SupervisorFrame| encoded(&[frame]);
    let exited = |execution| SupervisorFrame::Exited { execution, exit: Exit::Code(0) };
    let failed =
        SupervisorFrame::StartFailed { execution: FIRST, failure: StartFailure::Program, errno: 2 };
    let window = |bytes| SupervisorFrame::StdinWindow { execution: FIRST, bytes };
    let too_long = [&u32::MAX.to_be_bytes()[..], &[68], &1_u32.to_be_bytes()].concat();
    let bad_signal = [&2_u32.to_be_bytes()[..], &[71], &1_u32.to_be_bytes(), &[1, 0]].concat();
    let mut of_the_host = Vec::new();
    HostFrame::Kill { execution: FIRST }.encode(&mut of_the_host);
    let flood = |length: usize| {
        let chunk = encoded(&[output(FIRST, &[b'x'; 1024])]);
        chunk.repeat(length / 1024)
    };
    let window_bytes = OUTPUT_WINDOW_BYTES as usize;
    vec![
        ("another version", 0..=0, frame(SupervisorFrame::Hello { version: VERSION + 1 })),
        ("a second Hello", 1..=4, frame(SupervisorFrame::Hello { version: VERSION })),
        ("Started before Hello", 0..=0, frame(honest()[1].clone())),
        ("Started twice", 2..=4, frame(honest()[1].clone())),
        ("Started of another", 1..=4, frame(SupervisorFrame::Started { execution: OTHER, pid: 2 })),
        ("StartFailed after Started", 2..=4, frame(failed)),
        ("output before Started", 1..=1, frame(honest()[2].clone())),
        ("output of another", 1..=4, frame(output(OTHER, b"x"))),
        ("output after the end", 4..=4, frame(output(FIRST, b"x"))),
        ("an end before Started", 1..=1, frame(exited(FIRST))),
        ("an end twice", 4..=4, frame(exited(FIRST))),
        ("an end of another", 1..=4, frame(exited(OTHER))),
        ("an end by no signal", 2..=4, bad_signal),
        ("a window that was not asked for", 1..=3, frame(window(1))),
        ("a window without end", 1..=3, frame(window(u32::MAX))),
        ("more than the window", 2..=2, flood(window_bytes + 1024)),
        ("too long a frame", 0..=4, too_long),
        ("a frame of the host", 0..=4, of_the_host),
        ("no frame", 0..=4, b"exit 0\n\n\n\n".to_vec()),
    ]
}

#[tokio::test]
async fn a_supervisor_that_lies_ends_its_own_channel() {
    // An honest sandbox beside all of them.
    let (beside, mut beside_supervisor) = channel();
    let mut bystander = beside.start(&SandboxCommand::new(["program"])).await.unwrap();
    beside_supervisor.write_all(&encoded(&honest()[..2])).await.unwrap();
    for (lie, states, bytes) in lies() {
        for state in states {
            let case = format!("{lie} after {state} frames");
            let (channel, mut supervisor) = channel();
            let mut execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
            let mut other = channel.start(&SandboxCommand::new(["other"])).await.unwrap();
            let sent = [&encoded(&honest()[..state])[..], &bytes].concat();
            // The host does not read on.
            supervisor.write_all(&sent).await.ok();
            let (seen, error) = events(&mut execution).await;
            let closed = tokio::time::timeout(TEST_TIMEOUT, channel.closed()).await;
            let closed = closed.unwrap_or_else(|_| panic!("{case}: it is believed"));
            assert!(matches!(closed, ChannelError::Protocol(_)), "{case}: {closed}");
            // An end that was reported before stays; none is made.
            let has_ended = seen.contains(&ExecutionEvent::Ended(ExecutionExit::Code(7)));
            assert_eq!(has_ended, state == 4, "{case}: {seen:?}");
            assert_eq!(error.is_some(), state < 4, "{case}");
            let of_honest = seen.iter().all(|event| match event {
                ExecutionEvent::Ended(exit) => *exit == ExecutionExit::Code(7),
                ExecutionEvent::StartFailed(_) => false,
                _ => true,
            });
            assert!(of_honest, "{case}: {seen:?}");
            assert!(events(&mut other).await.1.is_some(), "{case}");
            let refused = channel.start(&SandboxCommand::new(["more"])).await.unwrap_err();
            assert!(matches!(refused, StartError::Channel(ChannelError::Protocol(_))), "{case}");
        }
    }
    beside_supervisor.write_all(&encoded(&honest()[2..])).await.unwrap();
    let (seen, _) = events(&mut bystander).await;
    assert_eq!(seen.last(), Some(&ExecutionEvent::Ended(ExecutionExit::Code(7))));
}

#[tokio::test]
async fn a_frame_that_is_cut_off_is_no_frame() {
    let frames = encoded(&honest());
    for cut in 0..frames.len() {
        let (channel, mut supervisor) = channel();
        let mut execution = channel.start(&SandboxCommand::new(["program"])).await.unwrap();
        supervisor.write_all(&frames[..cut]).await.unwrap();
        drop(supervisor);
        let (seen, error) = events(&mut execution).await;
        assert!(matches!(error, Some(ChannelError::Closed)), "after {cut} bytes: {error:?}");
        assert!(seen.len() <= 2, "after {cut} bytes: {seen:?}");
    }
}
