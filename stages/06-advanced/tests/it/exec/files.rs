//! The file tools, as executions of the sandbox's user.

use stage_06_advanced::{FileError, FileErrorKind, FileTool, SandboxCommand};

use super::{Done, Inside, Kernel, sh};

fn read(path: impl AsRef<[u8]>, max_bytes: u64) -> SandboxCommand {
    SandboxCommand::file_tool(&FileTool::Read { path: path.as_ref().to_vec(), max_bytes })
}

fn write(path: impl AsRef<[u8]>) -> SandboxCommand {
    SandboxCommand::file_tool(&FileTool::Write { path: path.as_ref().to_vec() })
}

fn error(done: &Done) -> FileError {
    assert_eq!((done.code(), done.stdout.len()), (1, 0), "{done:?}");
    FileError::parse(&done.stderr).unwrap_or_else(|| panic!("{done:?}"))
}

async fn files_are_exact_bytes(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let paths: [&[u8]; 4] = [b"plain", b"a b/\xff \"new\n/file", b"https:/en/x%C5%82", b"./-rf"];
    for path in paths {
        for bytes in [&bytes[..], b"", b"shorter"] {
            let done = inside.run_with(&write(path), bytes).await;
            assert_eq!((done.code(), done.stderr.len()), (0, 0), "{done:?}");
            assert_eq!(inside.run(&read(path, 200_000)).await.stdout, bytes);
        }
    }
    let absolute = inside.dir.path().join("work/plain");
    let absolute = absolute.to_str().unwrap();
    assert_eq!(inside.run(&read(absolute, 7)).await.stdout, b"shorter");
    // A file of the kernel names no size, and is read to its end.
    assert!(inside.run(&read("/proc/self/status", 1 << 20)).await.text().contains("Uid:"));
    // What is overwritten stays the same file: its mode, its other names, the target of a link.
    inside.sh("chmod 751 plain; ln plain other; ln -s plain link; ln -s nothing dangling").await;
    inside.run_with(&write("link"), b"by a link").await;
    inside.run_with(&write("dangling"), b"new").await;
    let seen =
        inside.sh("stat -c '%a %h' plain; cat other; echo; readlink link; cat nothing").await;
    assert_eq!(seen.text(), "751 2\nby a link\nplain\nnew");
}

async fn errors_have_a_kind_a_number_and_the_path(kernel: Kernel) {
    use FileErrorKind::{IsDirectory, NotFound, NotRegular, Other, Permission, TooLarge};
    let inside = Inside::on(kernel).await;
    let script = "mkdir dir closed; printf data > file; printf data > shut; chmod 0 shut; \
        printf x > closed/x; chmod 0 closed; printf data > fixed; chmod 444 fixed; mkfifo pipe; \
        ln -s loop loop; ln -s /dev/zero zero";
    assert_eq!(inside.sh(script).await.code(), 0);
    let reads = [
        ("none", NotFound, 2),
        ("file/x", NotFound, 20),
        ("", NotFound, 2),
        ("shut", Permission, 13),
        ("closed/x", Permission, 13),
        ("dir", IsDirectory, 21),
        ("pipe", NotRegular, 0),
        ("/dev/zero", NotRegular, 0),
        ("zero", NotRegular, 0),
        ("loop", Other, 40),
        ("file", TooLarge, 0),
    ];
    for (path, kind, errno) in reads {
        let expected = FileError { kind, errno, path: path.to_owned() };
        assert_eq!(error(&inside.run(&read(path, 3)).await), expected);
    }
    // Beyond the limit while it is read.
    let done = inside.run(&read("/proc/self/status", 10)).await;
    assert_eq!(FileError::parse(&done.stderr).unwrap().kind, TooLarge);
    let writes = [
        ("fixed", Permission, 13),
        ("closed/new", Permission, 13),
        ("/etc/new", Permission, 13),
        ("/etc/new/er", Permission, 13),
        ("dir", IsDirectory, 21),
        ("new/", IsDirectory, 21),
        ("file/x", NotFound, 20),
        ("pipe", NotRegular, 6),
        ("", NotFound, 2),
    ];
    for (path, kind, errno) in writes {
        let expected = FileError { kind, errno, path: path.to_owned() };
        assert_eq!(error(&inside.run_with(&write(path), b"x").await), expected);
    }
    // A pipe with a reader does not get it either.
    let mut reader = inside.start(&sh("exec 3<>pipe; read line <&3")).await;
    let done = inside.run_with(&write("pipe"), b"x\n").await;
    assert_eq!(error(&done).kind, NotRegular);
    reader.kill();
    super::finish(&mut reader).await;
    // A device that takes everything.
    assert_eq!(error(&inside.run_with(&write("/dev/null"), b"x").await).kind, NotRegular);
    assert_eq!(FileError::parse(b"sh: not found\n"), None);
    assert_eq!(FileError::parse(b""), None);
}

