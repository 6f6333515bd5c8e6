"""Directories and what has changed, from both clients; and the shell, as a person starts it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from crucible_client import AsyncSandbox, Client, FileIsDirectoryError, FileMissingError, Sandbox
from crucible_client.archive import names, pack, unpack


def tar(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x") -> bytes:
    """A tar with one entry."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc", len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_an_archive_leaves_nothing_outside_of_its_directory(tmp_path: Path) -> None:
    for name in ("/abs", "../up", "a/../../up"):
        with pytest.raises(ValueError, match="leads out"):
            unpack(tar(name), tmp_path / "out")
    unpack(tar("link", tarfile.SYMTYPE, b""), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    unpack(tar("deep/file"), tmp_path / "out")
    assert (tmp_path / "out/deep/file").read_bytes() == b"x"
    with pytest.raises(FileExistsError):
        unpack(tar("file"), tmp_path / "out")
    assert sorted(names(pack(tmp_path / "out"))) == ["deep", "deep/file"]


def made(directory: Path) -> Path:
    """A directory with a directory, a file of bytes, and a program."""
    (directory / "sub").mkdir(parents=True)
    (directory / "sub/data.bin").write_bytes(bytes(range(256)))
    program = directory / "run.sh"
    program.write_text("#!/bin/sh\necho ran > result.txt\n")
    program.chmod(0o755)
    return directory


@pytest.mark.sandbox
async def test_directories_go_both_ways(sandbox: AsyncSandbox, tmp_path: Path) -> None:
    await sandbox.upload(made(tmp_path / "in"), "work/dir")
    ended = await sandbox.exec(["./run.sh"], cwd="work/dir", exec_id="run", timeout_seconds=30)
    assert ended.succeeded, ended
    await sandbox.download("work/dir", tmp_path / "out")
    assert (tmp_path / "out/sub/data.bin").read_bytes() == bytes(range(256))
    assert (tmp_path / "out/result.txt").read_text() == "ran\n"
    changed = [name.strip("/") for name in names(await sandbox.diff())]
    assert "home/agent/work/dir/result.txt" in changed
    listed = {one.id: one for one in await sandbox.executions()}
    run = listed["run"]
    assert (run.program, run.ended, run.exit_code, run.stdout_bytes) == ("./run.sh", True, 0, 0)
    with pytest.raises(FileMissingError):
        await sandbox.read_tar("no/such")
    with pytest.raises(FileIsDirectoryError):
        await sandbox.read_file("work/dir")


@pytest.fixture(scope="module")
def blocking() -> Sandbox:
    """One for the tests of this file, which the idle time-out removes."""
    return Client().create_sandbox(labels={"test": "files"}, idle_timeout_seconds=60)


@pytest.mark.sandbox
def test_the_blocking_client_has_the_same(blocking: Sandbox, tmp_path: Path) -> None:
    blocking.upload(made(tmp_path / "in"), "here")
    assert blocking.exec(["sh", "run.sh"], cwd="here", timeout_seconds=30).succeeded
    blocking.write_tar("there", blocking.read_tar("here"))
    blocking.download("there", tmp_path / "out")
    assert (tmp_path / "out/sub/data.bin").read_bytes() == bytes(range(256))
    assert any(name.strip("/").endswith("there/run.sh") for name in names(blocking.diff()))
    assert [one.program for one in blocking.executions()] == ["sh"]


def shell(arguments: list[str], stdin: bytes) -> tuple[int, str, str]:
    """What `python -m crucible_client.shell` does with this input."""
    command = [sys.executable, "-m", "crucible_client.shell", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, env=os.environ | {"PYTHONUTF8": "1"})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.sandbox
def test_a_shell_passes_on_both_streams_and_its_exit_code(blocking: Sandbox) -> None:
    script = "cd /tmp; pwd\necho räksmörgås; echo error >&2\nprintf '\\033[31mred'\nexit 7\necho never\n"
    code, out, error = shell([blocking.id], script.encode())
    assert (code, error) == (7, "error\n")
    assert out == "/tmp\nräksmörgås\n\ufffd[31mred", "what would control a terminal stays in the sandbox"
    assert shell([blocking.id, "--user", "root"], b"id -un\n") == (0, "root\n", "")


@pytest.mark.sandbox
def test_a_shell_in_no_sandbox_says_why(blocking: Sandbox) -> None:
    code, out, error = shell(["019abcde-f012-7345-8678-9abcdef01234"], b"")
    assert (code, out) == (125, "")
    assert error.startswith("error: 404: there is no sandbox"), error
    blocking.remove()
    code, _, error = shell([blocking.id], b"true\n")
    assert code == 125
    assert "the sandbox has ended: removed" in error, error
