//! What an execution is given and what comes out of it: bytes, ends, users, directories.

use stage_06_advanced::{ExecutionExit, SandboxCommand, StartError, StartFailedKind};

use super::{Inside, Kernel, USER, sh};

async fn output_is_exact_and_the_streams_are_apart(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let done = inside.sh(r"printf 'a\000\377\n\n'; printf 'e\376' >&2; exit 70").await;
    assert_eq!(
        (done.stdout.as_slice(), done.stderr.as_slice()),
        (&b"a\0\xff\n\n"[..], &b"e\xfe"[..])
    );
    assert_eq!(done.code(), 70);
    assert!(done.pid.is_some_and(|pid| pid > 1));
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let done = inside.run_with(&SandboxCommand::new(["cat"]), &bytes).await;
    assert_eq!((done.code(), done.stdout), (0, bytes));
    let words = [&b"printf"[..], b"%s|", b"", b"a b", b"\xff\n", b"$(x)"];
    assert_eq!(inside.run(&SandboxCommand::new(words)).await.stdout, b"|a b|\xff\n|$(x)|");
}

async fn an_end_is_a_code_or_a_signal(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    for code in [0, 1, 127, 255] {
        assert_eq!(inside.sh(&format!("exit {code}")).await.code(), code);
    }
    for signal in [15, 9, 11] {
        let done = inside.sh(&format!("kill -{signal} $$")).await;
        assert_eq!(done.exit, Some(ExecutionExit::Signal(signal)), "{done:?}");
    }
    // Signals that a program would have ignored are not: SIGPIPE ends this one.
    let done = inside.sh("yes | head -c 1; trap '' TERM; kill -TERM $$; echo on").await;
    assert_eq!(done.text(), "yon\n");
}

async fn a_program_that_cannot_be_executed_is_an_error_by_its_number(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let script = "printf nothing > unknown; chmod +x unknown; mkdir bin; printf x > bin/ls; \
                  printf '#!/no/such' > script; chmod +x script; ln -s loop loop";
    assert_eq!(inside.sh(script).await.code(), 0);
    let cases: [(&str, i32); 9] = [
        ("/etc/passwd", 13),
        ("/no/such/program", 2),
        ("no-such-program", 2),
        ("", 2),
        ("./unknown", 8),
        ("./script", 2),
        ("/tmp", 13),
        ("/etc/passwd/x", 20),
        ("./loop", 40),
    ];
    for (program, errno) in cases {
        let failed = inside.run(&SandboxCommand::new([program])).await.failed;
        let failed = failed.unwrap_or_else(|| panic!("{program} was started"));
        let expected = (StartFailedKind::Program, u32::try_from(errno).unwrap());
        assert_eq!((failed.kind, failed.errno), expected, "{program}");
    }
    // The PATH of this execution decides, and a file that cannot be executed does not end the search.
    let path = |path: &str| vec![(b"PATH".to_vec(), path.as_bytes().to_vec())];
    let env = path("bin");
    let failed = inside.run(&SandboxCommand::new(["ls"]).env(env)).await.failed;
    assert_eq!(failed.map(|failed| failed.errno), Some(13));
    let env = path("bin:/usr/bin:/bin");
    let done = inside.run(&SandboxCommand::new(["ls", "bin"]).env(env)).await;
    assert_eq!(done.text(), "ls\n");
    let long = SandboxCommand::new([b"echo".to_vec(), vec![b'x'; 3 << 20]]);
    let errno = inside.run(&long).await.failed.map(|failed| failed.errno);
    // Linux: E2BIG. gVisor: ENAMETOOLONG.
    assert_eq!(errno, Some(if kernel == Kernel::Host { 7 } else { 36 }));
}

async fn a_command_that_is_none_is_refused_by_the_host(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let refused = |command: SandboxCommand| {
        let inside = &inside;
        async move { inside.channel.start(&command).await.unwrap_err() }
    };
    let none: [&str; 0] = [];
    assert!(matches!(refused(SandboxCommand::new(none)).await, StartError::NoProgram));
    assert!(matches!(refused(SandboxCommand::new(["a\0b"])).await, StartError::Nul));
    assert!(matches!(refused(sh("").user(Some("a\0b".to_owned()))).await, StartError::Nul));
    let env = vec![(b"A=B".to_vec(), Vec::new())];
    assert!(matches!(refused(sh("").env(env)).await, StartError::VariableName));
    let long = SandboxCommand::new([vec![b'x'; 5 << 20]]);
    assert!(matches!(refused(long).await, StartError::TooLong { .. }));
    assert_eq!(inside.sh("echo on").await.text(), "on\n");
}

