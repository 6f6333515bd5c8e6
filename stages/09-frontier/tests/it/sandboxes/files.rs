//! Files and directories in and out, large ones too.

use std::io::Read as _;

use bytes::Bytes;
use futures_util::stream;
use harness::{Method, Server};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Sandbox, launch};

/// A large body, piece by piece.
fn body(mebibytes: usize) -> reqwest::Body {
    let piece = Bytes::from((0..1 << 20).map(|at: u32| (at % 253) as u8).collect::<Vec<_>>());
    let pieces = (0..mebibytes).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

fn digest(mebibytes: usize) -> String {
    let piece: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 253) as u8).collect();
    let mut digest = Sha256::new();
    (0..mebibytes).for_each(|_| digest.update(&piece));
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// The most memory that both processes of the server have had, in KiB.
fn peak(server: &Server) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid()));
    let children = children.unwrap_or_default();
    let peak = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let is_own = status.lines().any(|line| line.starts_with("Name:\tstage-09"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        if is_own { number.unwrap_or(0) } else { 0 }
    };
    let own = server.pid().to_string();
    children.split_whitespace().chain([own.as_str()]).map(peak).max().unwrap()
}

#[tokio::test]
async fn each_file_error_has_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).start();
    let client = server.client();
    let sandbox = Sandbox::open(
        &client,
        json!({ "limits": { "memory_bytes": 1_u64 << 30, "disk_bytes": 300 << 20 } }),
    )
    .await;
    let written = sandbox.put_bytes("/file?path=a%20b/c.txt", "hello\n").await;
    assert_eq!((written.status, written.json()), (200, json!({ "bytes": 6 })), "{written:?}");
    assert_eq!(
        sandbox
            .sh("cat", "cat '/home/agent/a b/c.txt'; rm -f x; mkfifo fifo; ln -s /etc/passwd link")
            .await,
        "hello\n"
    );
    assert_eq!(sandbox.put_bytes("/file?path=empty", "").await.status, 200);
    let empty = sandbox.get("/file?path=empty").await;
    assert_eq!((empty.status, empty.text()), (200, String::new()));
    for (path, status, kind) in [
        ("nosuch", 404, "not_found"),
        ("https%3A%2Fen.wikipedia.org%2F%C5%82", 404, "not_found"),
        ("/etc/shadow", 403, "permission"),
        ("/etc", 409, "is_directory"),
        ("/dev/null", 409, "not_regular"),
        ("fifo", 409, "not_regular"),
        ("a%20b/c.txt&max_bytes=5", 413, "too_large"),
    ] {
        let refused = sandbox.get(&format!("/file?path={path}")).await;
        assert_eq!(
            (refused.status, &refused.json()["kind"]),
            (status, &json!(kind)),
            "{path}: {refused:?}"
        );
    }
    let missing = sandbox.get("/file?path=nosuch").await.json();
    assert_eq!(
        (&missing["path"], &missing["detail"]),
        (&json!("nosuch"), &json!("there is nothing at this path: nosuch"))
    );
    for (path, status, kind) in [("a%20b", 409, "is_directory"), ("/etc/x", 403, "permission")] {
        let refused = sandbox.put_bytes(&format!("/file?path={path}"), body(2)).await;
        assert_eq!(
            (refused.status, &refused.json()["kind"]),
            (status, &json!(kind)),
            "{path}: {refused:?}"
        );
    }
    assert_eq!(sandbox.put_bytes("/file?path=/etc/x&user=root", "y").await.status, 200);
    let unknown = sandbox.get("/file?path=x&user=nosuch").await;
    assert_eq!(
        (unknown.status, &unknown.json()["kind"]),
        (422, &json!("user_unknown")),
        "{unknown:?}"
    );

    // Directories, both ways.
    let tar = sandbox.get("/tar?path=a%20b").await;
    assert_eq!((tar.status, tar.header("content-type")), (200, "application/x-tar"));
    let request = client.request(Method::PUT, &sandbox.path("/tar?path=copy"));
    let request = request.header("content-type", "application/x-tar").body(tar.body.clone());
    let copied = client.send(request).await;
    assert_eq!(copied.status, 200, "{copied:?}");
    assert_eq!(sandbox.sh("copied", "cat copy/c.txt").await, "hello\n");
    sandbox.exec("rm", &json!({ "argv": ["rm", "/etc/debian_version"], "user": "root" })).await;
    let diff = sandbox.get("/diff").await;
    assert_eq!(diff.status, 200, "{}", diff.text());
    let names = String::from_utf8_lossy(&diff.body).into_owned();
    for name in ["etc/x", ".wh.debian_version", "home/agent/a b/c.txt"] {
        assert!(names.contains(name), "{name}");
    }

    // Large ones, with bounded memory at the server.
    let before = peak(&server);
    let expected = digest(100);
    assert_eq!(
        sandbox.put_bytes("/file?path=/tmp/large", body(100)).await.json(),
        json!({ "bytes": 100 << 20 })
    );
    assert_eq!(sandbox.sh("sum", "sha256sum < /tmp/large").await, format!("{expected}  -\n"));
    let mut response = client.open(&sandbox.path("/file?path=/tmp/large")).await;
    assert_eq!(response.content_length(), Some(100 << 20), "a download that is cut off is noticed");
    let (mut sum, mut length) = (Sha256::new(), 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
        sum.update(&chunk);
    }
    assert_eq!((length, data_encoding::HEXLOWER.encode(&sum.finalize())), (100 << 20, expected));
    sandbox.detach("wc", json!({ "argv": ["wc", "-c"], "stdin": "stream" })).await;
    let sent = sandbox.put_bytes("/execs/wc/stdin?eof=true", body(50)).await;
    assert_eq!(sent.json(), json!({ "received": 50 << 20, "closed": true }));
    assert_eq!(sandbox.ended("wc").await["stdout"]["text"], "52428800\n");
    let grown = peak(&server) - before;
    assert!(grown < 48 << 10, "the server has grown by {grown} KiB");
}

/// An upload that is cut off is not the file.
#[tokio::test]
async fn an_upload_that_is_cut_off_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).start();
    let sandbox = Sandbox::open(&server.client(), json!({})).await;
    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
    let path = sandbox.path("/file?path=cut");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nhalf",
        server.address()
    );
    std::io::Write::write_all(&mut connection, head.as_bytes()).unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    // The sandbox serves on.
    assert_eq!(sandbox.sh("true", "echo on").await, "on\n");
}

/// What the engines of Docker do not have is said, and not half done.
#[tokio::test]
async fn a_container_that_stays_says_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).args(["--engine", "docker"]).start();
    let client = server.client();
    let sandbox = Sandbox::open(&client, json!({})).await;
    let written = sandbox.put_bytes("/file?path=/etc/new", "x").await;
    // Its user could not write there either; which of both is said first is the kernel's.
    assert_eq!(written.status, 403, "{written:?}");
    let written = sandbox.put_bytes("/file?path=note", "kept").await;
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(sandbox.sh("read", "cat note").await, "kept");
    let diff = sandbox.get("/diff").await;
    assert_eq!((diff.status, &diff.json()["kind"]), (501, &json!("read_only")), "{diff:?}");
    assert!(diff.text().contains("--engine gvisor"), "{diff:?}");
    let root = json!({ "argv": ["true"], "user": "root" });
    assert_eq!(sandbox.exec("root", &root).await["outcome"], "user_unsupported");
    let refused = sandbox.get("/file?path=/etc/passwd&user=root").await;
    assert_eq!((refused.status, &refused.json()["kind"]), (422, &json!("user_unsupported")));
}
