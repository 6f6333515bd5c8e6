//! `--security-test`: what the ladder is started with, and what is left of it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use harness::Server;

use super::{BINARY, Site};

/// Runs the flag with a program in place of the ladder, which shows what it gets and what its keys can do.
fn security_test(site: &Site, server: &Server, flag: &str, ends_with: u8) -> Output {
    let ladder = site.path().join("ladder.sh");
    let ask = "curl -s -o /dev/null -w '%{http_code} '";
    let script = format!(
        "#!/bin/sh\necho \"$@\"\nIFS=,\nfor key in $CRUCIBLE_LADDER_KEYS; do\n  {ask} -H \"Authorization: \
         Bearer $key\" \"$5/queue\"\n  echo \"$key\"\ndone\nexit {ends_with}\n"
    );
    std::fs::write(&ladder, script).unwrap();
    std::fs::set_permissions(&ladder, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(BINARY);
    command.args([flag, "--listen", server.address(), "--data-dir"]).arg(site.path());
    command.env("CRUCIBLE_LADDER", ladder).output().unwrap()
}

#[tokio::test]
async fn the_ladder_gets_keys_that_stop_working() {
    let site = Site::new();
    site.key("alice", &["submit"]);
    let server = site.start();
    let output = security_test(&site, &server, "--security-test=tenants", 0);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let expected = format!("attack --stage 9 --url {} --group tenants", server.url());
    assert_eq!(lines.next(), Some(expected.as_str()));
    let answers: Vec<_> = lines.map(|line| line.split_once(' ').unwrap()).collect();
    // Owner, attacker and reader may read; the last one may only submit.
    assert_eq!(
        answers.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        ["200", "200", "200", "403"]
    );
    harness::eventually_some(
        "the keys are revoked",
        std::time::Duration::from_secs(10),
        async || {
            let client = server.client().with_key(answers[0].1);
            (client.get("/queue").await.status == 401).then_some(())
        },
    )
    .await;
    let list = site.output(&["keys", "list"]);
    assert_eq!(list.lines().filter(|line| line.contains("\trevoked\t")).count(), 4, "{list}");
    assert!(site.output(&["audit", "verify"]).contains("none changed"));
}

/// One that `--security-test` has made is on the page, and stays there over a restart of the server.
#[tokio::test]
async fn the_test_of_the_command_line_is_stored_for_the_page() {
    let site = Site::new();
    let admin = site.key("admin", &["admin"]);
    let server = site.start();
    let never = server.client().with_key(&admin).get("/security-test").await.json();
    assert_eq!(never["status"], "never", "{never}");
    let verdict = r#"[{"probe":"tenants/batch","verdict":"contained","by":"authorization","must_contain":true}]"#;
    let script =
        format!("#!/bin/sh\necho '{verdict}' >\"$CRUCIBLE_LADDER_REPORT\"\necho a table\nexit 1\n");
    let ladder = site.path().join("reporting.sh");
    std::fs::write(&ladder, script).unwrap();
    std::fs::set_permissions(&ladder, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--security-test=tenants", "--listen", server.address(), "--data-dir"]);
    let output = command.arg(site.path()).env("CRUCIBLE_LADDER", ladder).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b"a table\n"[..]),
        "{output:?}"
    );
    let seen = server.client().with_key(&admin).get("/security-test").await.json();
    assert_eq!((&seen["status"], &seen["group"]), (&"ended".into(), &"tenants".into()), "{seen}");
    assert_eq!(seen["verdicts"][0]["by"], "authorization", "{seen}");
    assert_eq!(server.stop(), Some(0));
    let server = site.start();
    let again = server.client().with_key(&admin).get("/security-test").await.json();
    assert_eq!((&again["verdicts"], &again["ended_at"]), (&seen["verdicts"], &seen["ended_at"]));
}

#[tokio::test]
async fn a_test_that_cannot_pass_says_why() {
    let site = Site::new();
    let server = site.start();
    let open = security_test(&site, &server, "--security-test", 1);
    assert_eq!(open.status.code(), Some(1));
    let expected = format!("attack --stage 9 --url {}\n", server.url());
    assert_eq!(String::from_utf8(open.stdout).unwrap(), expected, "an open server needs no keys");
    assert!(String::from_utf8(open.stderr).unwrap().contains("did not pass"));
    for (arguments, error) in [
        (["--listen", "127.0.0.1:1"], "there is no ladder beside this program"),
        (["--listen", "192.0.2.1:8009"], "not to 192.0.2.1:8009"),
    ] {
        let ladder = if error.contains("no ladder") { "/nowhere" } else { BINARY };
        let mut command = Command::new(BINARY);
        command.arg("--security-test").args(arguments).env("CRUCIBLE_LADDER", ladder);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(error), "{text}");
    }
}
