"""Both clients, over the whole API."""

from __future__ import annotations

import anyio
import httpx
import pytest

from crucible_client import (
    ApiError,
    AsyncSandbox,
    Client,
    ConfigurationError,
    FileIsDirectoryError,
    FileMissingError,
    FilePermissionError,
    FileTooLargeError,
    NotFoundError,
    SandboxEndedError,
    TransportError,
    submission,
)
from crucible_client._calls import signal_exec, submit
from crucible_client._http import Attempts


def test_a_program_runs_with_what_it_is_given() -> None:
    with Client() as client:
        code = "import sys; print(sys.stdin.read() + open('a/b.txt').read())"
        evaluation = client.evaluate(code, stdin="in ", files={"a/b.txt": b"file"}, labels={"k": "v"})
        assert (evaluation.outcome, evaluation.stdout.text) == ("exited", "in file\n")
        assert evaluation.raw["labels"] == {"k": "v"}
        assert client.evaluation(evaluation.id).outcome == "exited"


def test_a_batch_is_waited_for_and_read_in_order() -> None:
    with Client() as client:
        batch = client.submit_batch([submission(f"print({number})") for number in range(5)])
        assert client.wait_batch(batch.id, wait=60).ended
        assert [one.stdout.text for one in client.batch_results(batch.id)] == [f"{number}\n" for number in range(5)]


def test_errors_name_what_to_change() -> None:
    with Client() as client:
        with pytest.raises(ApiError, match="timeout_seconds") as error:
            client.evaluate("print(1)", timeout_seconds=-1)
        assert error.value.status in (400, 422)
        with pytest.raises(NotFoundError):
            client.evaluation("019abcde-f012-7345-8678-9abcdef01234")
    with pytest.raises(ConfigurationError, match="CRUCIBLE_URL"):
        Client("localhost:8009")
    with Client("http://127.0.0.1:9", patience=0.2) as nowhere, pytest.raises(TransportError, match="ConnectError"):
        nowhere.status()


def test_what_may_have_happened_is_not_repeated() -> None:
    once = Attempts(submit({}, 0), 60)  # with an Idempotency-Key
    assert once.after_error(httpx.ReadTimeout("")) > 0
    twice = Attempts(signal_exec("a", "b", "TERM", False), 60)
    with pytest.raises(TransportError):
        twice.after_error(httpx.ReadTimeout(""))
    assert Attempts(signal_exec("a", "b", "TERM", False), 60).after_error(httpx.ConnectError("")) > 0


@pytest.mark.sandbox
def test_the_blocking_client_uses_a_sandbox() -> None:
    with Client() as client:
        with client.create_sandbox(labels={"test": "blocking"}) as sandbox:
            assert sandbox.exec(["sh", "-c", "echo out; echo err >&2; exit 3"]).exit_code == 3
            sandbox.write_file("dir/data.bin", b"\x00\xff" * 1000)
            assert sandbox.read_file("dir/data.bin") == b"\x00\xff" * 1000
            found = [info.id for info in client.sandboxes(label="test=blocking")]
            assert sandbox.id in found
            assert sandbox.renew().status == "ready"
        assert client.sandbox(sandbox.id).info.end_reason == "removed"
        assert sandbox.remove().status == "ended"
        with pytest.raises(SandboxEndedError) as error:
            sandbox.exec(["true"])
        assert error.value.end_reason == "removed"


@pytest.mark.sandbox
async def test_an_execution_runs_once_however_often_it_is_asked_for(sandbox: AsyncSandbox) -> None:
    command = ["sh", "-c", "echo once >> once.txt; sleep 1; cat once.txt"]
    results = []
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            results.append(await sandbox.exec(command, exec_id="once", timeout_seconds=30))

        for _ in range(4):
            group.start_soon(ask)
    assert [result.stdout.text for result in results] == ["once\n"] * 4
    with pytest.raises(ApiError) as error:
        await sandbox.exec(["true"], exec_id="once")
    assert error.value.status == 422


@pytest.mark.sandbox
async def test_a_detached_command_is_fed_read_signalled_and_killed(sandbox: AsyncSandbox) -> None:
    execution = await sandbox.start(
        ["sh", "-c", "trap 'echo usr1' USR1; while read line; do echo got $line; done; sleep 60"], stream_stdin=True
    )
    await sandbox.write_stdin(execution.id, b"one\n")
    chunk = await sandbox.output(execution.id, wait_seconds=10)
    assert chunk.data == b"got one\n"
    await sandbox.write_stdin(execution.id, b"one\ntwo\n", offset=0)  # repeated: what was taken is skipped
    more = await sandbox.output(execution.id, offset=chunk.next_offset, wait_seconds=10)
    assert (more.data, more.ended) == (b"got two\n", False)
    await sandbox.signal(execution.id, "USR1")
    ended = await sandbox.kill(execution.id)
    assert (ended.ended, ended.outcome) == (True, "killed")


@pytest.mark.sandbox
async def test_fifty_mebibytes_go_through_standard_input(sandbox: AsyncSandbox) -> None:
    size = 50 << 20
    counted = await sandbox.exec(["wc", "-c"], stdin=bytes(size), timeout_seconds=120)
    assert counted.stdout.text.strip() == str(size)
    # A command that does not read it all ends like any other.
    head = await sandbox.exec(["head", "-c", "5"], stdin=b"x" * (4 << 20), timeout_seconds=60)
    assert (head.exit_code, head.stdout.text) == (0, "xxxxx")


@pytest.mark.sandbox
async def test_files_have_errors_of_their_own(sandbox: AsyncSandbox) -> None:
    with pytest.raises(FileMissingError) as missing:
        await sandbox.read_file("no/such")
    assert missing.value.path.endswith("no/such")
    with pytest.raises(FileIsDirectoryError):
        await sandbox.read_file("/etc")
    with pytest.raises(FilePermissionError):
        await sandbox.write_file("/etc/passwd", "x")
    await sandbox.write_file("big", bytes(2000))
    with pytest.raises(FileTooLargeError):
        await sandbox.read_file("big", max_bytes=1000)


@pytest.mark.sandbox
async def test_output_is_exact_bytes_and_cut_where_it_was_asked(sandbox: AsyncSandbox) -> None:
    every = await sandbox.exec(["python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)))"])
    assert every.stdout.data == bytes(range(256))
    head = await sandbox.exec(["seq", "1", "1000"], max_output_bytes=10, keep="head")
    assert (head.stdout.data, head.stdout.truncated) == (b"1\n2\n3\n4\n5\n", True)
    tail = await sandbox.exec(["seq", "1", "1000"], max_output_bytes=9, keep="tail")
    assert (tail.stdout.data, tail.stdout.truncated) == (b"999\n1000\n", True)
