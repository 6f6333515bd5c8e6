//! The files that a program has left, taken from its sandbox after its end, which a limit may bring.
//!
//! The verdict is there before: nothing of what happens here changes it. A supervisor that sends what
//! is none to take is one that lies, and none of its files is taken.

use shared::Verdict;
use stage_04_docker::{ArtifactError, Collected, LeftFiles, ReceivedArtifacts, Stop};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, ConnectionError, Event};

/// Why none were taken.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("the supervisor sent something else than files")]
    Unexpected,
}

/// The verdict with the files of an execution that `stop` has ended. One that still runs is ended
/// first; its output is not the evaluation's any more.
pub(super) async fn collect(
    connection: &mut Connection,
    stop: &Stop,
    verdict: Verdict,
    cancel: &CancellationToken,
) -> Verdict {
    match LeftFiles::take(stop, cancel, receive(connection)).await {
        Some(files) => files.add_to(verdict),
        None => verdict,
    }
}

async fn receive(connection: &mut Connection) -> Result<LeftFiles, CollectError> {
    if connection.kill() {
        while !matches!(connection.next().await?, Event::Exited(_)) {}
    }
    if !connection.has_files() {
        return Ok(LeftFiles::Taken(Collected::default()));
    }
    connection.collect();
    let mut received = ReceivedArtifacts::default();
    loop {
        match connection.next().await? {
            Event::File { path } => received.begin(path)?,
            Event::FileChunk { bytes } => received.extend(&bytes)?,
            Event::Collected { skipped } => {
                let artifacts = received.into_artifacts();
                return Ok(LeftFiles::Taken(Collected { artifacts, skipped }));
            }
            _ => return Err(CollectError::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use shared::{Evidence, Outcome};
    use stage_04_docker::InitMessage;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::super::connection::EXECUTION;
    use super::*;
    use crate::protocol::frame::{Command, ExecutionId, Exit, SupervisorFrame};
    use crate::protocol::{self, VERSION};

    /// What the host takes from a supervisor that sends these frames after the end of its program.
    async fn taken(frames: Vec<SupervisorFrame>) -> Option<Verdict> {
        taken_after(true, frames).await
    }

    async fn taken_after(has_files: bool, frames: Vec<SupervisorFrame>) -> Option<Verdict> {
        let (host, mut supervisor) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(host);
        let argv = vec!["/bin/program".to_owned()];
        connection.start(Command { user: 65534, argv, env: Vec::new() });
        let before = [
            SupervisorFrame::Hello { version: VERSION },
            SupervisorFrame::Started { execution: EXECUTION, pid: 2 },
            SupervisorFrame::Exited { execution: EXECUTION, exit: Exit::Code(0), has_files },
        ];
        let mut bytes = Vec::new();
        for frame in &before {
            frame.encode(&mut bytes);
        }
        supervisor.write_all(&bytes).await.unwrap();
        for _ in 0..2 {
            connection.next().await.unwrap();
        }
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.encode(&mut bytes);
        }
        let sending = async { supervisor.write_all(&bytes).await.map(|()| supervisor) };
        let never = CancellationToken::new();
        let verdict = Verdict::new(Outcome::Exited, Evidence::new("test"));
        let stop = Stop::Reported(InitMessage::Exited(0));
        let taking = collect(&mut connection, &stop, verdict, &never);
        let (verdict, _supervisor) = tokio::join!(taking, sending);
        let is_lost = verdict.evidence.counters.get("output.skipped").is_some_and(|n| n == "all");
        assert!(!is_lost || verdict.artifacts.is_empty());
        (!is_lost).then_some(verdict)
    }

    fn file(path: &[u8]) -> SupervisorFrame {
        SupervisorFrame::File { execution: EXECUTION, path: path.to_vec() }
    }

    fn chunk(length: usize) -> SupervisorFrame {
        SupervisorFrame::FileChunk { execution: EXECUTION, bytes: vec![b'x'; length] }
    }

    fn done(skipped: u32) -> SupervisorFrame {
        SupervisorFrame::Collected { execution: EXECUTION, skipped }
    }

    #[tokio::test]
    async fn files_of_an_honest_supervisor_are_taken() {
        let frames = vec![file(b"a"), chunk(3), chunk(2), file(b"b/c"), done(7)];
        let verdict = taken(frames).await.unwrap();
        let sizes: Vec<_> =
            verdict.artifacts.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!(sizes, [("a", 5), ("b/c", 0)]);
        assert_eq!(verdict.evidence.counters["output.skipped"], 7);
    }

    #[tokio::test]
    async fn nothing_is_requested_where_nothing_was_left() {
        // It would wait for the answer until its deadline otherwise, and take none.
        let verdict = taken_after(false, vec![file(b"a"), done(0)]).await.unwrap();
        assert!(verdict.artifacts.is_empty());
        assert!(!verdict.evidence.counters.contains_key("output.skipped"));
    }

    #[tokio::test]
    async fn nothing_is_taken_from_a_supervisor_that_lies() {
        let full = protocol::MAX_PAYLOAD_BYTES;
        let too_much = protocol::MAX_ARTIFACT_BYTES / full + 1;
        let other = ExecutionId::from(NonZeroU32::MAX);
        let output = SupervisorFrame::StdinWindow { execution: EXECUTION, bytes: 1 };
        for (lie, frames) in [
            ("a path that climbs", vec![file(b"a"), file(b"../x"), done(0)]),
            ("an absolute path", vec![file(b"/etc/x"), done(0)]),
            ("one path twice", vec![file(b"a"), file(b"a"), done(0)]),
            ("bytes of no file", vec![chunk(1), done(0)]),
            ("too many files", (0..65_u8).map(|n| file(&[b'a', n + 1])).collect()),
            ("too many bytes", [vec![file(b"a")], vec![chunk(full); too_much]].concat()),
            (
                "another execution",
                vec![SupervisorFrame::Collected { execution: other, skipped: 0 }],
            ),
            ("something else", vec![output]),
            (
                "a second end",
                vec![SupervisorFrame::Exited {
                    execution: EXECUTION,
                    exit: Exit::Code(1),
                    has_files: true,
                }],
            ),
        ] {
            assert!(taken(frames).await.is_none(), "{lie}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_supervisor_that_is_silent_meets_the_deadline() {
        assert!(taken(vec![file(b"a"), chunk(1)]).await.is_none());
    }

    #[test]
    fn both_sides_have_the_same_bounds() {
        assert_eq!(protocol::OUTPUT_DIR, stage_04_docker::OUTPUT_DIR);
        assert_eq!(protocol::MAX_ARTIFACTS, stage_04_docker::MAX_ARTIFACTS);
        assert_eq!(protocol::MAX_ARTIFACT_BYTES, stage_04_docker::MAX_ARTIFACT_BYTES);
        let bytes = stage_04_docker::MAX_ARTIFACT_PATH_BYTES;
        assert_eq!(protocol::MAX_ARTIFACT_PATH_BYTES, bytes);
    }
}
