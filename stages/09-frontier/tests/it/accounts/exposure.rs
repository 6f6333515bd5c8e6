//! Which addresses a server may listen on.

use std::process::Command;
use std::time::Duration;

use super::{BINARY, Site};

/// Starts a server that has to refuse to start, and returns what it says.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    let deadline = Duration::from_secs(20).as_secs().to_string();
    command.arg(deadline).arg(BINARY).args(["--engine", "subprocess", "--unsafe"]);
    command.args(["--single-process", "--allow-remote", "--data-dir"]).arg(site.path());
    let output = command.args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty() && !output.status.success(), "{text}");
    assert_ne!(output.status.code(), Some(124), "it was started: {text}");
    text
}

#[test]
fn an_address_for_other_machines_needs_tls() {
    let site = Site::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let text = refused(&site, &["--listen", address]);
        assert!(text.contains("unencrypted") && text.contains("--tls-cert"), "{text}");
    }
    let halves = refused(&site, &["--tls-cert", "/nowhere"]);
    assert!(halves.contains("--tls-key"), "{halves}");
}
