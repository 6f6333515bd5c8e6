//! Requests for more than a client may have: other limits, other isolation, other files.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::input::all_refused;
use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        boundless,
        "id: platform/boundless-limits"
        "class: PeerDoS"
        "title: Ask for limits that are none"
        "intent: Asks for time and memory of zero, less than zero and more than there is"
        "success: The server takes one of them"
        "source: Judge0 1.13.0, limits of 0; CWE-1284"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        other_isolation,
        "id: platform/choose-the-walls"
        "class: Escape"
        "title: Choose image, user, mounts or network"
        "intent: Sends fields that would weaken the sandbox if the server used them"
        "success: The server takes a request with such a field"
        "source: gVisor security policy, SandboxSpec; CVE-2024-29021"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        file_names,
        "id: platform/file-names"
        "class: Escape"
        "title: Bring files with paths that lead out"
        "intent: Names files `../x`, absolute, with NUL and with a backslash"
        "success: The server takes one, or a file of that name is on the host"
        "source: CWE-22; Judge0 CVE-2024-28185"
        "host: confined"
        "contained-from: 2"
    ),
    http_probe!(
        traversal,
        "id: platform/path-traversal"
        "class: HostLeak"
        "title: Leave the server's paths"
        "intent: Asks for /etc/passwd by dots, by escapes, by NUL and by backslashes"
        "success: The server answers with a file, or with anything but a refusal"
        "source: CWE-22; OWASP Path Traversal"
        "host: safe"
        "contained-from: 1"
    ),
];

// ANCHOR: boundless-limits
async fn boundless(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage accepts no limits"));
    }
    let mut bodies = Vec::new();
    for (field, values) in [
        ("timeout_seconds", ["0", "-1", "1e9", "null", "\"unlimited\""]),
        ("memory_bytes", ["0", "-1", "18446744073709551615", "1.5", "\"unlimited\""]),
    ] {
        for value in values.into_iter().filter(|value| *value != "null") {
            bodies.push(format!(r#"{{"code": "print(1)", "{field}": {value}}}"#));
        }
    }
    all_refused(testbed, &bodies).await
}
// ANCHOR_END: boundless-limits

// ANCHOR: choose-the-walls
async fn other_isolation(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage has no isolation to choose"));
    }
    let fields = [
        r#""image": "evil""#,
        r#""runtime": "runc""#,
        r#""engine": "subprocess""#,
        r#""network": "host""#,
        r#""enable_network": true"#,
        r#""user": "root""#,
        r#""privileged": true"#,
        r#""mounts": ["/:/host"]"#,
        r#""env": {"LD_PRELOAD": "/tmp/x.so"}"#,
        r#""pids": 100000"#,
    ];
    let bodies = fields.map(|field| format!(r#"{{"code": "print(1)", {field}}}"#));
    all_refused(testbed, &bodies).await
}
// ANCHOR_END: choose-the-walls

// ANCHOR: file-names
async fn file_names(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage accepts no files"));
    }
    let name = format!("planted-{}", canary());
    let dir = testbed.host.dir().to_owned();
    let dir = dir.to_string_lossy();
    let up = "../".repeat(12);
    let mut bodies = Vec::new();
    for path in [
        format!("../{name}"),
        format!("{dir}/{name}"),
        format!("{up}{}/{name}", dir.trim_start_matches('/')),
        format!("a/../../{name}"),
        format!("{name}\\u0000.txt"),
        format!("..\\\\{name}"),
        "main.py".to_owned(),
        String::new(),
        ".".to_owned(),
    ] {
        bodies.push(format!(r#"{{"code": "print(1)", "files": {{"{path}": "x"}}}}"#));
    }
    let verdict = all_refused(testbed, &bodies).await?;
    let planted = testbed.host.outside(&Path::new(&*dir).join(&name));
    Ok(if planted.symlink_metadata().is_ok() { Verdict::Escaped } else { verdict })
}
// ANCHOR_END: file-names

// ANCHOR: path-traversal
async fn traversal(testbed: &Testbed) -> Result<Verdict> {
    let up = "../".repeat(12);
    let mut escaped = String::new();
    for _ in 0..12 {
        let _ = write!(escaped, "%2e%2e%2f"); // writing to a String cannot fail
    }
    for path in [
        format!("/eval/{up}etc/passwd"),
        format!("/{up}etc/passwd"),
        format!("/eval/{escaped}etc%2fpasswd"),
        "/eval/%00".to_owned(),
        "/eval/00000000-0000-7000-8000-000000000000%00".to_owned(),
        "/eval//etc/passwd".to_owned(),
        "/eval/..%5c..%5cetc%5cpasswd".to_owned(),
        "/eval/'%20OR%201=1--".to_owned(),
        format!("/eval/{}", "a".repeat(4000)),
    ] {
        let reply =
            wire::send(testbed, &wire::request(testbed, &format!("GET {path}"), "", "")).await?;
        if !reply.refused() || reply.text.contains("root:") {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: path-traversal
