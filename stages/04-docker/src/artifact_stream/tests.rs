//! What init sends, by its own code and by one that lies.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::artifacts::{MAX_ARTIFACT_BYTES, MAX_ARTIFACTS};

const MAX_TEST_TIME: Duration = Duration::from_mins(1);

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind], &(payload.len() as u64).to_be_bytes()[..], payload].concat()
}

fn end(skipped: u64) -> Vec<u8> {
    [&b"E"[..], &skipped.to_be_bytes(), b"\n"].concat()
}

fn taken(stream: &[u8], size: usize) -> Result<Option<Collected>, ArtifactError> {
    let mut decoder = ArtifactStream::default();
    for chunk in stream.chunks(size) {
        if let Some(collected) = decoder.push(chunk)? {
            return Ok(Some(collected));
        }
    }
    Ok(None)
}

#[test]
fn files_are_taken_however_the_stream_is_cut() {
    let parts = [frame(b'F', b"a"), frame(b'C', b"12"), frame(b'C', b"3"), frame(b'F', b"b/c")];
    let stream = [parts.concat(), end(7)].concat();
    for size in 1..=stream.len() {
        let collected = taken(&stream, size).unwrap().unwrap();
        let files = collected.artifacts.iter();
        let files: Vec<_> = files.map(|file| (file.path.as_str(), &file.content[..])).collect();
        assert_eq!((files, collected.skipped), (vec![("a", &b"123"[..]), ("b/c", b"")], 7));
    }
    assert_eq!(taken(&stream[..stream.len() - 2], 5), Ok(None), "it has not ended");
}

#[test]
fn nothing_is_taken_from_a_stream_that_lies() {
    let chunk = frame(b'C', &vec![0; MAX_CHUNK_BYTES]);
    let too_much = chunk.repeat(MAX_ARTIFACT_BYTES / MAX_CHUNK_BYTES + 1);
    let many = |number| (0..number).flat_map(|n: usize| frame(b'F', n.to_string().as_bytes()));
    for (lie, stream) in [
        ("a path that climbs", frame(b'F', b"a/../../x")),
        ("an absolute path", frame(b'F', b"/etc/x")),
        ("one path twice", frame(b'F', b"a").repeat(2)),
        ("a path without end", frame(b'F', &[b'x'; MAX_ARTIFACT_PATH_BYTES + 1])),
        ("bytes of no file", frame(b'C', b"x")),
        ("too many files", many(MAX_ARTIFACTS + 1).collect()),
        ("too many bytes", [frame(b'F', b"a"), too_much].concat()),
        ("a part without end", [&b"C"[..], &u64::MAX.to_be_bytes()].concat()),
        ("something else", frame(b'X', b"")),
        ("a traceback", b"Traceback (most recent call last):\n".to_vec()),
    ] {
        assert!(taken(&[stream, end(0)].concat(), 1000).is_err(), "{lie}");
    }
}

/// What init's code takes from a directory of this machine.
fn collected(directory: &Path) -> Collected {
    let call = format!("collect(send, {directory:?}, {MAX_ARTIFACTS}, {MAX_ARTIFACT_BYTES}, 1024)");
    let send =
        "def send(data):\n    import posix\n    while data: data = data[posix.write(1, data):]";
    let code = format!("{}\n\n{send}\n\n{call}\n", include_str!("../collect.py"));
    let output = Command::new("python3").args(["-I", "-S", "-c", &code]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    taken(&output.stdout, 1 << 16).unwrap().unwrap()
}

/// Under init nothing of the program runs any more. Even if it did, no link would be followed.
#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let (output, outside) = (path("output"), path("outside"));
    for directory in [&output, &outside, &output.join("swapped")] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(outside.join("file"), "secret").unwrap();
    std::fs::write(output.join("swapped/file"), "own").unwrap();
    std::fs::write(output.join("grows"), "").unwrap();
    std::os::unix::fs::symlink(outside.join("file"), output.join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, output.join("directory-link")).unwrap();
    let (ended, started) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (swapped, aside) = (output.join("swapped"), path("aside"));
            // A failed assertion does not end this.
            while !ended.load(Ordering::Relaxed) && started.elapsed() < MAX_TEST_TIME {
                std::fs::rename(&swapped, &aside).unwrap();
                std::os::unix::fs::symlink(&outside, &swapped).unwrap();
                std::fs::write(output.join("grows"), vec![b'x'; 1 << 20]).unwrap();
                std::fs::remove_file(&swapped).unwrap();
                std::fs::rename(&aside, &swapped).unwrap();
            }
        });
        for _ in 0..30 {
            let Collected { artifacts, skipped } = collected(&output);
            for file in &artifacts {
                let is_own = ["grows", "swapped/file"].contains(&file.path.as_str());
                assert!(is_own && &file.content[..] != b"secret", "{}", file.path);
            }
            assert!((2..=3).contains(&skipped), "the links: {skipped}");
        }
        ended.store(true, Ordering::Relaxed);
    });
}