async fn a_command_runs_as_the_user_that_it_names(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let ids = "echo $(id -u) $(id -g) $(id -G) $HOME $USER; grep -E 'CapEff' /proc/self/status";
    let as_user =
        async |user: Option<&str>| inside.run(&sh(ids).user(user.map(str::to_owned))).await;
    let none = "CapEff:\t0000000000000000\n";
    let cases = [
        (None, format!("{USER} {USER} {USER} /\n")),
        (Some("4000:4001"), "4000 4001 4001 /\n".to_owned()),
        (Some("daemon"), "1 1 1 /usr/sbin daemon\n".to_owned()),
        (Some("1"), "1 1 1 /usr/sbin daemon\n".to_owned()),
        (Some("daemon:audio"), "1 29 29 /usr/sbin daemon\n".to_owned()),
    ];
    for (user, expected) in cases {
        let done = as_user(user).await;
        assert_eq!(done.text(), format!("{expected}{none}"), "{user:?}");
    }
    for root in ["root", "0", "0:0"] {
        let done = as_user(Some(root)).await;
        assert!(done.text().starts_with("0 0 0 /root root\n"), "{root}: {}", done.text());
        assert!(!done.text().ends_with(none), "{root}: {}", done.text());
    }
    for unknown in ["no-such-user", "daemon:no-such-group", "-1", ""] {
        let failed = as_user(Some(unknown)).await.failed.unwrap();
        assert_eq!(failed.kind, StartFailedKind::UserUnknown, "{unknown}");
    }
}

async fn a_command_runs_in_the_directory_that_it_names(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let work = inside.dir.path().join("work").to_str().unwrap().to_owned();
    inside.sh("mkdir -p sub; mkdir closed; chmod 0 closed").await;
    let pwd = |cwd: Option<&str>| {
        SandboxCommand::new(["/bin/pwd"]).cwd(cwd.map(|cwd| cwd.as_bytes().to_vec()))
    };
    for (cwd, expected) in [
        (None, format!("{work}\n")),
        (Some("/usr/bin"), "/usr/bin\n".to_owned()),
        (Some("sub"), format!("{work}/sub\n")),
        (Some(".."), format!("{}\n", inside.dir.path().display())),
    ] {
        assert_eq!(inside.run(&pwd(cwd)).await.text(), expected, "{cwd:?}");
    }
    for (cwd, errno) in [("no/such", 2), ("/etc/passwd", 20), ("closed", 13), ("", 2)] {
        let failed = inside.run(&pwd(Some(cwd))).await.failed.unwrap();
        assert_eq!((failed.kind, failed.errno), (StartFailedKind::Cwd, errno), "{cwd}");
    }
    // The directory of another user, which this one cannot enter, is not where it starts.
    assert_eq!(inside.sh("chmod 700 .").await.code(), 0);
    assert_eq!(inside.run(&pwd(None).user(Some("4000".to_owned()))).await.text(), "/\n");
}

async fn the_environment_is_the_sandboxs_then_the_commands(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let env = vec![
        (b"HOME".to_vec(), b"/elsewhere".to_vec()),
        (b"EMPTY".to_vec(), Vec::new()),
        (b"BYTES".to_vec(), b"\xff=\n".to_vec()),
    ];
    let done = inside.run(&SandboxCommand::new(["env", "-0"]).env(env)).await;
    let mut variables: Vec<_> = done.stdout.split(|byte| *byte == 0).collect();
    variables.sort_unstable();
    let path: &[u8] = b"PATH=/usr/local/bin:/usr/bin:/bin";
    let expected = [b"", &b"BYTES=\xff=\n"[..], b"EMPTY=", b"HOME=/elsewhere", path];
    assert_eq!(variables, expected);
}

super::on_each_kernel!(
    output_is_exact_and_the_streams_are_apart,
    an_end_is_a_code_or_a_signal,
    a_program_that_cannot_be_executed_is_an_error_by_its_number,
    a_command_that_is_none_is_refused_by_the_host,
    a_command_runs_as_the_user_that_it_names,
    a_command_runs_in_the_directory_that_it_names,
    the_environment_is_the_sandboxs_then_the_commands,
);
