//! Sends a program to its container: over standard input, in front of the program's own input.
//!
//! The rule it keeps: nothing of a program is on a command line or in a file of the host, so there is
//! no limit of length and nothing to clean up. `init.py` reads it.

use std::time::Duration;

use shared::Job;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::init_message::Nonce;

/// Extra lifetime before a container ends itself, should the server die: init then exits.
const LIFETIME_GRACE: Duration = Duration::from_secs(10);

/// Writes `job` and closes the input. The first file is `main_file`, which init starts.
///
/// # Errors
///
/// When the container does not read it, as when it has ended.
pub async fn write_payload(
    mut input: impl AsyncWrite + Unpin,
    job: &Job,
    main_file: &str,
    nonce: &Nonce,
) -> std::io::Result<()> {
    let submission = &job.submission;
    let lifetime = Duration::from_secs_f64(submission.limits.timeout_seconds) + LIFETIME_GRACE;
    let files = submission.files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice()));
    let main = (main_file, submission.code.as_bytes());
    input.write_all(nonce.as_bytes()).await?;
    input.write_all(&number(lifetime.as_secs())).await?;
    input.write_all(&number(submission.files.len() as u64 + 1)).await?;
    for (path, bytes) in std::iter::once(main).chain(files) {
        input.write_all(&number(path.len() as u64)).await?;
        input.write_all(path.as_bytes()).await?;
        input.write_all(&number(bytes.len() as u64)).await?;
        input.write_all(bytes).await?;
    }
    input.write_all(&submission.stdin).await?;
    // The program reads the end of its input.
    input.shutdown().await
}

/// A number is eight bytes, the most significant first.
fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use shared::submission::{File, Submission};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_is_sent_in_front_of_its_input() {
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
        let job = Job::first(submission);
        let nonce = Nonce::random();
        let (writer, mut reader) = tokio::io::duplex(1 << 10);
        write_payload(writer, &job, "main.py", &nonce).await.unwrap();
        let mut sent = Vec::new();
        reader.read_to_end(&mut sent).await.unwrap();
        let mut expected = nonce.as_bytes().to_vec();
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