async fn directories_travel_as_tar(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let script = "mkdir -p from/deep/er from/empty; printf one > from/one; chmod 640 from/one; \
        printf 'x\\n' > 'from/deep/er/a b'; ln -s ../one from/deep/link; ln -s /etc/passwd from/abs; \
        mkfifo from/pipe; mkdir from/readonly; printf y > from/readonly/y; chmod 555 from/readonly";
    assert_eq!(inside.sh(script).await.code(), 0);
    let out = |path: &str| SandboxCommand::file_tool(&FileTool::ReadTar { path: path.into() });
    let into = |path: &str| SandboxCommand::file_tool(&FileTool::WriteTar { path: path.into() });
    let tar = inside.run(&out("from")).await;
    assert_eq!((tar.code(), tar.stderr.len()), (0, 0), "{tar:?}");
    let listed = inside.run_with(&SandboxCommand::new(["tar", "-t"]), &tar.stdout).await;
    let mut listed: Vec<_> = listed.text().lines().collect();
    listed.sort_unstable();
    let names = "abs deep/ deep/er/ deep/er/a b deep/link empty/ one readonly/ readonly/y";
    assert_eq!(listed.join(" "), names);
    assert_eq!(inside.run_with(&into("new/to"), &tar.stdout).await.code(), 0);
    let list = "cd $0; find . -printf '%P %y %m %l\\n' | grep -v '^pipe' | sort; cat one deep/link";
    let list = |dir: &str| SandboxCommand::new(["sh", "-c", list, dir]);
    let (from, to) = (inside.run(&list("from")).await, inside.run(&list("new/to")).await);
    assert_eq!(from.text(), to.text());
    // Once more over what is there, unless the user has forbidden that.
    let again = inside.run_with(&into("new/to"), &tar.stdout).await;
    assert_eq!(error(&again).kind, FileErrorKind::Permission);
    inside.sh("chmod 755 new/to/readonly").await;
    assert_eq!(inside.run_with(&into("new/to"), &tar.stdout).await.code(), 0);
    // By the system's own program as well.
    let made = inside
        .run(&SandboxCommand::new(["tar", "-czf", "-", "--exclude=from/pipe", "from"]))
        .await
        .stdout;
    let plain = inside.run_with(&SandboxCommand::new(["gzip", "-d"]), &made).await.stdout;
    assert_eq!(inside.run_with(&into("third"), &plain).await.code(), 0);
    // What cannot be read is the error at the end, and the rest is there.
    inside.sh("chmod 0 from/one").await;
    let tar = inside.run(&out("from")).await;
    assert_eq!(tar.code(), 1);
    assert_eq!(FileError::parse(&tar.stderr).unwrap().kind, FileErrorKind::Permission);
    let listed = inside.run_with(&SandboxCommand::new(["tar", "-t"]), &tar.stdout).await;
    assert_eq!(listed.text().lines().count(), 8);
    for (path, kind) in [("none", FileErrorKind::NotFound), ("from/abs", FileErrorKind::NotFound)] {
        assert_eq!(error(&inside.run(&out(path)).await).kind, kind, "{path}");
    }
    let no_tar = inside.run_with(&into("fourth"), &[b'x'; 600]).await;
    assert_eq!(error(&no_tar).kind, FileErrorKind::Other);
}

/// A header and its content, whatever the name is.
fn entry(name: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    let content = b"written";
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    let is_file = kind == tar::EntryType::Regular;
    header.set_size(if is_file { content.len() as u64 } else { 0 });
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    if is_file {
        bytes.extend_from_slice(content);
        bytes.resize(1024, 0);
    }
    bytes
}

