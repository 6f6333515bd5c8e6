//! How a program gets into its container: over standard input, in front of its own input.
//!
//! The rule it keeps: nothing of a program is on a command line or in a file of the host, so that
//! there is no limit of length and nothing to clean up. `loader.py` is the other end.

use std::time::Duration;

use shared::Job;
use shared::submission::MAIN_FILE;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::report::Nonce;

/// How much longer than its own time a container lives at most, when nobody takes it away: the
/// loader then ends it from inside.
const GRACE: Duration = Duration::from_secs(10);

/// Sends `job` and ends the input.
///
/// # Errors
///
/// When the container does not take it, which happens when it has ended.
pub async fn write_payload(
    mut input: impl AsyncWrite + Unpin,
    job: &Job,
    secret: &Nonce,
) -> std::io::Result<()> {
    let submission = &job.submission;
    let alive = Duration::from_secs_f64(submission.limits.timeout_seconds) + GRACE;
    let files = submission.files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice()));
    let main = (MAIN_FILE, submission.code.as_bytes());
    input.write_all(secret.as_bytes()).await?;
    input.write_all(&number(alive.as_secs())).await?;
    input.write_all(&number(submission.files.len() as u64 + 1)).await?;
    for (path, bytes) in std::iter::once(main).chain(files) {
        input.write_all(&number(path.len() as u64)).await?;
        input.write_all(path.as_bytes()).await?;
        input.write_all(&number(bytes.len() as u64)).await?;
        input.write_all(bytes).await?;
    }
    input.write_all(&submission.stdin).await?;
    // The program sees the end of its input.
    input.shutdown().await
}

/// Every number is eight bytes, the highest first.
fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use shared::submission::{File, Submission};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_travels_in_front_of_its_input() {
        let limits = shared::Limits {
            timeout_seconds: 5.5,
            cpu_seconds: 5.0,
            memory_bytes: 1,
            pids: 1,
            output_bytes: 1,
            disk_bytes: 1,
            open_files: 1,
        };
        let mut submission = Submission::new("ab", limits);
        submission.stdin = b"in".to_vec();
        submission.files = vec![File { path: "d/f".into(), bytes: vec![0xff] }];
        let job = Job { id: uuid::Uuid::nil(), submission };
        let secret = Nonce::random();
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        write_payload(ours, &job, &secret).await.unwrap();
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        let mut expected = secret.as_bytes().to_vec();
        for part in [
            &number(15)[..],
            &number(2),
            &number(7),
            b"main.py",
            &number(2),
            b"ab",
            &number(3),
            b"d/f",
            &number(1),
            b"\xff",
            b"in",
        ] {
            expected.extend_from_slice(part);
        }
        assert_eq!(sent, expected);
    }
}