async fn a_tar_cannot_leave_its_directory(kernel: Kernel) {
    use tar::EntryType::{Fifo, Link, Regular, Symlink};
    let inside = Inside::on(kernel).await;
    inside
        .sh("mkdir outside; printf own > outside/file; mkdir in; ln -s ../outside in/there")
        .await;
    let outside = inside.dir.path().join("work/outside");
    let absolute = format!("{}/file", outside.display());
    let cases = [
        ("a parent", vec![entry("../outside/file", Regular, "")]),
        ("a parent inside", vec![entry("a/../../outside/file", Regular, "")]),
        ("an absolute path", vec![entry(&absolute, Regular, "")]),
        ("a link that was there", vec![entry("there/file", Regular, "")]),
        (
            "a link before it",
            vec![entry("link", Symlink, "../outside"), entry("link/file", Regular, "")],
        ),
        ("a hard link", vec![entry("hard", Link, "../outside/file"), entry("hard", Regular, "")]),
        ("a pipe", vec![entry("pipe", Fifo, "")]),
    ];
    for (case, entries) in cases {
        let mut bytes = entries.concat();
        bytes.resize(bytes.len() + 1024, 0);
        let tool = FileTool::WriteTar { path: b"in".to_vec() };
        let done = inside.run_with(&SandboxCommand::file_tool(&tool), &bytes).await;
        assert_eq!(done.code(), 1, "{case}: {done:?}");
        assert!(FileError::parse(&done.stderr).is_some(), "{case}: {done:?}");
        let seen = inside.sh("cat outside/file; ls outside; find in -type p").await;
        assert_eq!(seen.text(), "ownfile\n", "{case}");
    }
}

/// On gVisor, with a root of its own.
#[tokio::test]
async fn a_diff_has_what_was_changed_and_what_was_deleted() {
    let (dir, host, guest) = super::prepare();
    let root = dir.path().join("root");
    let at = |path: &str| root.join(path);
    for path in ["etc/apt", "etc/untouched", "usr/bin", "proc", "dev"] {
        std::fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["etc/hostname", "etc/passwd", "etc/apt/list", "usr/bin/env", "usr/bin/old"] {
        std::fs::write(at(path), path).unwrap();
    }
    std::fs::copy(dir.path().join("exec_supervisor"), at("exec_supervisor")).unwrap();
    let mut list = std::process::Command::new(at("exec_supervisor"));
    let listed = list.arg("baseline").arg(&root).output().unwrap();
    std::fs::write(at("baseline"), &listed.stdout).unwrap();
    // A later change has a later time, by the clock that the file system has.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::remove_file(at("etc/hostname")).unwrap();
    std::fs::remove_dir_all(at("etc/apt")).unwrap();
    std::fs::rename(at("usr/bin/old"), at("usr/bin/new")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(at("usr/bin/env"), mode).unwrap();
    let command = super::runsc(dir.path(), &root);
    let inside = Inside::spawn(command, dir, host, guest).await;
    let as_root = |command: SandboxCommand| command.user(Some("0".to_owned()));
    for path in ["/etc/passwd", "/srv/new/file"] {
        let done = inside.run_with(&as_root(write(path)), b"written inside").await;
        assert_eq!(done.code(), 0, "{done:?}");
    }
    let diff = FileTool::Diff { baseline: b"/baseline".to_vec() };
    let diff = inside.run(&as_root(SandboxCommand::file_tool(&diff))).await;
    assert_eq!((diff.code(), String::from_utf8_lossy(&diff.stderr).as_ref()), (0, ""));
    let mut archive = tar::Archive::new(diff.stdout.as_slice());
    let paths = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        entry.path().unwrap().to_str().unwrap().to_owned()
    });
    let mut paths: Vec<_> = paths.collect();
    paths.sort_unstable();
    let expected = "baseline etc/ etc/.wh.apt etc/.wh.hostname etc/passwd srv/ srv/new/ \
        srv/new/file usr/bin/ usr/bin/.wh.old usr/bin/env usr/bin/new";
    let paths: Vec<_> = paths.into_iter().filter(|path| path != "baseline").collect();
    assert_eq!(paths.join(" "), expected.replace("baseline ", ""));
    // Who may not read the root's files gets what the error at the end says.
    let other = FileTool::Diff { baseline: b"/none".to_vec() };
    assert_eq!(
        error(&inside.run(&SandboxCommand::file_tool(&other)).await).kind,
        FileErrorKind::NotFound
    );
}

super::on_each_kernel!(
    files_are_exact_bytes,
    errors_have_a_kind_a_number_and_the_path,
    directories_travel_as_tar,
    a_tar_cannot_leave_its_directory,
);
